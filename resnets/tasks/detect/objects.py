"""The record of the objects of one picture that the detection metrics share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Objects:
    """The K objects of a picture, either the true ones or the detected ones.

    Masks are run-length encoded, so that those of a whole split fit in memory.
    """

    xyxy: np.ndarray  # (K, 4) float64 in pixels, x1 >= x0 and y1 >= y0
    labels: np.ndarray  # (K,) int64
    scores: np.ndarray  # (K,) float64; 1 for true objects
    ignore: np.ndarray  # (K,) bool; all False for detections
    masks: list[dict[str, Any]] | None  # as COCO's "segmentation": {"size": [H, W], "counts": ...}
