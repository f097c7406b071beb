"""How a volume becomes an input of a network: whole, as it is, or all of one size. No torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from resnets.data.pictures.images import BadPicture
from resnets.data.pictures.resize import RESAMPLE
from resnets.data.pictures.volume import Volume
from resnets.data.pictures.volumes import is_taken, open_volume
from resnets.data.preprocess import Preprocess
from resnets.errors import InputError
from resnets.files import check_no_address


def fit_volume(volume: Volume, preprocess: Preprocess) -> np.ndarray:
    """A volume as an input: float32 (C, D, H, W), normalised by the mean and standard deviation of all of it.

    With `resize` "keep" it has its own size. With "pad" voxels stay as they are: along each axis the middle of a longer volume,
    and on both sides of a shorter one the mean, which is 0. With "squash" it is resampled to the size by `interpolation`, with
    antialiasing; slice by slice, so that of a large volume no more than a slice is in memory as numbers.

    Raises:
        BadPicture: if it cannot be read.
    """
    if preprocess.resize == "keep":
        return volume.normalised()
    if preprocess.resize == "squash":
        return _resampled(volume, preprocess.size, RESAMPLE[preprocess.interpolation])
    first = [(own - side) // 2 for own, side in zip(volume.shape[:3], preprocess.size, strict=True)]
    inside = tuple(
        slice(max(0, start), max(0, start) + min(own, side))
        for start, own, side in zip(first, volume.shape[:3], preprocess.size, strict=True)
    )
    pixels = np.zeros((volume.channels, *preprocess.size), np.float32)
    into = tuple(slice(part.start - start, part.stop - start) for part, start in zip(inside, first, strict=True))
    pixels[(slice(None), *into)] = volume.normalised(inside)
    return pixels


def given_volumes(volumes: Any, preprocess: Preprocess) -> Iterator[np.ndarray]:
    """The inputs of volumes that are named: a path of a NIfTI file or of a folder with a DICOM series, or several.

    Raises:
        InputError: for what is no such path, and `BadPicture` for a volume that cannot be read.
    """
    for path in [volumes] if isinstance(volumes, str | os.PathLike) else volumes:
        if not isinstance(path, str | os.PathLike) or not is_taken(check_no_address(path)):
            named = path if isinstance(path, str | os.PathLike) else type(path).__name__
            raise InputError(
                f"{named}: no volume; give paths of NIfTI files (.nii, .nii.gz), or of folders with a DICOM series"
            )
        volume = open_volume(Path(path), preprocess.window)
        if volume.channels != preprocess.in_chans:
            raise BadPicture(path, f"it has {volume.channels} channels, where {preprocess.in_chans} are expected")
        yield fit_volume(volume, preprocess)


def _resampled(volume: Volume, size: tuple[int, ...], how: Image.Resampling) -> np.ndarray:
    """Within slices first, then along the depth of what is left; Pillow works on float32."""
    depth, height, width = size
    slices = np.empty((volume.channels, volume.shape[0], height * width), np.float32)
    for row in range(volume.shape[0]):
        for channel, plane in enumerate(volume.normalised(slice(row, row + 1))[:, 0]):
            slices[channel, row] = np.asarray(Image.fromarray(plane).resize((width, height), how)).ravel()
    if depth != volume.shape[0]:
        slices = np.stack([np.asarray(Image.fromarray(each).resize((height * width, depth), how)) for each in slices])
    return slices.reshape(-1, *size)
