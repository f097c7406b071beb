"""Shares that may be of nothing: NaN in arrays, None in JSON, and left out of means."""

from __future__ import annotations

from typing import Any

import numpy as np

from resnets.engine.values import Sample
from resnets.measures.intervals import bootstrap


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, NaN where the whole is 0; wholes are counts."""
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def mean(values: np.ndarray) -> float | None:
    """Of the values that are known; None where there are none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


def plain(value: np.ndarray | float) -> float | None:
    """As JSON has it."""
    return None if np.isnan(value) else float(value)


def by_groups(key: str, sample: Sample, groups: np.ndarray | None) -> dict[str, Any]:
    """The interval of the score `key` by groups, {"KEY_interval", "num_groups"}; nothing where there are no groups.

    Args:
        sample: of the split.
        groups: (N,) of all images of the split.
    """
    if groups is None:
        return {}
    own = groups[sample.positions]
    num = len(np.unique(own))
    # Of one group nothing follows for others.
    interval = bootstrap(sample.figure, len(own), own) if num > 1 else [0.0, 1.0]
    return {f"{key}_interval": interval, "num_groups": num}
