"""Where in an image a class is, by its boxes or its mask, and the same place in the input of a network. No torch."""

from __future__ import annotations

import dataclasses
from functools import singledispatch
from typing import Any

import numpy as np

from resnets.data.pictures.resize import fit_picture
from resnets.data.preprocess import Preprocess
from resnets.data.targets import Boxes


@singledispatch
def place_of(target: Any, label: int, size: tuple[int, ...]) -> np.ndarray | None:
    """Where a target, as a split has it, says that the class is: (*size) bool; None where a target says nothing of places."""
    return None


@place_of.register
def _(target: Boxes, label: int, size: tuple[int, ...]) -> np.ndarray:
    place = np.zeros(size, bool)
    for left, top, right, bottom in target.xyxy[(target.labels == label) & ~target.ignore].round().astype(int):
        place[max(top, 0) : bottom, max(left, 0) : right] = True
    return place


@place_of.register
def _(target: np.ndarray, label: int, size: tuple[int, ...]) -> np.ndarray | None:
    return target == label if target.shape == tuple(size) else None


def as_input(place: np.ndarray, preprocess: Preprocess) -> np.ndarray:
    """A place (H, W) of a picture as it lies in the input that `preprocess` makes of the picture; of a volume as it is."""
    if place.ndim != 2:
        return place
    grey = dataclasses.replace(preprocess, mean=(0.0,), std=(1.0,))
    return fit_picture(place.astype(np.uint8) * 255, grey)[0] > 127
