"""The metric accumulator of segmentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resnets.data.planes import busiest, planes
from resnets.data.targets import BACKGROUND, IGNORE
from resnets.data.types import Batch
from resnets.engine.contract import accumulate
from resnets.engine.values import NO_DECISION, Decision, Sample
from resnets.measures.agreement import Agreement
from resnets.tasks.dense.task import Bad, worse
from resnets.tasks.means import by_groups, mean, plain
from resnets.tasks.segment import cases, overlap
from resnets.tasks.segment.cases import Case
from resnets.tasks.segment.overlap import Counted
from resnets.tasks.segment.settings import SURFACE_TOLERANCE

TOLERANCE = 0.0075  # of boundaries of pictures, as a fraction of the diagonal (Csurka et al. 2013)


class SegmentMeter:
    """See `engine.contract.Meter`. A quick one counts pixels only; another measures boundaries too, and keeps the worst.

    Args:
        tolerance: of the surfaces of volumes in mm.
    """

    def __init__(self, labels: Sequence[str], *, quick: bool, tolerance: float = SURFACE_TOLERANCE) -> None:
        self.labels, self.quick, self.tolerance = list(labels), quick, tolerance
        self.background = self.labels.index(BACKGROUND) if BACKGROUND in self.labels else None
        self.counted = Counted(labels, background=self.background, boundary_share=TOLERANCE, boundary_distance=tolerance)
        self.sums: dict[str, Any] = {}
        self.decision: Decision = NO_DECISION
        self.worst: list[Bad] = []
        self.cases: dict[int, Case] = {}  # by position in the split

    def learn(self, outputs: Any, targets: Tensor) -> None:
        logits = outputs[0] if isinstance(outputs, tuple) else outputs
        accumulate(self.sums, {"confusion": confusion(logits.argmax(1), targets, logits.shape[1])})

    def add(self, answers: Sequence[np.ndarray], batch: Batch) -> None:
        for found, truth in zip(answers, batch.targets, strict=True):
            if self.quick:
                accumulate(self.sums, {"confusion": overlap.confusion(found, truth.target, len(self.labels))})
            else:
                measured, there = self.counted.add(found, truth.target, truth.spacing), truth.target
                spacing = truth.spacing if there.ndim == 3 else None
                self.cases[truth.index] = Case(measured, None if spacing is None else cases.voxel_ml(spacing))
                bad = Bad(mean(overlap.iou(measured.counts)) or 0.0, truth.index, (), there, found)
                if there.ndim == 3:
                    at = busiest((true != said) & (true != IGNORE) for true, said in zip(there, found, strict=True))
                    bad = bad._replace(at=at, truth=planes(there, at), found=planes(found, at))
                self.worst = worse(self.worst, bad)

    def result(self, num_images: int, groups: np.ndarray | None = None) -> Mapping[str, Any]:
        if not self.quick:
            result = {**self.counted.result(), **by_groups("miou", self.sample(), groups)}
            if self._of_pictures:
                return result
            several = [case for _, case in sorted(self.cases.items())]
            more = cases.figures(several, self.labels, self.background, self._own(groups))
            return cases.merged(result, more) | {"surface_tolerance_mm": self.tolerance}
        counts = self.sums["confusion"]
        counts = counts.cpu().numpy() if isinstance(counts, Tensor) else counts
        shown = [index for index in range(len(self.labels)) if index != self.background]
        return {
            "miou": mean(overlap.iou(counts)) or 0.0,
            "pixel_accuracy": float(np.trace(counts)) / max(1, int(counts.sum())),
            "dice": mean(overlap.dice(counts)[shown]) or 0.0,
        }

    def agreements(self, groups: np.ndarray | None) -> Mapping[str, Agreement]:
        """By class, predicted millilitres beside true ones; nothing of pictures. `groups` are as of `result`."""
        if self._of_pictures:
            return {}
        several = [case for _, case in sorted(self.cases.items())]
        return cases.agreements(several, self.labels, self.background, self._own(groups))

    @property
    def _of_pictures(self) -> bool:
        return any(case.voxel_ml is None for case in self.cases.values())

    def _own(self, groups: np.ndarray | None) -> np.ndarray | None:
        return None if groups is None else groups[sorted(self.cases)]

    def sample(self) -> Sample:
        positions = np.array(sorted(self.cases))
        counts = np.stack([self.cases[position].measured.counts for position in positions])
        return Sample("mIoU", positions, lambda at: mean(overlap.iou(counts[at].sum(0))) or 0.0)

    def outcomes(self) -> None:
        """The worst images are drawn with what was found in them."""

    def records(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """A row a picture: its mIoU, and of each class its Dice and its pixels, true and predicted; of volumes more."""
        for position, case in sorted(self.cases.items()):
            counts = case.measured.counts
            row: dict[str, Any] = {"miou": mean(overlap.iou(counts))}
            columns = zip(self.labels, overlap.dice(counts), counts.sum(1), counts.sum(0), strict=True)
            for label, own, true, said in columns:
                row |= {f"dice_{label}": plain(own), f"true_{label}": int(true), f"predicted_{label}": int(said)}
            if case.voxel_ml is not None:
                row |= cases.record(case, self.labels, self.background)
            yield position, row


def confusion(predicted: Tensor, truth: Tensor, num_classes: int) -> Tensor:
    """Pixels (num_classes, num_classes) int64, a row a true class, a column a predicted one, where the truth is not ignored:
    on the device of a training, which does not wait for it."""
    known = truth != IGNORE
    pairs = truth[known] * num_classes + predicted[known]
    return torch.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)
