"""Windows: the range of values that is shown, by name or as level and width, as radiologists give them. No torch."""

from __future__ import annotations

import math

import numpy as np

from resnets.errors import InputError
from resnets.files import short

# Of CT in Hounsfield units: (level, width), the usual presets of viewers.
WINDOWS: dict[str, tuple[float, float]] = {
    "abdomen": (40, 400),
    "bone": (400, 1800),
    "brain": (40, 80),
    "liver": (60, 160),
    "lung": (-600, 1500),
    "mediastinum": (50, 350),
    "stroke": (35, 40),
    "subdural": (75, 215),
}
MOST = 1e9  # largest level and width
TAILS = 0.5, 99.5  # percentiles that become black and white where no window is known


def parsed(text: object) -> tuple[float, float]:
    """(level, width) of "lung", "-600,1500" or two numbers. Raises `InputError`."""
    if isinstance(text, str) and text.strip().lower() in WINDOWS:
        return WINDOWS[text.strip().lower()]
    try:
        level, width = (float(part) for part in (text.split(",") if isinstance(text, str) else text))  # type: ignore[attr-defined]
        if not (abs(level) <= MOST and 0 < width <= MOST):
            raise ValueError
    except (TypeError, ValueError, AttributeError):
        names = ", ".join(WINDOWS)
        raise InputError(f"window={short(text)}: give {names}, or level and width above 0, such as -600,1500") from None
    return level, width


def limits(window: tuple[float, float]) -> tuple[float, float]:
    """The lowest and the highest value of a window."""
    level, width = window
    return level - width / 2, level + width / 2


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
    assert math.isfinite(level) and width > 0
    with np.errstate(over="ignore"):
        return (1 / (1 + np.exp(-4 * (np.asarray(values, np.float32) - level) / width))).astype(np.float32)
