"""Detections beside the truth: COCO's average precisions, for boxes and masks, and Pascal VOC's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypedDict, cast

import numpy as np

from resnets.data.targets import Boxes, Detections
from resnets.engine.values import Sample
from resnets.errors import InputError
from resnets.tasks.detect import coco, points, voc
from resnets.tasks.detect.objects import Objects
from resnets.tasks.means import mean, plain


class Average(TypedDict):
    """COCO's average precisions and recalls over all classes, fractions; None where there is nothing to find. Beside the recall
    "ar100" there is that after `most_objects`, where that is another number."""

    map: float | None  # mean over IoU .5, .55, ... .95
    map50: float | None
    map75: float | None
    map_small: float | None  # up to 32 pixels squared
    map_medium: float | None  # up to 96 pixels squared
    map_large: float | None
    ar1: float | None
    ar10: float | None
    ar100: float | None
    ar_small: float | None
    ar_medium: float | None
    ar_large: float | None


class ClassResult(TypedDict, total=False):
    """A class: its objects, the average precisions of `Average` without the "m" and, where masks are measured, with "mask_"."""

    label: str
    objects: int
    ignored: int  # objects that count neither way, as COCO's crowds
    found: int
    ap: float | None
    ap50: float | None
    ap75: float | None
    voc07: float | None
    voc12: float | None
    f1: float | None  # the best of any threshold of the score
    threshold: float | None  # at which it is reached
    precision: float | None  # there
    recall: float | None  # there


class Result(Average, total=False):
    """An evaluation of boxes, as JSON can hold it. Classes without an object are left out of means."""

    num_images: int
    num_objects: int
    voc07: float | None  # Pascal VOC's AP at IoU .5 with 11 points
    voc12: float | None  # and with all
    masks: Average  # the same of masks, where they are measured
    per_class: list[ClassResult]
    labels: list[str]


class Collected:
    """What was found in each picture, and what is there.

    Boxes take about 50 bytes each. The position of a picture names it: one that is added twice, as the samplers of several
    processes may have it, counts once, and results do not depend on the order.

    Args:
        labels: the names of the classes, without background.
        masks: measure masks too; every object needs one then.
        most: so many detections of a class count in a picture, the surest.
    """

    def __init__(self, labels: Sequence[str], *, masks: bool = False, most: int = 100) -> None:
        self.labels, self.masks, self.most = list(labels), masks, most
        self.pictures: dict[int, tuple[Objects, Objects]] = {}

    def add(self, picture: int, found: Detections, truth: Boxes) -> None:
        """Take the picture at position `picture` of its split."""
        for what, objects in (("detections", found), ("true boxes", truth)):
            self._check(f"{what} of picture {picture}", objects)
        nowhere, one = np.zeros(len(found.labels), bool), np.ones(len(truth.labels))
        self.pictures[picture] = (
            Objects(_ordered(found.xyxy), found.labels, np.asarray(found.scores, np.float64), nowhere, self._encoded(found)),
            Objects(_ordered(truth.xyxy), truth.labels, one, truth.ignore, self._encoded(truth)),
        )

    def _check(self, where: str, objects: Boxes | Detections) -> None:
        num, extra = len(objects.labels), objects.scores if isinstance(objects, Detections) else objects.ignore
        if objects.xyxy.shape != (num, 4) or extra.shape != (num,):
            raise InputError(f"{where}: boxes {objects.xyxy.shape} and {extra.shape} for {num} labels")
        if not (np.isfinite(objects.xyxy).all() and np.isfinite(extra).all()):
            raise InputError(f"{where}: numbers that are not finite; has the training diverged?")
        if num and not 0 <= objects.labels.min() <= objects.labels.max() < len(self.labels):
            raise InputError(f"{where}: classes {objects.labels.min()} to {objects.labels.max()} of {len(self.labels)}, from 0")
        if self.masks and (objects.masks is None or objects.masks.ndim != 3 or len(objects.masks) != num):
            raise InputError(f"{where}: masks are to be measured, and not every object has one")

    def _encoded(self, objects: Boxes | Detections) -> list[dict[str, Any]] | None:
        return [coco.encode(mask) for mask in objects.masks] if self.masks and objects.masks is not None else None

    def __add__(self, other: Collected) -> Collected:
        """Both together, of one split."""
        whole = Collected(self.labels, masks=self.masks, most=self.most)
        whole.pictures = self.pictures | other.pictures
        return whole

    def _sorted(self) -> list[tuple[Objects, Objects]]:
        return [self.pictures[position] for position in sorted(self.pictures)]

    def result(self) -> Result:
        pictures, num = self._sorted(), len(self.labels)
        curves = self.curves()
        columns = coco.by_class(pictures, num, "bbox", self.most)
        columns |= {"voc07": np.array([c.voc07 for c in curves]), "voc12": np.array([c.voc12 for c in curves])}
        by_mask = coco.by_class(pictures, num, "segm", self.most) if self.masks else {}
        rows = []
        for index, (label, curve) in enumerate(zip(self.labels, curves, strict=True)):
            row = {"label": label, "objects": curve.num_objects, "ignored": curve.num_ignored, "found": curve.num_found}
            row |= {_of_class(name): plain(values[index]) for name, values in columns.items()} | curve.best()
            row |= {f"mask_{_of_class(name)}": plain(values[index]) for name, values in by_mask.items()}
            rows.append(row)
        result = {
            "num_images": len(pictures),
            "num_objects": sum(curve.num_objects for curve in curves),
            **{name: mean(values) for name, values in columns.items()},
            **({"masks": {name: mean(values) for name, values in by_mask.items()}} if self.masks else {}),
            "per_class": rows,
            "labels": self.labels,
        }
        return cast(Result, result)  # whose keys come from COCO's table

    def sample(self) -> Sample:
        """VOC 2012's mean average precision at IoU .5: what is a hit in an image does not depend on the others, so that it can
        be computed a thousand times."""
        pictures = self._sorted()
        matched = [voc.judged(found, truth, 0.5) for found, truth in pictures]

        def figure(at: np.ndarray) -> float:
            return mean(np.array([curve.voc12 for curve in voc.pooled([matched[i] for i in at], len(self.labels))])) or 0.0

        return Sample("mAP at IoU .5 (VOC 2012)", np.array(sorted(self.pictures)), figure)

    def records(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """See `DetectMeter.records`; detections on objects that are to be ignored have "ignored" as their truth."""
        for position in sorted(self.pictures):
            found, truth = self.pictures[position]
            order = np.argsort(-found.scores, kind="stable")
            hit, neither, nearest = voc.matched(found.xyxy[order], found.labels[order], truth, 0.5)
            for at, is_hit, is_ignored in zip(order, hit, neither, strict=True):
                label = self.labels[found.labels[at]]
                true = label if is_hit else "ignored" if is_ignored else ""
                yield position, _record(true, label, float(found.scores[at]), found.xyxy[at])
            missed = np.setdiff1d(np.flatnonzero(~truth.ignore), nearest[hit])
            for at in missed:
                yield position, _record(self.labels[truth.labels[at]], "", None, truth.xyxy[at])
            if not len(hit) + len(missed):
                yield position, _record("", "", None, np.full(4, np.nan))

    def pooled(self) -> points.Pooled:
        """All boxes found, whatever their class."""
        return points.pooled(self._sorted())

    def curves(self) -> list[voc.Curve]:
        """Precision over recall of boxes at IoU .5, for each class."""
        return voc.curves(((found, truth) for found, truth in self._sorted()), len(self.labels))


def _record(truth: str, answer: str, score: float | None, xyxy: np.ndarray) -> dict[str, Any]:
    sides = (None if np.isnan(side) else float(side) for side in xyxy)
    return {"truth": truth, "answer": answer, "score": score} | dict(zip(("x0", "y0", "x1", "y1"), sides, strict=True))


def _of_class(name: str) -> str:
    return name.removeprefix("m") if name.startswith("map") else name


def _ordered(xyxy: np.ndarray) -> np.ndarray:
    """Float64, an inverted side as one of no length: such a box hits nothing, and no area is negative."""
    xyxy = np.asarray(xyxy, np.float64)
    return np.concatenate([xyxy[:, :2], np.maximum(xyxy[:, :2], xyxy[:, 2:])], axis=1)
