"""The metric accumulator of detection."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from resnets.data.targets import Boxes, Detections
from resnets.data.types import Batch
from resnets.engine.values import NO_DECISION, Decision, Sample
from resnets.models.answering import Wanted
from resnets.tasks.dense.task import Bad, worse
from resnets.tasks.detect import points
from resnets.tasks.detect.average_precision import Collected
from resnets.tasks.detect.rows import SURE, at_least, least_score


class DetectMeter:
    """See `engine.contract.Meter`. A quick one measures boxes only, and keeps no worst pictures. In training nothing is
    searched for, so that it has no scores then."""

    def __init__(self, labels: Sequence[str], config: Mapping[str, Any], *, quick: bool) -> None:
        self.labels, self.quick = list(labels), quick
        masks = bool(config.get("masks")) and not quick
        self.empty = Collected(labels, masks=masks, most=int(config.get("most_objects", 100)))
        self.sums: dict[str, Any] = {}
        self.decision: Decision = NO_DECISION
        self.worst: list[Bad] = []

    @property
    def collected(self) -> Collected:
        """All objects so far."""
        return self.sums.setdefault("found", self.empty)

    def learn(self, outputs: Any, targets: Any) -> None:
        """The outputs of training are losses."""

    def add(self, answers: Sequence[Detections], batch: Batch) -> None:
        for found, truth in zip(answers, batch.targets, strict=True):
            target = dataclasses.replace(truth.target, masks=None) if self.quick else truth.target
            self.collected.add(truth.index, found, target)
            if not self.quick:
                own = f1(at_least(found, SURE), target)
                self.worst = worse(self.worst, Bad(own, truth.index, (), target, found))

    def result(self, num_images: int, groups: np.ndarray | None = None) -> Mapping[str, Any]:
        if "found" not in self.sums:
            return {}
        result = self.collected.result()
        if self.quick:  # None: no objects
            return {name: math.nan if result[name] is None else result[name] for name in ("map", "map50")}
        own = groups if groups is None else groups[sorted(self.collected.pictures)]
        threshold = least_score(Wanted(decision=self.decision))
        return result | points.result(self.collected.pooled(), threshold, self.decision, own)

    def sample(self) -> Sample:
        return self.collected.sample()

    def outcomes(self) -> None:
        """The worst images are drawn with what was found in them."""

    def records(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """A row an object that was found, the surest first, or missed (answer ""); one of a picture without either. truth: the
        class of the object that it hits at IoU .5, "" where it hits none."""
        return self.collected.records()


def f1(found: Detections, truth: Boxes) -> float:
    """Of one picture at IoU .5; what is to be ignored counts for nothing. 1 where there is nothing and nothing was found."""
    from torchvision.ops import box_iou

    real = ~truth.ignore
    overlaps = box_iou(torch.from_numpy(found.xyxy).double(), torch.from_numpy(truth.xyxy).double()).numpy()
    overlaps[found.labels[:, None] != truth.labels[None]] = 0
    free, hits, wrong = np.ones(len(truth.labels), bool), 0, 0
    for row in overlaps:  # the surest first
        best = int(np.argmax(np.where(free & real, row, 0))) if free.any() else -1
        if best >= 0 and free[best] and real[best] and row[best] >= 0.5:
            free[best], hits = False, hits + 1
        elif not (row[truth.ignore] >= 0.5).any():
            wrong += 1
    missed = int(real.sum()) - hits
    return 1.0 if not (hits or wrong or missed) else 2 * hits / (2 * hits + wrong + missed)
