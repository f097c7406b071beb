"""Shares that may be of nothing: NaN in arrays, None in JSON, and left out of means."""

from __future__ import annotations

import numpy as np


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
