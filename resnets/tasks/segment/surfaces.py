"""How near the surfaces of a class in a volume lie, the true and the predicted one (Nikolov et al. 2018, arXiv 1809.04430).

A surface lies between eight neighbouring voxels of which some are of the class: its area, in mm2, is that of marching cubes
there, from the authors' table. What lies beyond the volume is not of the class.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import NamedTuple

import numpy as np

from resnets.data.targets import IGNORE
from resnets.errors import InputError

FULL = 255  # the code of eight voxels of the class
MOST = 2**22  # pieces of a surface that are looked at; a mask of noise has more, and no surface
ROBUST = 0.95  # of a surface lies within the robust Hausdorff distance of the other


class Surface(NamedTuple):
    """Pieces of a surface: their places (K, 3) in mm, and their areas (K,) in mm2, 0 where a voxel beside it is ignored."""

    places: np.ndarray
    areas: np.ndarray


def tables() -> ModuleType:
    """The authors' table of areas. Raises `InputError` if it is not installed."""
    try:
        from surface_distance import lookup_tables
    except ImportError as error:
        raise InputError("surfaces of volumes are measured with a library: pip install 'resnets[volumes]'") from error
    return lookup_tables


@cache
def areas_of(spacing: tuple[float, ...]) -> np.ndarray:
    """The area in mm2 of the surface between eight voxels, by their code (256,)."""
    return tables().create_table_neighbour_code_to_surface_area(spacing)


def surface_hits(
    predicted: np.ndarray,
    truth: np.ndarray,
    num_classes: int,
    tolerance: float,
    spacing: Sequence[float],
    background: int | None,
) -> tuple[np.ndarray, np.ndarray]:
    """How much of each class's surface is hit, and how far the surfaces lie from each other; of all but the background.

    Args:
        predicted, truth: class indices (D, H, W); where the truth is `IGNORE`, no surface counts.
        tolerance: in mm.
        spacing: of the voxels along each axis in mm.

    Returns:
        (num_classes, 4), areas in mm2: predicted, the part of it within `tolerance` of the true surface; true, the part near
        the predicted one. And the robust Hausdorff distances (num_classes,) in mm, within which 95 % of each surface lies of
        the other; NaN where one is missing.
    """
    from scipy.ndimage import find_objects

    hits, far = np.zeros((num_classes, 4)), np.full(num_classes, np.nan)
    there = [find_objects(np.where(values == IGNORE, 0, values + np.uint8(1)), num_classes) for values in (predicted, truth)]
    for index, boxes in enumerate(zip(*there, strict=True)):
        found = [box for box in boxes if box is not None]
        if not found or index == background:
            continue
        box = tuple(
            slice(min(part.start for part in parts), max(part.stop for part in parts)) for parts in zip(*found, strict=True)
        )
        unknown = truth[box] == IGNORE
        ours = predicted[box] == index
        theirs = (truth[box] == index) | (ours & unknown)
        one, other = (surface(mask, unknown, tuple(map(float, spacing))) for mask in (ours, theirs))
        hits[index], far[index] = _compared(one, other, tolerance)
    return hits, far


def surface(mask: np.ndarray, unknown: np.ndarray, spacing: tuple[float, ...]) -> Surface:
    """The surface of a mask (D, H, W) bool."""
    from scipy.ndimage import correlate, maximum_filter

    around = np.pad(mask, 1).view(np.uint8)
    codes = correlate(around, tables().ENCODE_NEIGHBOURHOOD_3D_KERNEL, mode="constant")
    at = np.nonzero((codes != 0) & (codes != FULL))
    areas = areas_of(spacing)[codes[at]]
    if unknown.any():
        areas[maximum_filter(np.pad(unknown, 1), 2, mode="constant")[at]] = 0
    return Surface(np.stack(at, 1) * np.asarray(spacing), areas)


def _compared(ours: Surface, theirs: Surface, tolerance: float) -> tuple[np.ndarray, float]:
    """One row of `surface_hits`, and the distance."""
    from scipy.spatial import KDTree

    if max(len(ours.areas), len(theirs.areas)) > MOST:
        return np.zeros(4), np.nan
    row, far = np.array([ours.areas.sum(), 0, theirs.areas.sum(), 0]), []
    if not row[0] or not row[2]:
        return row, np.nan
    for at, (one, other) in enumerate(((ours, theirs), (theirs, ours))):
        apart = KDTree(other.places).query(one.places)[0]
        row[2 * at + 1] = one.areas[apart <= tolerance * (1 + 1e-9)].sum()
        order = apart.argsort()
        reached = one.areas[order].cumsum() / row[2 * at]
        far.append(float(apart[order[min(np.searchsorted(reached, ROBUST), len(order) - 1)]]))
    return row, max(far)
