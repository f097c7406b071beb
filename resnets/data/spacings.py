"""The spacing that the volumes of a dataset are brought to: that which was asked for, or what suits them. No torch."""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from typing import Any

import numpy as np

from resnets.data.millimetres import AUTO, NONE, Spacing, parsed
from resnets.data.pictures.images import BadPicture
from resnets.data.types import Source

LOOKED = 100  # training volumes whose spacing is looked at
SAME = 0.05  # of the median, by which spacings may differ without being brought to one
ANISOTROPIC = 3  # times the others, from which the largest spacing, and the smallest number of voxels, are of another kind
FINE = 10  # the percentile of spacings that is taken along such an axis, not the median


def usual(spacings: np.ndarray, shapes: np.ndarray) -> Spacing | None:
    """The spacing to bring volumes to; None where all have about the same.

    It is the median of each axis; but where slices are `ANISOTROPIC`, a fine one of theirs, for what lies between thick slices
    cannot be made up, and what thin ones show is not to be lost (nnU-Net, Isensee et al. 2021, arXiv 1904.08128).

    Args:
        spacings, shapes: (N, 3) each, in mm and in voxels.
    """
    median = np.median(spacings, 0)
    if (np.abs(spacings / median - 1) <= SAME).all():
        return None
    sizes = np.median(shapes * spacings / median, 0)
    axis = int(median.argmax())
    rest = [other for other in range(3) if other != axis]
    if median[axis] > ANISOTROPIC * median[rest].max() and sizes[axis] * ANISOTROPIC < sizes[rest].min():
        median[axis] = max(np.percentile(spacings[:, axis], FINE), median[rest].max())
    return tuple(round(float(length), 4) for length in median)


def measured(source: Source) -> tuple[np.ndarray, np.ndarray]:
    """The spacings and the shapes (N, 3) of up to `LOOKED` training volumes, evenly spread, of those that can be read."""
    images, found = source.splits["train"].images, []
    for index in np.unique(np.linspace(0, len(images) - 1, min(LOOKED, len(images))).round().astype(int)).tolist():
        with suppress(BadPicture):
            volume = images[index].original
            found.append((volume.spacing, volume.shape[:3]))
    return tuple(np.array(found, np.float64).reshape(-1, 2, 3).swapaxes(0, 1))  # type: ignore[return-value]


def gridded(source: Source, asked: object) -> Source:
    """`source` with its volumes on the grid that was `asked` for. Raises `InputError` for what is no spacing."""
    spacing: Any = parsed(asked)
    if spacing == AUTO:
        spacings, shapes = measured(source)
        spacing = usual(spacings, shapes) if len(spacings) else NONE
    return source if spacing in (NONE, None) else on(source, spacing)


def on(source: Source, spacing: Spacing | None) -> Source:
    """`source` with its volumes at a spacing in mm; None: as they are."""
    splits = {
        name: dataclasses.replace(split, images=dataclasses.replace(split.images, spacing=spacing))
        for name, split in source.splits.items()
    }
    return dataclasses.replace(source, splits=splits)
