"""The metric accumulator of tagging."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from resnets.data.types import Batch
from resnets.engine.contract import NO_DECISION, Criterion, Decision, Sample, accumulate
from resnets.models.nn.layers import precise
from resnets.tasks.means import by_groups, mean, plain, ratio


@dataclass(frozen=True)
class Kept:
    """Logits and targets (N, C) of pictures, and their positions in the split (N,)."""

    outputs: np.ndarray
    targets: np.ndarray
    positions: np.ndarray

    def __add__(self, other: Kept) -> Kept:
        pairs = ((getattr(self, name), getattr(other, name)) for name in ("outputs", "targets", "positions"))
        return Kept(*(np.concatenate(pair) for pair in pairs))

    def sorted(self) -> Kept:
        """In the order of the split, each picture once: results do not depend on the order, or on the number of processes."""
        _, first = np.unique(self.positions, return_index=True)
        return Kept(self.outputs[first], self.targets[first], self.positions[first])


class TagMeter:
    """See `engine.contract.Meter`. In training a quick one counts hits and errors; in validation outputs are kept."""

    def __init__(self, labels: Sequence[str], *, quick: Criterion | None) -> None:
        self.labels, self.quick = list(labels), quick
        self.sums: dict[str, Any] = {}
        self.decision: Decision = NO_DECISION

    def learn(self, outputs: Tensor, targets: Tensor) -> None:
        said, true = outputs > 0, targets > 0.5  # logits above 0 are probabilities above 0.5
        counts = torch.stack([(said & true).sum(), (said & ~true).sum(), (~said & true).sum()])
        accumulate(self.sums, {"hits_extra_missed": counts})

    def add(self, answers: Any, batch: Batch) -> None:
        """`answers`: logits (N, C)."""
        outputs = torch.as_tensor(answers)
        columns = (outputs.float(), batch.targets, batch.indices)
        accumulate(self.sums, {"kept": Kept(*(column.cpu().numpy() for column in columns))})
        if self.quick is not None:
            loss = self.quick(outputs, batch.targets)["loss"]
            accumulate(self.sums, {"loss": precise(loss) * len(outputs)})

    def result(self, num_images: int, groups: np.ndarray | None = None) -> Mapping[str, Any]:
        if "kept" not in self.sums:  # of training
            hits, extra, missed = self.sums["hits_extra_missed"].tolist()
            return {"f1": 2 * hits / max(1, 2 * hits + extra + missed)}
        kept = self.sums["kept"].sorted()
        whole = evaluation(kept.outputs, kept.targets, self.labels)
        intervals = {} if self.quick is not None else by_groups("map", self.sample(), groups)
        return {"map": whole["map"] or 0.0, "f1": whole["f1"]} if self.quick is not None else {**whole, **intervals}

    def sample(self) -> Sample:
        kept = self.sums["kept"].sorted()
        return Sample("mAP", kept.positions, mean_precision(kept.outputs, kept.targets > 0.5))

    def records(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """truth and answer, labels with bars between them, and the probability of each label as p_LABEL."""
        kept = self.sums["kept"].sorted()
        probabilities = 1 / (1 + np.exp(-kept.outputs.astype(np.float64)))
        names = [f"p_{label}" for label in self.labels]
        for position, true, there in zip(kept.positions, kept.targets > 0.5, probabilities, strict=True):
            sides = {"truth": true, "answer": there > 0.5}
            row = {side: "|".join(np.array(self.labels, object)[which]) for side, which in sides.items()}
            yield int(position), row | dict(zip(names, there.tolist(), strict=True))


def mean_precision(outputs: np.ndarray, true: np.ndarray) -> Callable[[np.ndarray], float]:
    """The mAP of the pictures at some positions, which may repeat, from logits and targets (N, C) of all.

    As scikit-learn's average precision, equal logits included; but sorted once for a thousand draws of the pictures.
    """
    order = np.argsort(-outputs, axis=0, kind="stable")
    logits, there = (np.take_along_axis(values, order, 0) for values in (outputs, true))
    # The last of the pictures with the same logit: what is as likely is counted together.
    ends = np.where(
        np.r_[logits[1:] != logits[:-1], np.ones((1, logits.shape[1]), bool)], np.arange(len(logits))[:, None], len(logits)
    )
    last = np.minimum.accumulate(ends[::-1], axis=0)[::-1]

    def figure(at: np.ndarray) -> float:
        weights = np.bincount(at, minlength=len(outputs))[order]
        hits, seen = np.cumsum(weights * there, 0), np.cumsum(weights, 0)
        precision = np.take_along_axis(hits, last, 0) / np.maximum(np.take_along_axis(seen, last, 0), 1)
        known = (hits[-1] > 0) & (hits[-1] < seen[-1])
        found = (precision * weights * there).sum(0)[known] / hits[-1][known]
        return float(found.mean()) if known.any() else np.nan

    return figure


class LabelResult(TypedDict):
    """Of one label; None where all or none of the pictures have it."""

    label: str
    ap: float | None
    auc: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    support: int  # pictures that have it


class Result(TypedDict):
    """An evaluation, as JSON can hold it: fractions. Labels that all or none of the pictures have are left out of means."""

    num_images: int
    loss: float
    map: float | None  # mean over labels of the average precision
    auc: float | None  # the same of the area under the ROC curve
    f1: float  # of all labels of all pictures together, at a probability of 0.5
    macro_f1: float | None  # mean over labels
    exact: float  # pictures all of whose labels are right
    per_class: list[LabelResult]
    cooccurrence: list[list[int]]  # pictures that have both labels
    labels: list[str]


def evaluation(outputs: np.ndarray, targets: np.ndarray, labels: Sequence[str]) -> Result:
    """From logits and targets (N, C)."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    said, true = outputs > 0, targets > 0.5
    hits, extra, missed = (said & true).sum(0), (said & ~true).sum(0), (~said & true).sum(0)
    known: np.ndarray = np.logical_and(true.any(0), ~true.all(0))

    def by_label(score: Callable[[np.ndarray, np.ndarray], float]) -> np.ndarray:
        pairs = zip(true.T, outputs.T, known, strict=True)
        return np.array([score(there, logits) if measurable else np.nan for there, logits, measurable in pairs])

    precisions, areas = by_label(average_precision_score), by_label(roc_auc_score)
    f1 = ratio(2 * hits, 2 * hits + extra + missed)
    columns = {"ap": precisions, "auc": areas, "precision": ratio(hits, hits + extra), "recall": ratio(hits, hits + missed)}
    rows: Any = [
        {"label": label, **{name: plain(values[i]) for name, values in columns.items()}, "f1": plain(f1[i])}
        | {"support": int(true[:, i].sum())}
        for i, label in enumerate(labels)
    ]
    return {
        "num_images": len(outputs),
        "loss": float(F.binary_cross_entropy_with_logits(torch.from_numpy(outputs), torch.from_numpy(targets))),
        "map": mean(precisions),
        "auc": mean(areas),
        "f1": float(2 * hits.sum() / max(1, 2 * hits.sum() + extra.sum() + missed.sum())),
        "macro_f1": mean(np.where(known, f1, np.nan)),
        "exact": float((said == true).all(1).mean()),
        "per_class": rows,
        "cooccurrence": (true.T.astype(int) @ true.astype(int)).tolist(),
        "labels": list(labels),
    }
