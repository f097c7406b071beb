"""Detections beside the truth: COCO's average precisions, for boxes and masks, and Pascal VOC's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from resnets.data.targets import Boxes, Detections
from resnets.errors import InputError
from resnets.tasks.detect import coco, voc
from resnets.tasks.detect.objects import Objects
from resnets.tasks.means import mean, plain


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
        coco.library()
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

    def update(self, pictures: dict[int, tuple[Objects, Objects]]) -> None:
        """Add the `pictures` of another process."""
        self.pictures |= pictures

    def __add__(self, other: Collected) -> Collected:
        """Both together, of one split."""
        whole = Collected(self.labels, masks=self.masks, most=self.most)
        whole.pictures = self.pictures | other.pictures
        return whole

    def _sorted(self) -> list[tuple[Objects, Objects]]:
        return [self.pictures[position] for position in sorted(self.pictures)]

    def result(self) -> dict[str, Any]:
        """What JSON can hold; shares from 0 to 1, None where there is nothing to find.

        `map` (COCO's AP, the mean over IoU .5, .55, ... .95), `map50`, `map75`, `map_small`, `map_medium`, `map_large` (up to
        32 and 96 pixels squared), recalls `ar1`, `ar10`, `ar100` (the last after `most`), `ar_small` ..., VOC's `voc07` and
        `voc12`; the same of masks under `masks`; and a row for each class. Classes without an object are left out of means.
        """
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
        return {
            "num_images": len(pictures),
            "num_objects": sum(curve.num_objects for curve in curves),
            **{name: mean(values) for name, values in columns.items()},
            **({"masks": {name: mean(values) for name, values in by_mask.items()}} if self.masks else {}),
            "per_class": rows,
            "labels": self.labels,
        }

    def curves(self) -> list[voc.Curve]:
        """Precision over recall of boxes at IoU .5, for each class."""
        return voc.curves(((found, truth) for found, truth in self._sorted()), len(self.labels))


def _of_class(name: str) -> str:
    return name.removeprefix("m") if name.startswith("map") else name


def _ordered(xyxy: np.ndarray) -> np.ndarray:
    """Float64, an inverted side as one of no length: such a box hits nothing, and no area is negative."""
    xyxy = np.asarray(xyxy, np.float64)
    return np.concatenate([xyxy[:, :2], np.maximum(xyxy[:, :2], xyxy[:, 2:])], axis=1)
