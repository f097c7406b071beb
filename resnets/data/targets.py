"""Records of dense tasks that rooms hand to each other: what is in a picture, and what was found there. No torch.

A semantic target is an integer array (H, W), uint8 where that fits, of class indices, with `IGNORE` where nothing is known; a
volume's is (D, H, W).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

IGNORE = 255
NUMBERS = 2**16  # values that a mask can hold: class indices or object numbers from 0 to 65,535
BACKGROUND = "background"  # a class of this name is left out of the means of Dice and boundaries, and not painted


def background_of(labels: Sequence[str]) -> int:
    """The class that is no object: the one of that name, else the first."""
    return list(labels).index(BACKGROUND) if BACKGROUND in labels else 0


@dataclass(frozen=True)
class Boxes:
    """The K objects of a picture."""

    xyxy: np.ndarray  # (K, 4) float32 in pixels, x0 y0 x1 y1, half-open
    labels: np.ndarray  # (K,) int64 into the names of the source, no background
    ignore: np.ndarray  # (K,) bool, crowds and "difficult": neither hit nor miss
    masks: np.ndarray | None = None  # (K, H, W) bool


@dataclass(frozen=True)
class Detections:
    """The K objects that were found in a picture."""

    xyxy: np.ndarray  # (K, 4) float32, as in `Boxes`
    labels: np.ndarray  # (K,) int64
    scores: np.ndarray  # (K,) float32
    masks: np.ndarray | None = None  # (K, H, W) bool


@dataclass(frozen=True)
class Truth:
    """What is known of a picture that is to be judged."""

    index: int  # its position in the split
    size: tuple[int, ...]  # its own, (H, W), before it became an input; of a volume (D, H, W)
    target: Any  # `Boxes`, or class indices of that size
    spacing: tuple[float, ...] | None = None  # of a volume, mm along D, H and W


class Fault(NamedTuple):
    """What was wrong with one label, found by a rule of `readers.label_rules.RULES`."""

    rule: str  # its name
    item: str  # the object, as "object 3 (RBC)"; "" where the whole picture is meant
    what: str  # details, such as the corners of the box; may be ""
