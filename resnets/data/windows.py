"""Windows: the range of values that is shown, by name or as level and width, as radiologists give them. No torch."""

from __future__ import annotations

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
