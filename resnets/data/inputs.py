"""Reading files as inputs of a network, by the number of spatial axes: series, images or volumes. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resnets.data.pictures.dicom.picture import SUFFIXES as DICOM_SUFFIXES
from resnets.data.pictures.fit_volume import fit_volume
from resnets.data.pictures.images import IMAGE_SUFFIXES, pixels_of
from resnets.data.pictures.modalities import firsts
from resnets.data.pictures.resampled import on_grid
from resnets.data.pictures.resize import fit_image, fit_picture, to_array
from resnets.data.pictures.sent import Encoded, SentPictures, SentVolumes, example_picture, example_volume
from resnets.data.pictures.stored import FileImages, StoredImages
from resnets.data.pictures.volumes import SUFFIXES, Volumes, exists, in_series, is_nifti, is_taken, mask_suffix
from resnets.data.preprocess import Preprocess
from resnets.data.series.opened import SUFFIXES as SERIES_SUFFIXES
from resnets.data.series.opened import opened
from resnets.data.series.sent import SentSeries, example_series
from resnets.data.series.series import fit_series


class Fitted(NamedTuple):
    """An input of a network before batching.

    Args:
        pixels: uint8 (C, H, W), not normalised; of a series float32 (C, L) likewise; of a volume float32 (C, D, H, W),
            normalised.
        size: the image's own spatial size before resizing; () unless `own_size` was given.
        image: the opened image or volume; None unless `own_size` was given.
    """

    pixels: np.ndarray
    size: tuple[int, ...] = ()
    image: Any = None


def fitted_picture(images: Any, index: int, preprocess: Preprocess, own_size: bool) -> Fitted:
    """The image at `index` of files, of shards or in memory, resized; with `own_size` also its size and itself. Raises
    `BadPicture` if it cannot be read."""
    if not own_size and isinstance(images, FileImages):
        return Fitted(fit_picture(images.path(index), preprocess))
    if isinstance(images, StoredImages):
        images = images.at_depth(preprocess.bit_depth).windowed(preprocess.window)
    picture = images[index]
    pixels = fit_picture(picture, preprocess)
    return Fitted(pixels, picture.shape[:2], picture) if own_size else Fitted(pixels)


def fitted_sent(images: SentPictures, index: int, preprocess: Preprocess, own_size: bool) -> Fitted:
    """As `fitted_picture`, of an image in memory."""
    picture = images.picture(index, preprocess)
    pixels = to_array(fit_image(picture, preprocess), preprocess)
    return Fitted(pixels, (picture.height, picture.width), pixels_of(picture)) if own_size else Fitted(pixels)


def fitted_volume(images: Volumes, index: int, preprocess: Preprocess, own_size: bool) -> Fitted:
    """The volume at `index`, clipped, normalised, on the network's grid and fitted, as `image` is; `size` is that of its file.
    Raises `BadPicture` if it cannot be read."""
    original = images[index].original
    original.window, original.ranges = preprocess.window, preprocess.ranges
    volume = on_grid(original, preprocess.spacing)
    pixels = fit_volume(volume, preprocess)
    volume.forget()
    return Fitted(pixels, original.shape[:3], volume) if own_size else Fitted(pixels)


def fitted_series(images: Any, index: int, preprocess: Preprocess, own_size: bool) -> Fitted:
    """The series at `index`, of the length of the input. Raises `BadPicture` if it cannot be read."""
    series = images[index]
    pixels = fit_series(series, preprocess)
    return Fitted(pixels, series.shape[1:], series) if own_size else Fitted(pixels)


class Inputs(NamedTuple):
    """How files become inputs.

    Args:
        images: the plural noun for messages.
        suffixes: suffixes of the files, in lower case.
        exists: whether there is something at a path: a file, a folder, or a series in one.
        takes: whether a file, by its path, is such an image.
        listed: (files below a folder, what counts those that are left out) -> the paths of the images in them.
        files: (paths, how they become inputs) -> `FileImages` with the paths; of series what `opened` gives, which is more than
            there are files.
        opened: (files, channels) -> a sequence of images or volumes, opened on access.
        fitted: (images, index, preprocess, own_size) -> `Fitted`.
        mask_suffix: of an image's path the suffix of a file with its class indices.
        sent: (files in memory, how they become inputs, largest number of pixels, voxels or values) -> a sequence of them, to be
            closed.
        fitted_sent: as `fitted`, of such a sequence.
        example: a file that a network with such a `Preprocess` takes.
    """

    images: str
    suffixes: tuple[str, ...]
    exists: Callable[[Path], bool]
    takes: Callable[[Path], bool]
    listed: Callable[[Iterable[Path], Any], Iterator[Path]]
    files: Callable[[Iterable[Path], Preprocess], Any]
    opened: Callable[[Any, int], Any]
    fitted: Callable[[Any, int, Preprocess, bool], Fitted]
    mask_suffix: Callable[[Path], str]
    sent: Callable[[Sequence[Encoded], Preprocess, int], Any]
    fitted_sent: Callable[[Any, int, Preprocess, bool], Fitted]
    example: Callable[[Preprocess], bytes]


INPUTS: dict[int, Inputs] = {
    1: Inputs(
        "series",
        SERIES_SUFFIXES,
        Path.exists,
        lambda path: not is_nifti(path),
        lambda files, left: iter(files),
        opened,
        lambda files, in_chans: files,
        fitted_series,
        lambda path: ".csv",
        SentSeries,
        fitted_series,
        example_series,
    ),
    2: Inputs(
        "images",
        tuple(sorted(IMAGE_SUFFIXES)),
        Path.exists,
        lambda path: not is_nifti(path),
        lambda files, left: iter(files),
        lambda paths, preprocess: FileImages(paths, preprocess.in_chans),
        lambda files, in_chans: files,
        fitted_picture,
        lambda path: ".png",
        SentPictures,
        fitted_sent,
        example_picture,
    ),
    3: Inputs(
        "volumes",
        (*SUFFIXES, *DICOM_SUFFIXES),
        exists,
        is_taken,
        in_series,
        lambda paths, preprocess: FileImages(paths if preprocess.in_chans == 1 else firsts([*paths]), 1),
        Volumes,
        fitted_volume,
        mask_suffix,
        SentVolumes,
        fitted_volume,
        example_volume,
    ),
}
