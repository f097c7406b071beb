"""Values as fractions of a window (level, width), or of their own middle. No torch."""

from __future__ import annotations

import numpy as np

from resnets.data.windows import limits

TAILS = 0.5, 99.5  # percentiles that become black and white where no window is known


def automatic(values: np.ndarray) -> tuple[float, float]:
    """A window (level, width) from the values themselves: the middle 99 % of the finite ones."""
    known = values[np.isfinite(values)]
    low, high = (float(value) for value in np.percentile(known, TAILS)) if known.size else (0.0, 1.0)
    return (low + high) / 2, max(high - low, 1e-12)


def shares(values: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """Values as fractions of their window, clipped to [0, 1], float32; what is not finite is 0."""
    low, high = limits(window)
    with np.errstate(invalid="ignore", over="ignore"):
        found = (np.asarray(values, np.float32) - np.float32(low)) / np.float32(high - low)
    return np.nan_to_num(found, nan=0.0, posinf=1.0, neginf=0.0).clip(0, 1)


def sigmoid(values: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """The soft window of DICOM PS3.3, C.11.2.1.3.1, as fractions, float32."""
    level, width = window
    with np.errstate(over="ignore"):
        return (1 / (1 + np.exp(-4 * (np.asarray(values, np.float32) - level) / width))).astype(np.float32)
