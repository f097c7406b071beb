"""Reading files as inputs of a network, by the number of spatial axes: images or volumes. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resnets.data.pictures.images import IMAGE_SUFFIXES, FileImages
from resnets.data.pictures.resize import fit_picture
from resnets.data.pictures.volumes import SUFFIXES, Volumes
from resnets.data.preprocess import Preprocess


class Fitted(NamedTuple):
    """An input of a network before batching.

    Args:
        pixels: uint8 (C, H, W), not normalised; of a volume float32 (C, D, H, W), normalised.
        size: the image's own spatial size before resizing; () unless `own_size` was given.
        image: the opened image or volume; None unless `own_size` was given.
    """

    pixels: np.ndarray
    size: tuple[int, ...] = ()
    image: Any = None


def fitted_picture(images: FileImages, index: int, preprocess: Preprocess, own_size: bool) -> Fitted:
    """The image at `index`, resized; with `own_size` also its size and itself. Raises `BadPicture` if it cannot be read."""
    if not own_size:
        return Fitted(fit_picture(images.path(index), preprocess))
    picture = images.at_depth(preprocess.bit_depth)[index]
    return Fitted(fit_picture(picture, preprocess), picture.shape[:2], picture)


def fitted_volume(images: Volumes, index: int, preprocess: Preprocess, own_size: bool) -> Fitted:
    """The volume at `index`, normalised. Raises `BadPicture` if it cannot be read."""
    volume = images[index]
    pixels = volume.normalised()
    volume.forget()
    return Fitted(pixels, volume.shape[:3], volume)


class Inputs(NamedTuple):
    """How files become inputs.

    Args:
        images: the plural noun for messages.
        suffixes: suffixes of the files, in lower case.
        files: (paths, channels) -> `FileImages` with the paths.
        opened: (files, channels) -> a sequence of images or volumes, opened on access.
        fitted: (images, index, preprocess, own_size) -> `Fitted`.
        mask_suffix: suffix of files with class indices.
    """

    images: str
    suffixes: tuple[str, ...]
    files: Callable[[Iterable[Path], int], FileImages]
    opened: Callable[[FileImages, int], Any]
    fitted: Callable[[Any, int, Preprocess, bool], Fitted]
    mask_suffix: str


INPUTS: dict[int, Inputs] = {
    2: Inputs("images", tuple(sorted(IMAGE_SUFFIXES)), FileImages, lambda files, in_chans: files, fitted_picture, ".png"),
    3: Inputs("volumes", SUFFIXES, lambda paths, in_chans: FileImages(paths, 1), Volumes, fitted_volume, ".nii.gz"),
}
