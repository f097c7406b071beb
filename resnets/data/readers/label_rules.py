"""Rules for labels that cannot be right: each corrects or drops an object, or excludes the image, and is counted. No torch.

`RULES` is the table of all rules; docs/dense_data.md describes them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from resnets.data.pictures.images import BadPicture
from resnets.data.targets import Boxes, Fault

LEAST_LEFT = 0.25  # fraction of a box's area that must be inside the image, or inside a crop
LEAST_SIDE = 1.0  # smallest side of a box in pixels
SAME = 2  # boxes that are equal when rounded to this many decimals are the same


class Rule(NamedTuple):
    level: str  # of check.LEVELS
    words: str  # what is wrong, and the consequence


RULES = {
    # The image is excluded from training and evaluation.
    "unreadable": Rule("error", "image that cannot be read; left out"),
    "missing_picture": Rule("error", "annotation without an image; left out"),
    "missing_annotation": Rule("error", "image without an annotation, which may contain anything; left out"),
    "bad_annotation": Rule("error", "annotation that cannot be read; left out"),
    "wrong_size": Rule("error", "annotation for another image size; left out"),
    "unknown_index": Rule("error", "mask with indices beyond the classes; left out"),
    "other_grid": Rule("error", "volume whose labels are at another position in space (affine); left out"),
    "not_finite": Rule("error", "box with missing, infinite or NaN coordinates, which may be anywhere; image left out"),
    # The object is corrected, or its place is ignored: it is no background. The image stays.
    "inverted": Rule("warning", "box with its corners exchanged; corrected"),
    "empty": Rule("warning", "box without width or height; counts neither as hit nor as miss"),
    "tiny": Rule("warning", f"box narrower or lower than {LEAST_SIDE:g} pixel; counts neither as hit nor as miss"),
    "past_edge": Rule("warning", "box that extends beyond the image; clipped"),
    "outside": Rule(
        "warning",
        f"box with less than {LEAST_LEFT:.0%} of it in the image, or less than a pixel; what is in it counts neither way",
    ),
    "duplicate": Rule("warning", "box that occurs twice, with the same name; dropped"),
    "disputed": Rule("warning", "box that occurs twice, with different names; both kept"),
    "no_mask": Rule("warning", "object whose mask is missing, invalid or empty; kept, counts neither as hit nor as miss"),
    # Not an error.
    "negative": Rule("note", "image without objects; kept, as a negative example"),
    "ignored": Rule("note", "crowd or difficult object; counts neither as hit nor as miss"),
    "rounded": Rule("note", "labels that are almost integers, as a scaled file has them; rounded"),
    "no_size": Rule("note", "annotation that does not state the image's size; taken from the image"),
}


class BadLabel(BadPicture):
    """An image that cannot be used because of its annotation; it is skipped, counted and reported as a `BadPicture`."""

    def __init__(self, path: str | os.PathLike[str], reason: str, rule: str) -> None:
        super().__init__(path, reason)
        self.rule, self.args = rule, (self.path, reason, rule)


@dataclass(frozen=True)
class RawBoxes:
    """The K objects of an image as in the file, in its order.

    Args:
        corners: (K, 4) float64, x0 y0 x1 y1 in pixels; NaN where one is missing.
        labels: (K,) int64 class indices.
        ignore: (K,) bool, objects that count neither as hit nor as miss.
        size: (H, W) of the image as stated in the file; None if it does not say.
        inclusive: whether corners are as in Pascal VOC: counted from 1, the last pixel included.
        segments: K masks as COCO's polygons or run lengths, or YOLO's polygons, not decoded.
        relative: whether coordinates are fractions of the image's width and height, as YOLO's are; those of `segments` too.
    """

    corners: np.ndarray
    labels: np.ndarray
    ignore: np.ndarray
    size: tuple[int, int] | None = None
    inclusive: bool = False
    segments: tuple[Any, ...] | None = None
    relative: bool = False


class NowhereError(ValueError):
    """An object without coordinates."""


def clean_boxes(raw: RawBoxes, size: tuple[int, int], names: tuple[str, ...]) -> tuple[Boxes, np.ndarray, list[Fault]]:
    """Apply the rules for boxes to the objects of an image of `size` (H, W).

    Args:
        names: the class names, for descriptions.

    Returns:
        The valid boxes, half-open, in pixels; their positions (K,) in `raw`; and the faults that were found.

    Raises:
        NowhereError: if an object has no coordinates: it may be anywhere in the image.
        ValueError: if the file states another size of the image, so that no box can be trusted.
    """
    if raw.size not in (None, size):
        turned = raw.size == size[::-1]
        words = ", as of an image that EXIF turned by 90 degrees; label the upright image" if turned else ""
        raise ValueError(f"it is for {raw.size[1]} x {raw.size[0]} pixels, the image has {size[1]} x {size[0]}{words}")
    faults: list[Fault] = [] if raw.size or raw.relative else [Fault("no_size", "", "")]
    kept = np.arange(len(raw.labels))
    boxes = raw.corners.astype(np.float64).reshape(-1, 4)
    if raw.relative:
        boxes = boxes * [size[1], size[0], size[1], size[0]]
    ignore = raw.ignore.astype(bool)

    def note(rule: str, mask: Any) -> None:
        for position in np.flatnonzero(mask).tolist():
            number = int(kept[position])
            faults.append(Fault(rule, f"object {number + 1} ({names[raw.labels[number]]})", _words(raw.corners[number])))

    if (unknown := np.flatnonzero(~np.isfinite(boxes).all(1))).size:
        number = int(unknown[0])
        raise NowhereError(f"object {number + 1} ({names[raw.labels[number]]}) has no place: {_words(raw.corners[number])}")
    # A box with one side of length 0 is empty, even if the other side is inverted.
    empty = (boxes[:, 2:] == boxes[:, :2]).any(1)
    note("empty", empty)
    note("inverted", ~empty & (boxes[:, 2:] < boxes[:, :2]).any(1))
    boxes = np.concatenate([np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])], 1)
    if raw.inclusive:  # pixels a to b, counted from 1, are [a - 1, b); a 0, which some tools write, stays 0
        boxes[:, :2] = np.maximum(boxes[:, :2] - 1, np.where(boxes[:, :2] == 0, 0, -np.inf))
    tiny = ~empty & (boxes[:, 2:] - boxes[:, :2] < LEAST_SIDE).any(1)
    note("tiny", tiny)
    small = (empty | tiny)[:, None]
    boxes[:, 2:] = np.where(small, np.maximum(boxes[:, 2:], boxes[:, :2] + LEAST_SIDE), boxes[:, 2:])
    ignore = ignore | small[:, 0]
    clipped, left = clip_boxes(boxes, size)
    past = (clipped != boxes).any(1)
    note("past_edge", past & left & ~ignore)
    note("outside", ~left)
    ignore = ignore | ~left
    here = left | (clipped[:, 2:] - clipped[:, :2] > 0).all(1)  # of the others nothing is in the image
    kept, boxes, ignore = kept[here], clipped[here], ignore[here]
    same, disputed = _repeated(boxes, raw.labels[kept], ignore)
    note("disputed", disputed & ~same)
    note("duplicate", same)
    kept, boxes, ignore = kept[~same], boxes[~same], ignore[~same]
    note("ignored", raw.ignore[kept])
    if not len(raw.labels):
        faults.append(Fault("negative", "", ""))
    return Boxes(boxes.astype(np.float32), raw.labels[kept].astype(np.int64), ignore.astype(bool)), kept, faults


def clip_boxes(boxes: np.ndarray, size: tuple[int, int], least: float = LEAST_LEFT) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (K, 4) clipped to an image of `size` (H, W), and (K,) bool, whether enough of each is left to keep it.

    Args:
        least: fraction of a box's area that must be left; a clipped box must also have sides of at least `LEAST_SIDE`.
    """
    clipped = np.clip(boxes, 0, [size[1], size[0], size[1], size[0]]).astype(boxes.dtype)
    sides, before = clipped[:, 2:] - clipped[:, :2], boxes[:, 2:] - boxes[:, :2]
    enough = sides.prod(1) >= least * before.prod(1)
    whole = (clipped == boxes).all(1)  # boxes that were not clipped are kept in any case
    return clipped, whole | (enough & (sides >= LEAST_SIDE).all(1))


def _repeated(boxes: np.ndarray, labels: np.ndarray, ignore: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(K,) bool each: whether the same box came before with the same label, and with any label."""
    same, anywhere = np.zeros(len(boxes), bool), np.zeros(len(boxes), bool)
    seen: set[tuple[Any, ...]] = set()
    seen_boxes: set[tuple[float, ...]] = set()
    for index, box in enumerate(boxes.round(SAME).tolist()):
        key = (*box, labels[index], ignore[index])
        same[index], anywhere[index] = key in seen, tuple(box) in seen_boxes
        seen.add(key)
        seen_boxes.add(tuple(box))
    return same, anywhere


def _words(corners: np.ndarray) -> str:
    return "x {:g} to {:g}, y {:g} to {:g}".format(*corners[[0, 2, 1, 3]])
