"""Spacings of volumes as people give them. No torch, no numpy."""

from __future__ import annotations

from resnets.errors import InputError
from resnets.files import short

AUTO, NONE = "auto", "none"
LEAST, MOST = 1e-3, 1e3
Spacing = tuple[float, ...]  # (D, H, W), between slices, rows and columns


def parsed(text: object) -> Spacing | str:
    """(D, H, W) of "2.5,0.8,0.8" or numbers; or `AUTO` or `NONE`. Raises `InputError`."""
    if text in (AUTO, NONE):
        return str(text)
    try:
        found = tuple(float(part) for part in (text.split(",") if isinstance(text, str) else text))  # type: ignore[attr-defined]
    except (TypeError, ValueError, AttributeError):
        found = ()
    if len(found) != 3 or not all(LEAST <= part <= MOST for part in found):
        raise InputError(f"spacing={short(text)}: give auto, none, or mm between slices, rows and columns, such as 2.5,0.8,0.8")
    return found
