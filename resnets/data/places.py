"""Where in an image a class is, by its boxes or its mask, and the same place in the input of a network. No torch."""

from __future__ import annotations

import dataclasses
from functools import singledispatch
from typing import Any

import numpy as np

from resnets.data.pictures.resize import fit_picture
from resnets.data.preprocess import Preprocess
from resnets.data.targets import Boxes

SAME_OBJECT = 0.5  # intersection over union from which on a box is that of an object


@singledispatch
def places_of(target: Any, label: int, size: tuple[int, ...]) -> np.ndarray | None:
    """Where a target, as a split has it, says that objects of the class are: (M, *size) bool, of a mask all objects together;
    None where a target says nothing of places."""
    return None


@places_of.register
def _(target: Boxes, label: int, size: tuple[int, ...]) -> np.ndarray:
    own = (target.labels == label) & ~target.ignore
    if target.masks is not None:
        return target.masks[own]
    places = np.zeros((int(own.sum()), *size), bool)
    for place, (left, top, right, bottom) in zip(places, target.xyxy[own].round().astype(int), strict=True):
        place[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = True
    return places


@places_of.register
def _(target: np.ndarray, label: int, size: tuple[int, ...]) -> np.ndarray | None:
    return (target == label)[None] if target.shape == tuple(size) else None


def as_input(place: np.ndarray, preprocess: Preprocess) -> np.ndarray:
    """A place (H, W) of a picture as it lies in the input that `preprocess` makes of the picture; of a volume as it is."""
    if place.ndim != 2:
        return place
    grey = dataclasses.replace(preprocess, mean=(0.0,), std=(1.0,))
    return fit_picture(place.astype(np.uint8) * 255, grey)[0] > 127


def place_at(places: np.ndarray, box: tuple[slice, ...] | None) -> np.ndarray:
    """Of places (M, *size) that of the object in a box, where one fills it well enough; else all together (*size)."""
    everywhere: np.ndarray = np.any(places, axis=0)
    if box is None or not len(places):
        return everywhere
    inside = np.zeros(everywhere.shape, bool)
    inside[box] = True
    overlap = [float((place & inside).sum() / (place | inside).sum()) for place in places]
    best = int(np.argmax(overlap))
    return np.asarray(places[best]) if overlap[best] >= SAME_OBJECT else everywhere
