"""Why no object of a dataset can be used: the mistakes in coordinates that people make. No torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from resnets.data.readers.boxes import BoxTargets
from resnets.data.readers.label_rules import RawBoxes
from resnets.data.types import Split

FEW = 4  # boxes up to which the same may be chance
PAST = 0.5  # share of boxes that must reach past their image


def likely_cause(splits: Sequence[Split]) -> str:
    """What is probably wrong with all boxes of `splits`, with the remedy; "" if nothing is recognised."""
    every = [raw for split in splits if isinstance(split.targets, BoxTargets) for raw in split.targets.raw]
    raws = [raw for raw in every if isinstance(raw, RawBoxes) and len(raw.labels)]
    if not raws:
        return ""
    corners = np.concatenate([raw.corners for raw in raws])
    known = corners[np.isfinite(corners).all(1)]
    if not len(known):
        return (
            "no object has all of its corners (rotated boxes, as robndbox, have others); write xmin, ymin, xmax and ymax, or "
            "COCO's bbox x, y, width and height"
        )
    if raws[0].relative:
        return "its coordinates are above 1, and YOLO's are fractions of the image" if np.median(known) > 2 else ""
    if known.min() >= -0.5 and known.max() <= 1.5:
        return "its coordinates lie from 0 to 1, as fractions of the image; write pixels, or YOLO's labels/*.txt"
    return as_corners(raws)


def as_corners(raws: Sequence[RawBoxes]) -> str:
    """Whether COCO's bbox holds x0, y0, x1, y1: most boxes reach past their image, and none would if it did."""
    sized = [raw for raw in raws if raw.size is not None and not raw.inclusive and not raw.relative and len(raw.labels)]
    if not sized:
        return ""
    corners = np.concatenate([raw.corners for raw in sized])
    limits = np.concatenate([np.tile((raw.size or (0, 0))[::-1], (len(raw.labels), 2)) for raw in sized])
    other = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1)  # the four numbers as they are written
    known = np.isfinite(corners).all(1)
    corners, other, limits = corners[known], other[known], limits[known]
    past = (corners > limits).any(1)
    sound = (other <= limits).all() and (other[:, 2:] > other[:, :2]).all()
    if len(corners) < FEW or past.mean() < PAST or not sound:
        return ""
    return (
        f"{past.sum():,} of {len(corners):,} boxes reach past their image, and none would if bbox were x0, y0, x1, y1; COCO's "
        "is x, y, width, height"
    )
