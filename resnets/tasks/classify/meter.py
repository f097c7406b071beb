"""The metric accumulator of classification."""

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
from resnets.measures import balance
from resnets.measures.intervals import of_share, wilson
from resnets.models.nn.layers import precise
from resnets.tasks.classify import confidence, points


class ClassifyMeter:
    """See `engine.contract.Meter`. A quick one counts hits on the device, without waiting for it; another keeps all outputs."""

    def __init__(self, labels: Sequence[str], *, quick: Criterion | None) -> None:
        self.labels, self.quick = list(labels), quick
        self.sums: dict[str, Any] = {}
        self.decision: Decision = NO_DECISION
        self.kept: list[tuple[Tensor, Tensor, Tensor]] = []

    def learn(self, outputs: Tensor, targets: Tensor) -> None:
        hard = targets if targets.ndim == 1 else targets.argmax(1)
        accumulate(self.sums, {"top1": (outputs.argmax(1) == hard).sum()})

    def add(self, answers: Any, batch: Batch) -> None:
        """`answers`: logits (N, num_classes)."""
        outputs = torch.as_tensor(answers)
        if self.quick is None:
            self.kept.append((outputs, batch.targets, batch.indices))
            return
        self.learn(outputs, batch.targets)
        accumulate(self.sums, {"loss": precise(self.quick(outputs, batch.targets)["loss"]) * len(outputs)})

    @property
    def outputs(self) -> tuple[Tensor, Tensor, np.ndarray]:
        """Logits (N, num_classes), targets (N,) and positions in the split (N,) of all images so far."""
        outputs, targets, positions = (torch.cat(column) for column in zip(*self.kept, strict=True))
        return outputs, targets, positions.numpy()

    def result(self, num_images: int, groups: np.ndarray | None = None) -> Mapping[str, Any]:
        if self.quick is not None:
            return {"top1": float(self.sums["top1"]) / num_images}
        outputs, targets, positions = self.outputs
        own = None if groups is None else groups[positions]
        found = evaluation(outputs, targets, self.labels, self.decision, own)
        return found if own is None else {**found, "num_groups": len(np.unique(own))}

    def sample(self) -> Sample:
        outputs, targets, positions = self.outputs
        order = np.argsort(positions, kind="stable")
        right = (outputs.argmax(1) == targets).numpy()[order]
        return Sample("accuracy", positions[order], lambda at: float(right[at].mean()), right)

    def outcomes(self) -> Outcomes:
        outputs, targets, positions = self.outputs
        order = np.argsort(positions, kind="stable")
        truth, said = targets.numpy()[order], outputs.argmax(1).numpy()[order]
        chances = confidence.softmax(confidence.scaled(outputs.numpy()[order], self.decision))
        losses = F.cross_entropy(outputs.float(), targets, reduction="none").double().numpy()[order]
        names = self.labels
        return Outcomes(
            positions[order], losses, truth != said, [names[i] for i in truth], [names[i] for i in said],
            chances[np.arange(len(said)), said], truth, names, said,
        )  # fmt: skip

    def records(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """truth, answer (as `predict` gives it), the score of being unlike the training data, and the probability of each class
        as p_CLASS."""
        outputs, targets, positions = self.outputs
        found = confidence.apply(outputs.numpy(), confidence.rule(self.decision))
        probabilities = confidence.softmax(confidence.scaled(outputs.numpy(), self.decision))
        names = [f"p_{label}" for label in self.labels]
        said = points.said(confidence.scaled(outputs.numpy(), self.decision), self.labels, self.decision)
        for at in np.argsort(positions, kind="stable"):
            row = {"truth": self.labels[int(targets[at])], "answer": found.word(int(at), self.labels, said[at])}
            scores = dict(zip(names, probabilities[at].tolist(), strict=True))
            yield int(positions[at]), {**row, "ood_score": float(found.scores[at]), **scores}


class ClassResult(TypedDict):
    """Of one class; all 0 where it has no picture."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int  # pictures of the class


class Result(TypedDict):
    """An evaluation, as JSON can hold it; accuracies and so on are fractions. `confidence.result` and `points.result` add
    their figures.

    Intervals are of 95 %; that of the bootstrap is None where all draws give the same."""

    num_images: int
    loss: float  # cross-entropy of the outputs as they are
    top1: float
    top5: float
    top1_interval: list[float]  # 95 %; by groups where there are any, whose number is then "num_groups"
    unbalanced: bool  # the largest class has twice as many pictures as the smallest, or more
    balanced_accuracy: float  # mean recall of the classes that have pictures
    balanced_accuracy_interval: list[float] | None
    macro_f1: float  # mean over the classes that have pictures
    macro_f1_interval: list[float] | None
    too_few: list[str]  # classes with so few pictures that their figures say little
    per_class: list[ClassResult]
    confusion: list[list[int]]  # pictures, a row for each true class
    labels: list[str]


def evaluation(
    outputs: Tensor,
    targets: Tensor,
    labels: Sequence[str],
    decision: Decision = NO_DECISION,
    groups: np.ndarray | None = None,
) -> Mapping[str, Any]:
    """A `Result` and the figures of `confidence.result` and `points.result`, from logits (N, num_classes) and class indices
    (N,).

    Args:
        groups: (N,) what each image belongs to.
    """
    num_images, num_classes = outputs.shape
    predicted, truth = outputs.argmax(1).numpy(), targets.numpy()
    top = outputs.topk(min(5, num_classes)).indices
    hits = int((predicted == truth).sum())
    confusion = balance.confusion(truth, predicted, num_classes)
    support = confusion.sum(1)
    per_class: list[ClassResult] = [
        {"label": label, "precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
        for label, p, r, f, n in zip(labels, *balance.per_class(confusion), support, strict=True)
    ]
    recall, f1 = balance.balanced(truth, predicted, num_classes, groups)
    found: Result = {
        "num_images": num_images,
        "loss": float(F.cross_entropy(outputs, targets)),
        "top1": hits / num_images,
        "top5": float((top == targets[:, None]).any(1).float().mean()),
        "top1_interval": wilson(hits, num_images) if groups is None else of_share(predicted == truth, groups) or [0.0, 1.0],
        "unbalanced": balance.is_unbalanced(support),
        "balanced_accuracy": recall.value,
        "balanced_accuracy_interval": recall.interval,
        "macro_f1": f1.value,
        "macro_f1_interval": f1.interval,
        "too_few": [row["label"] for row in per_class if 0 < row["support"] < balance.FEW],
        "per_class": per_class,
        "confusion": confusion.tolist(),
        "labels": list(labels),
    }
    logits = outputs.numpy()
    scaled = confidence.scaled(logits, decision)
    return (
        found
        | confidence.result(logits, truth, decision, groups, points.answers(scaled, labels, decision))
        | points.result(scaled, truth, labels, decision, groups)
    )


def worst_errors(outputs: Tensor, targets: Tensor, most: int) -> list[int]:
    """Positions of wrong answers, the one that gives the truth the least probability first."""
    loss = F.cross_entropy(outputs.float(), targets, reduction="none")
    loss[outputs.argmax(1) == targets] = -1
    order = loss.argsort(descending=True)[:most]
    return [int(i) for i in order if loss[i] >= 0]
