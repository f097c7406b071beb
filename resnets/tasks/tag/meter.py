"""The metric accumulator of tagging."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from resnets.data.types import Batch
from resnets.engine.contract import accumulate
from resnets.engine.values import NO_DECISION, Criterion, Decision, Outcomes, Sample
from resnets.errors import InputError
from resnets.models.nn.layers import precise
from resnets.tasks.image_level.kept import Kept
from resnets.tasks.means import mean, plain
from resnets.tasks.tag.rows import words
from resnets.tasks.tag.scores import Judgement, intervals_of
from resnets.tasks.tag.thresholds import of_labels, probabilities


class TagMeter:
    """See `engine.contract.Meter`. In training a quick one counts hits and errors; in validation outputs are kept."""

    def __init__(self, labels: Sequence[str], *, quick: Criterion | None) -> None:
        self.labels, self.quick = list(labels), quick
        self.sums: dict[str, Any] = {}
        self.decision: Decision = NO_DECISION

    def learn(self, outputs: Tensor, targets: Tensor) -> None:
        said, true = outputs >= 0, targets > 0.5  # logits from 0 on are probabilities from 0.5 on
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
        if self.quick is None:
            groups = None if groups is None else groups[kept.positions]
            whole = evaluation(kept.answers, kept.targets, self.labels, self.decision, groups)
            return {**whole, **({} if groups is None else {"num_groups": len(np.unique(groups))})}
        scores = judgement(kept.answers, kept.targets, self.labels, self.decision).scores(np.ones(len(kept.answers)))
        if (precision := mean(scores.ap)) is None:
            raise InputError(unmeasured(len(kept.answers)))
        return {"map": precision, "f1": scores.all_f1}

    def sample(self) -> Sample:
        kept = self.sums["kept"].sorted()
        judged = judgement(kept.answers, kept.targets, self.labels, self.decision)

        def mean_precision(at: np.ndarray) -> float:
            found = mean(judged.scores(np.bincount(at, minlength=len(kept.answers))).ap)
            return np.nan if found is None else found

        return Sample("mAP", kept.positions, mean_precision)

    def outcomes(self) -> Outcomes:
        """Images are put together by the rarest label that they have."""
        kept = self.sums["kept"].sorted()
        judged = judgement(kept.answers, kept.targets, self.labels, self.decision)
        true, said = judged.true, judged.said
        rarest = np.where(true, true.sum(0), len(true) + 1).argmin(1)
        return Outcomes(
            kept.positions, np.logaddexp(0, np.where(true, -kept.answers, kept.answers)).mean(1), (true != said).any(1),
            [words(row, self.labels) for row in true], [words(row, self.labels) for row in said],
            np.full(len(true), np.nan), np.where(true.any(1), rarest, len(self.labels)), [*self.labels, "none"],
        )  # fmt: skip

    def records(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """truth and answer, labels with bars between them, and the probability of each label as p_LABEL."""
        kept, names = self.sums["kept"].sorted(), np.array(self.labels, object)
        found = probabilities(kept.answers)
        said = found >= of_labels(self.decision, self.labels)
        columns = [f"p_{label}" for label in self.labels]
        for position, true, answer, there in zip(kept.positions, kept.targets > 0.5, said, found, strict=True):
            row = {"truth": "|".join(names[true]), "answer": "|".join(names[answer])}
            yield int(position), row | dict(zip(columns, there.tolist(), strict=True))


def unmeasured(num: int) -> str:
    """Why the best epoch cannot be chosen on so many validation pictures."""
    return (
        f"every label is on all or on none of the {num:,} validation pictures, so that mAP, by which the best weights are "
        "chosen, has no value; add pictures, or cut off more of them (--val-fraction 0.3)"
    )


class LabelResult(TypedDict):
    """Of one label; None where all or none of the pictures have it. Intervals are of 95 %, by bootstrap."""

    label: str
    ap: float | None
    ap_interval: list[float] | None
    auc: float | None
    auc_interval: list[float] | None
    precision: float | None
    recall: float | None
    f1: float | None
    f1_interval: list[float] | None
    threshold: float  # the probability from which it is named
    support: int  # pictures that have it


class Result(TypedDict):
    """An evaluation, as JSON can hold it: fractions. Labels that all or none of the pictures have are left out of means."""

    num_images: int
    loss: float  # binary cross-entropy
    map: float | None  # mean over labels of the average precision
    map_interval: list[float] | None
    auc: float | None  # the same of the area under the ROC curve
    auc_interval: list[float] | None
    f1: float  # of all labels of all pictures together, at the thresholds
    f1_interval: list[float] | None
    precision: float
    precision_interval: list[float] | None
    recall: float
    recall_interval: list[float] | None
    macro_f1: float | None  # mean over labels
    macro_f1_interval: list[float] | None
    exact: float  # pictures all of whose labels are right
    exact_interval: list[float] | None
    thresholds: str  # where they were chosen: "validation", or "0.5" for all labels
    unsupported: dict[str, int]  # labels that keep 0.5, for validation had so few pictures with them
    per_class: list[LabelResult]
    cooccurrence: list[list[int]]  # pictures that have both labels
    labels: list[str]


def judgement(outputs: np.ndarray, targets: np.ndarray, labels: Sequence[str], decision: Decision) -> Judgement:
    """From logits and targets (N, C)."""
    return Judgement(outputs, probabilities(outputs) >= of_labels(decision, labels), targets > 0.5)


def evaluation(
    outputs: np.ndarray,
    targets: np.ndarray,
    labels: Sequence[str],
    decision: Decision = NO_DECISION,
    groups: np.ndarray | None = None,
) -> Result:
    """From logits and targets (N, C). `groups` (N,): what each picture belongs to."""
    judged = judgement(outputs, targets, labels, decision)
    scores, true = judged.scores(np.ones(len(outputs))), judged.true
    whole, each = intervals_of(judged, groups)
    figures: Any = {}
    for name, value in scores.figures().items():
        figures |= {name: value, f"{name}_interval": between(whole[name])}
    columns = {name: getattr(scores, name) for name in ("ap", "auc", "precision", "recall", "f1")}
    spans = dict(zip(("ap", "auc", "f1"), each.tolist(), strict=True))
    thresholds = of_labels(decision, labels)
    rows: Any = [
        {"label": label}
        | {name: plain(values[i]) for name, values in columns.items()}
        | {f"{name}_interval": between(span[i]) for name, span in spans.items()}
        | {"threshold": float(thresholds[i]), "support": int(true[:, i].sum())}
        for i, label in enumerate(labels)
    ]
    result: Any = {
        "num_images": len(outputs),
        "loss": float(F.binary_cross_entropy_with_logits(torch.from_numpy(outputs), torch.from_numpy(targets))),
        **figures,
        "thresholds": "validation" if decision.get("thresholds") else "0.5",
        "unsupported": dict(decision.get("unsupported", {})),
        "per_class": rows,
        "cooccurrence": (true.T.astype(int) @ true.astype(int)).tolist(),
        "labels": list(labels),
    }
    return result


def between(interval: Sequence[float]) -> list[float] | None:
    """As JSON has it."""
    return None if np.isnan(interval).any() else list(interval)
