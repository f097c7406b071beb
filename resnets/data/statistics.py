"""Mean and standard deviation of the pictures of a split."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from resnets.data.pictures.images import BadPicture
from resnets.data.pictures.resize import fit_picture
from resnets.data.pictures.stored import ArrayImages, StoredImages
from resnets.data.preprocess import Preprocess
from resnets.data.types import Images, Split
from resnets.data.workers import BadImages
from resnets.errors import InputError

TOGETHER = 1000  # pictures


def statistics(
    split: Split, preprocess: Preprocess, bad: BadImages, *, per_pixel: bool = False, most: int = 2000
) -> Preprocess:
    """`preprocess` with the mean and standard deviation of the split's pictures in [0, 1].

    Every picture in memory counts; of files, `most`, evenly spread, as the network will see them. `per_pixel`: a mean for each
    position and a standard deviation of 1, for the paper subtracts and does not divide (He et al. 2015, section 4.2).
    """
    total = np.zeros((preprocess.in_chans, *preprocess.size) if per_pixel else (preprocess.in_chans, 1, 1))
    squares, count = np.zeros(preprocess.in_chans), 0
    for pixels in fitted(split.images, preprocess, bad, most):
        total += pixels.sum(0) if per_pixel else pixels.mean((2, 3)).sum(0)[:, None, None]
        squares += (pixels**2).mean((2, 3)).sum(0)
        count += len(pixels)
    if not count:
        raise InputError("no picture of the training split can be read; `resnets data check` says why")
    mean = (total / count).mean((1, 2))
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    std[(std < 1e-4) | per_pixel] = 1.0  # the former: a channel without contrast, which `tasks.inputs` says
    centre = (total / count).ravel() if per_pixel else mean
    return dataclasses.replace(preprocess, mean=tuple(np.round(centre, 6).tolist()), std=tuple(np.round(std, 6).tolist()))


def fitted(images: Images, preprocess: Preprocess, bad: BadImages, most: int) -> Iterator[np.ndarray]:
    """The pictures that count, as the network will see them: float64 (N, C, H, W) in [0, 1], together what needs no fitting."""
    shape = (*preprocess.size, preprocess.in_chans)
    if isinstance(images, ArrayImages) and images.array.shape[1:] == shape and preprocess.keeps_whole:
        for start in range(0, len(images), TOGETHER):
            yield images.array[start : start + TOGETHER].transpose(0, 3, 1, 2) / 255
        return
    chosen = images.sample(most) if isinstance(images, StoredImages) else np.arange(len(images))
    for index in chosen.tolist():
        try:
            yield fit_picture(images[index], preprocess)[None] / 255
        except BadPicture as fault:
            bad.add(images.name(index), fault.reason)
