"""Pascal VOC's average precision at IoU .5, and the curves it is the area of.

As the devkit has it (Everingham et al. 2010, section 4.2): the surest detection goes first; each looks at the one object of its
class that it overlaps most; the first to reach it with IoU .5 is a hit, later ones are misses, and one that reaches a
"difficult" object is neither. Boxes here are half-open, so that their sides are the devkit's, which counts both ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from resnets.tasks.detect import coco
from resnets.tasks.detect.objects import Objects


@dataclass(frozen=True)
class Curve:
    """One class: its detections, the surest first, without those that are neither hit nor miss."""

    scores: np.ndarray  # (N,) float64, falling
    hits: np.ndarray  # (N,) bool
    num_objects: int  # to be found
    num_ignored: int
    num_found: int  # detections, those on ignored objects too

    @property
    def precision(self) -> np.ndarray:
        """(N,): the share of hits among the first 1, 2, ... N detections."""
        return np.cumsum(self.hits) / np.arange(1, len(self.hits) + 1)

    @property
    def recall(self) -> np.ndarray:
        """(N,): the share of objects that the first 1, 2, ... N detections hit; NaN where there is no object."""
        return np.cumsum(self.hits) / (self.num_objects or np.nan)

    @property
    def voc07(self) -> float:
        """The mean, over recalls 0, .1, ... 1, of the best precision at that recall or more; NaN without objects.

        Recalls are compared as whole numbers: 3 of 10 is .3, which in binary it is not quite.
        """
        reached = np.cumsum(self.hits)
        best = [self.precision[10 * reached >= tenth * self.num_objects].max(initial=0) for tenth in range(11)]
        return float(np.mean(best)) if self.num_objects else np.nan

    @property
    def voc12(self) -> float:
        """The area under the curve, whose precision is the best at that recall or more; NaN without objects."""
        best = np.maximum.accumulate(self.precision[::-1])[::-1]
        return float(best[self.hits].sum() / self.num_objects) if self.num_objects else np.nan

    def best(self) -> dict[str, float | None]:
        """The threshold of the score at which F1 is greatest, and precision and recall there; None where nothing is hit.

        Of equal scores all or none pass a threshold.
        """
        last = np.append(np.diff(self.scores) < 0, True)[: len(self.scores)]  # of those with the same score
        precision, recall = self.precision[last], self.recall[last]
        if not self.num_objects or not self.hits.any():
            return {"f1": 0.0 if self.num_objects else None, "threshold": None, "precision": None, "recall": None}
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
        at = int(f1.argmax())
        values = {"f1": f1[at], "threshold": self.scores[last][at], "precision": precision[at], "recall": recall[at]}
        return {name: float(value) for name, value in values.items()}


class Judged(NamedTuple):
    """The detections of one picture, the surest first, and the classes of its objects."""

    labels: np.ndarray  # (N,) int64
    scores: np.ndarray  # (N,) float64, falling
    hits: np.ndarray  # (N,) bool
    counted: np.ndarray  # (N,) bool: hits and misses, not what reaches an ignored object
    objects: np.ndarray  # (K,) int64, the classes of the objects to be found
    ignored: np.ndarray  # the same of those that are ignored


def judged(found: Objects, truth: Objects, threshold: float) -> Judged:
    """Which detections of a picture are hits at an IoU of `threshold`."""
    order = np.argsort(-found.scores, kind="stable")
    hit, neither, _ = matched(found.xyxy[order], found.labels[order], truth, threshold)
    there = (truth.labels[~truth.ignore], truth.labels[truth.ignore])
    return Judged(found.labels[order], found.scores[order], hit, ~neither, *there)


def curves(pictures: Iterable[tuple[Objects, Objects]], num_classes: int, threshold: float = 0.5) -> list[Curve]:
    """One for each class, of pictures given as (found, truth)."""
    return pooled([judged(found, truth, threshold) for found, truth in pictures], num_classes)


def pooled(pictures: Sequence[Judged], num_classes: int) -> list[Curve]:
    """One for each class, of all pictures together."""
    columns = zip(*pictures, strict=True) if pictures else [[np.zeros(0, kind)] for kind in (int, float, bool, bool, int, int)]
    label, score, is_hit, counts, objects, ignored = (np.concatenate(column) for column in columns)
    order = np.argsort(-score, kind="stable")
    label, score, is_hit, counts = label[order], score[order], is_hit[order], counts[order]
    num_objects, num_ignored, num_found = (np.bincount(each, minlength=num_classes) for each in (objects, ignored, label))
    return [
        Curve(score[own], is_hit[own], int(num_objects[index]), int(num_ignored[index]), int(num_found[index]))
        for index in range(num_classes)
        for own in [counts & (label == index)]
    ]


def matched(
    xyxy: np.ndarray, labels: np.ndarray, truth: Objects, threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the detections of a picture, given the surest first: which are hits, and which neither hit nor miss, bool (N,); and
    of each the object of its class that it overlaps most, int64 (N,)."""
    if not len(labels) or not len(truth.labels):
        return np.zeros(len(labels), bool), np.zeros(len(labels), bool), np.zeros(len(labels), np.int64)
    overlap = coco.overlaps(xyxy, truth.xyxy)
    overlap[labels[:, None] != truth.labels] = 0
    nearest = overlap.argmax(1)
    reaches = overlap.max(1) >= threshold
    neither = reaches & truth.ignore[nearest]
    hit = np.zeros(len(labels), bool)
    tried = np.flatnonzero(reaches & ~neither)
    hit[tried[np.unique(nearest[tried], return_index=True)[1]]] = True  # the first of those that reach the same object
    return hit, neither, nearest
