"""Three planes of a volume, as radiologists look at it: axial, coronal, sagittal. No torch.

Arrays are (D, H, W), from feet to head, from back to front, from left to right. A plane is seen with the head or the front at
the top; its columns run from left to right, or from back to front: letters at its edges say so.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np


class View(NamedTuple):
    """A plane: the axis of the array that it is cut across, those that its rows and columns run along, and what lies at its
    left, right, top and bottom edge (left, right, anterior, posterior, superior, inferior)."""

    name: str
    axis: int
    rows: int
    columns: int
    edges: str


VIEWS = (View("axial", 0, 1, 2, "LRAP"), View("coronal", 1, 0, 2, "LRSI"), View("sagittal", 2, 0, 1, "PASI"))


def plane(values: np.ndarray, view: View, at: int) -> np.ndarray:
    """(rows, columns) of values (D, H, W), at an index along the view's axis; a copy."""
    return np.take(values, at, view.axis)[::-1].copy()


def planes(values: np.ndarray, at: tuple[int, ...]) -> list[np.ndarray]:
    """Those of `VIEWS`, at an index along each axis."""
    return [plane(values, view, at[view.axis]) for view in VIEWS]


def busiest(slices: Iterable[np.ndarray]) -> tuple[int, ...]:
    """Along each axis the index at which most is True, of the middle ones; where nothing is, the middle.

    Args:
        slices: bool (H, W), along D: they are not needed at once.
    """
    along, there = [], np.zeros((0, 0), np.int64)
    for each in slices:
        along.append(int(each.sum()))
        there = each.astype(np.int64) if not there.size else there + each
    counts = [np.array(along), there.sum(1), there.sum(0)]
    return tuple(int(np.median(np.flatnonzero(each == each.max()))) for each in counts)
