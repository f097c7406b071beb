"""What becomes of labels that cannot be right: each rule mends, drops or refuses, and is counted and named. No torch.

`RULES` is the table of all of them; docs/dense_data.md says the same in words.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from resnets.data.pictures.images import BadPicture
from resnets.data.targets import Boxes, Fault

LEAST_LEFT = 0.25  # share of a box that must lie within the picture, or within a crop of it
LEAST_SIDE = 1.0  # pixels
SAME = 2  # decimals of a pixel to which boxes are compared


class Rule(NamedTuple):
    level: str  # of check.LEVELS
    words: str  # what is wrong, and what becomes of it


RULES = {
    # The picture is left out of training and evaluation.
    "unreadable": Rule("error", "picture that cannot be read; left out"),
    "missing_picture": Rule("error", "annotation without a picture; left out"),
    "missing_annotation": Rule("error", "picture without an annotation, which may hold anything; left out"),
    "bad_annotation": Rule("error", "annotation that cannot be read; left out"),
    "wrong_size": Rule("error", "annotation of a picture of another size; left out"),
    "unknown_index": Rule("error", "mask with indices beyond the classes; left out"),
    "other_grid": Rule("error", "volume whose labels lie elsewhere in space (affine); left out"),
    # The object is dropped or mended; the picture stays.
    "not_finite": Rule("warning", "box with missing, infinite or NaN coordinates; dropped"),
    "inverted": Rule("warning", "box with its corners exchanged; put right"),
    "empty": Rule("warning", "box without width or height; dropped"),
    "tiny": Rule("warning", f"box narrower or lower than {LEAST_SIDE:g} pixel; dropped"),
    "past_edge": Rule("warning", "box that reaches past the picture; clipped"),
    "outside": Rule("warning", f"box with less than {LEAST_LEFT:.0%} of it in the picture, or less than a pixel; dropped"),
    "duplicate": Rule("warning", "box that is there already, with the same name; dropped"),
    "disputed": Rule("warning", "box that is there already, under another name; both kept"),
    "no_mask": Rule("warning", "object whose mask is missing, broken or empty; kept, and neither hit nor miss"),
    # As it should be, and good to know.
    "negative": Rule("note", "picture without objects; kept, to learn what is none"),
    "ignored": Rule("note", "crowd or difficult object; neither hit nor miss"),
    "no_size": Rule("note", "annotation that does not say the picture's size; taken from the picture"),
}


class BadLabel(BadPicture):
    """A picture that cannot be used for its annotation's sake; skipped, counted and named as a `BadPicture` is."""

    def __init__(self, path: str | os.PathLike[str], reason: str, rule: str) -> None:
        super().__init__(path, reason)
        self.rule, self.args = rule, (self.path, reason, rule)


@dataclass(frozen=True)
class RawBoxes:
    """The K objects of a picture as the file has them, in its order.

    Args:
        corners: (K, 4) float64, x0 y0 x1 y1; NaN where one is missing.
        labels: (K,) int64.
        ignore: (K,) bool.
        size: (H, W) as the file has it, None where it does not say.
        inclusive: whether corners are Pascal VOC's: the first pixel is 1, and the last one belongs to the box.
        segments: K outlines or run lengths, as COCO writes them.
    """

    corners: np.ndarray
    labels: np.ndarray
    ignore: np.ndarray
    size: tuple[int, int] | None = None
    inclusive: bool = False
    segments: tuple[Any, ...] | None = None


def clean_boxes(raw: RawBoxes, size: tuple[int, int], names: tuple[str, ...]) -> tuple[Boxes, np.ndarray, list[Fault]]:
    """The boxes that can be learned of a picture of `size` (H, W), their positions (K,) in `raw`, and what was wrong.

    Raises:
        ValueError: if the file speaks of a picture of another size, which makes every box doubtful.
    """
    if raw.size not in (None, size):
        raise ValueError(f"it is for {raw.size[1]} x {raw.size[0]} pixels, the picture has {size[1]} x {size[0]}")
    faults: list[Fault] = [] if raw.size else [Fault("no_size", "", "")]
    kept = np.arange(len(raw.labels))
    boxes = raw.corners.astype(np.float64).reshape(-1, 4)

    def note(rule: str, mask: Any, drops: bool = False) -> None:
        nonlocal kept, boxes
        for place in np.flatnonzero(mask).tolist():
            number = int(kept[place])
            faults.append(Fault(rule, f"object {number + 1} ({names[raw.labels[number]]})", _words(raw.corners[number])))
        if drops:
            kept, boxes = kept[~mask], boxes[~mask]

    note("not_finite", ~np.isfinite(boxes).all(1), drops=True)
    # With one side at zero the box is empty, whichever way the other runs.
    note("empty", (boxes[:, 2:] == boxes[:, :2]).any(1), drops=True)
    note("inverted", (boxes[:, 2:] < boxes[:, :2]).any(1))
    boxes = np.concatenate([np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])], 1)
    if raw.inclusive:  # pixels a to b, counted from 1, are [a - 1, b); 0, which other tools write there, is no pixel
        boxes[:, :2] = np.maximum(boxes[:, :2] - 1, np.where(boxes[:, :2] == 0, 0, -np.inf))
    note("tiny", (boxes[:, 2:] - boxes[:, :2] < LEAST_SIDE).any(1), drops=True)
    clipped, left = clip_boxes(boxes, size)
    past = (clipped != boxes).any(1)
    note("past_edge", past & left)
    boxes = clipped
    note("outside", ~left, drops=True)
    same, disputed = _repeated(boxes, raw.labels[kept], raw.ignore[kept])
    note("disputed", disputed & ~same)
    note("duplicate", same, drops=True)
    ignore = raw.ignore[kept]
    note("ignored", ignore)
    if not len(raw.labels):
        faults.append(Fault("negative", "", ""))
    return Boxes(boxes.astype(np.float32), raw.labels[kept].astype(np.int64), ignore.astype(bool)), kept, faults


def clip_boxes(boxes: np.ndarray, size: tuple[int, int], least: float = LEAST_LEFT) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (K, 4) cut at the edges of a picture of `size` (H, W), and (K,) whether enough is left of each to keep it."""
    clipped = np.clip(boxes, 0, [size[1], size[0], size[1], size[0]]).astype(boxes.dtype)
    sides, before = clipped[:, 2:] - clipped[:, :2], boxes[:, 2:] - boxes[:, :2]
    enough = sides.prod(1) >= least * before.prod(1)
    whole = (clipped == boxes).all(1)  # what was not cut is none of this rule's
    return clipped, whole | (enough & (sides >= LEAST_SIDE).all(1))


def _repeated(boxes: np.ndarray, labels: np.ndarray, ignore: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(K,) whether the same box came before with the same label, and with any."""
    same, anywhere = np.zeros(len(boxes), bool), np.zeros(len(boxes), bool)
    seen: set[tuple[Any, ...]] = set()
    places: set[tuple[float, ...]] = set()
    for index, box in enumerate(boxes.round(SAME).tolist()):
        key = (*box, labels[index], ignore[index])
        same[index], anywhere[index] = key in seen, tuple(box) in places
        seen.add(key)
        places.add(tuple(box))
    return same, anywhere


def _words(corners: np.ndarray) -> str:
    return "x {:g} to {:g}, y {:g} to {:g}".format(*corners[[0, 2, 1, 3]])
