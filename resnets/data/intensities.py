"""CT: values have a unit, so that one rule for all volumes keeps it: nnU-Net's, by the values of what is to be found. No torch.

Isensee et al. 2021 (arXiv 1904.08128): values are clipped to the percentiles 0.5 and 99.5 of the foreground of the training
split, and become (x - mean) / std by the foreground's mean and standard deviation.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from resnets.data.pictures.dicom_volumes import Dicom
from resnets.data.pictures.images import BadPicture
from resnets.data.pictures.stored import evenly_spaced
from resnets.data.preprocess import LEAST_STD, Range
from resnets.data.readers.label_rules import BadLabel
from resnets.data.targets import IGNORE
from resnets.data.types import Source, Split

LOOKED = 500  # volumes, evenly spread
SAMPLED = 10_000  # voxels of the foreground of each, evenly spread
CT = "ct"
TAILS = 0.5, 99.5  # percentiles


def is_ct(source: Source) -> list[bool]:
    """For each channel whether it is CT, as far as dataset.json or the first DICOM series says so."""
    if source.modalities:
        return [name.lower() == CT for name in source.modalities]
    images, modality = next(iter(source.splits.values())).images, ""
    with suppress(BadPicture, IndexError):
        volume = images[0].original
        modality = volume.files[0].modality if isinstance(volume, Dicom) else ""
    return [modality.lower() == CT] * source.in_chans


def ranges(split: Split, wanted: Sequence[bool], background: int | None, bad: Any) -> tuple[Range | None, ...] | None:
    """For each wanted channel the (lowest, highest, mean, std) of the foreground of a split, in the unit of its values.

    None where no volume has a foreground.

    Args:
        bad: `workers.BadImages`, which is told what cannot be read.
    """
    found = []
    for index in np.unique(np.linspace(0, len(split) - 1, min(LOOKED, len(split))).round().astype(int)).tolist():
        try:
            split.targets.find(index)
            volume = split.images[index].original
            classes, _ = split.targets.read(index, volume)
            there = np.flatnonzero((classes != IGNORE) & (classes != (-1 if background is None else background)))
            if len(there):
                at = np.unravel_index(evenly_spaced(there, SAMPLED), classes.shape)
                found.append(volume[...].reshape(*classes.shape, -1)[at])
        except (BadPicture, BadLabel) as error:
            bad.add(split.images.name(index), error.reason)
    values = np.concatenate(found).astype(np.float64) if found else np.empty((0, len(wanted)))
    values = values[np.isfinite(values).all(1)]
    if not len(values):
        return None
    lows, highs = np.percentile(values, TAILS, 0)
    means, stds = values.mean(0), np.maximum(values.std(0), LEAST_STD)
    every = zip(wanted, lows, highs, means, stds, strict=True)
    return tuple(tuple(round(float(v), 4) for v in numbers) if own else None for own, *numbers in every)  # type: ignore[misc]
