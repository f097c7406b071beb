"""The metric accumulator of segmentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resnets.data.readers.volume_labels import worst_slice
from resnets.data.targets import BACKGROUND, IGNORE
from resnets.data.types import Batch
from resnets.engine.contract import NO_DECISION, Decision, Sample, accumulate
from resnets.tasks.dense.task import Bad, worse
from resnets.tasks.means import by_groups, mean, plain
from resnets.tasks.segment import overlap
from resnets.tasks.segment.overlap import Counted

TOLERANCE = 0.0075  # of boundaries, as a fraction of the diagonal (Csurka et al. 2013)


class SegmentMeter:
    """See `engine.contract.Meter`. A quick one counts pixels only; another measures boundaries too, and keeps the worst."""

    def __init__(self, labels: Sequence[str], *, quick: bool) -> None:
        self.labels, self.quick = list(labels), quick
        self.background = self.labels.index(BACKGROUND) if BACKGROUND in self.labels else None
        self.counted = Counted(labels, background=self.background, boundary_share=TOLERANCE)
        self.sums: dict[str, Any] = {}
        self.decision: Decision = NO_DECISION
        self.worst: list[Bad] = []
        self.counts: dict[int, np.ndarray] = {}  # of each picture its pixels, a row a true class

    def learn(self, outputs: Any, targets: Tensor) -> None:
        logits = outputs[0] if isinstance(outputs, tuple) else outputs
        accumulate(self.sums, {"confusion": confusion(logits.argmax(1), targets, logits.shape[1])})

    def add(self, answers: Sequence[np.ndarray], batch: Batch) -> None:
        for found, truth in zip(answers, batch.targets, strict=True):
            if self.quick:
                accumulate(self.sums, {"confusion": overlap.confusion(found, truth.target, len(self.labels))})
            else:
                counts = self.counted.add(found, truth.target, truth.spacing)
                self.counts[truth.index] = counts
                own, row, there = mean(overlap.iou(counts)) or 0.0, 0, truth.target
                if there.ndim == 3:
                    row, there, found = worst_slice(there, found)
                self.worst = worse(self.worst, Bad(own, truth.index, row, there, found))

    def result(self, num_images: int, groups: np.ndarray | None = None) -> Mapping[str, Any]:
        if not self.quick:
            return {**self.counted.result(), **by_groups("miou", self.sample(), groups)}
        counts = self.sums["confusion"]
        counts = counts.cpu().numpy() if isinstance(counts, Tensor) else counts
        shown = [index for index in range(len(self.labels)) if index != self.background]
        return {
            "miou": mean(overlap.iou(counts)) or 0.0,
            "pixel_accuracy": float(np.trace(counts)) / max(1, int(counts.sum())),
            "dice": mean(overlap.dice(counts)[shown]) or 0.0,
        }

    def sample(self) -> Sample:
        positions = np.array(sorted(self.counts))
        counts = np.stack([self.counts[position] for position in positions])
        return Sample("mIoU", positions, lambda at: mean(overlap.iou(counts[at].sum(0))) or 0.0)

    def outcomes(self) -> None:
        """The worst images are drawn with what was found in them."""

    def records(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """A row a picture: its mIoU, and of each class its Dice and its pixels, true and predicted."""
        for position in sorted(self.counts):
            counts = self.counts[position]
            row: dict[str, Any] = {"miou": mean(overlap.iou(counts))}
            columns = zip(self.labels, overlap.dice(counts), counts.sum(1), counts.sum(0), strict=True)
            for label, own, true, said in columns:
                row |= {f"dice_{label}": plain(own), f"true_{label}": int(true), f"predicted_{label}": int(said)}
            yield position, row


def confusion(predicted: Tensor, truth: Tensor, num_classes: int) -> Tensor:
    """Pixels (num_classes, num_classes) int64, a row a true class, a column a predicted one, where the truth is not ignored:
    on the device of a training, which does not wait for it."""
    known = truth != IGNORE
    pairs = truth[known] * num_classes + predicted[known]
    return torch.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)
