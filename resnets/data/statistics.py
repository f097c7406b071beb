"""Mean and standard deviation of the pictures of a split."""

from __future__ import annotations

import dataclasses

import numpy as np

from resnets.data.pictures.images import BadPicture
from resnets.data.pictures.resize import fit_picture
from resnets.data.pictures.stored import StoredImages
from resnets.data.preprocess import Preprocess
from resnets.data.types import Split
from resnets.data.workers import BadImages
from resnets.errors import InputError


def statistics(
    split: Split, preprocess: Preprocess, bad: BadImages, *, per_pixel: bool = False, most: int = 2000
) -> Preprocess:
    """`preprocess` with the mean and standard deviation of the split's pictures in [0, 1].

    Every picture in memory counts; of files, `most`, evenly spread, as the network will see them. `per_pixel`: a mean for each
    position and a standard deviation of 1, for the paper subtracts and does not divide (He et al. 2015, section 4.2).
    """
    images = split.images
    total = np.zeros((preprocess.in_chans, *preprocess.size) if per_pixel else (preprocess.in_chans, 1, 1))
    squares, count = np.zeros(preprocess.in_chans), 0
    chosen = images.sample(most) if isinstance(images, StoredImages) else np.arange(len(images))
    for index in chosen.tolist():
        try:
            picture = images[index]
        except BadPicture as fault:
            bad.add(images.name(index), fault.reason)
            continue
        pixels = fit_picture(picture, preprocess) / 255
        total += pixels if per_pixel else pixels.mean((1, 2), keepdims=True)
        squares, count = squares + (pixels**2).mean((1, 2)), count + 1
    if not count:
        raise InputError("no picture of the training split can be read; `resnets data check` says why")
    mean = (total / count).mean((1, 2))
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    std[(std < 1e-4) | per_pixel] = 1.0  # the former: a channel without contrast, which `tasks.inputs` says
    centre = (total / count).ravel() if per_pixel else mean
    return dataclasses.replace(preprocess, mean=tuple(np.round(centre, 6).tolist()), std=tuple(np.round(std, 6).tolist()))
