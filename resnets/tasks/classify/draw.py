"""Drawings of how a split was classified."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from resnets.data.types import Split
from resnets.data.words import called
from resnets.draw.confusion import confusion
from resnets.draw.gallery import gallery
from resnets.draw.reliability import reliability
from resnets.draw.tradeoffs import precision_recall, roc
from resnets.engine.values import NO_DECISION, Decision
from resnets.measures import balance, curves
from resnets.tasks.classify import confidence, points
from resnets.tasks.classify.meter import worst_errors

MOST = 24  # errors that are shown


def evaluation(
    outputs: Tensor,
    targets: Tensor,
    positions: np.ndarray,
    labels: Sequence[str],
    split: Split,
    folder: Path,
    decision: Decision = NO_DECISION,
) -> list[Path]:
    """Draw the confusion matrix, the reliability before and after the temperature, the worst errors and, of a class against the
    rest, ROC and precision over recall; of logits (N, num_classes). The drawings' paths.

    Args:
        positions: (N,) of the pictures in the split.
    """
    answers = outputs.argmax(1)
    matrix = balance.confusion(targets.numpy(), answers.numpy(), len(labels))
    drawings = [
        confusion(matrix, labels, folder / "confusion.png", of=called(split.images)),
        reliability(*confidences(outputs, targets, decision), folder / "reliability.png"),
    ]
    groups = None if split.groups is None else split.groups[positions]
    scaled = confidence.scaled(outputs.numpy(), decision)
    drawings += tradeoffs(scaled, targets.numpy(), labels, decision, folder, groups)
    worst = worst_errors(outputs, targets, most=MOST)
    if len(worst):
        captions = [f"{labels[int(answers[i])]}\nis {labels[int(targets[i])]}" for i in worst]
        pictures = [split.images[int(positions[i])] for i in worst]
        drawings.append(gallery(pictures, captions, folder / "errors.png", title="Wrong, and surest of it"))
    return drawings


def tradeoffs(
    outputs: np.ndarray,
    targets: np.ndarray,
    labels: Sequence[str],
    decision: Decision,
    folder: Path,
    groups: np.ndarray | None,
) -> list[Path]:
    """The ROC curve and precision over recall of the class that is positive, with the operating point; none where no class is,
    or where all pictures, or none, are of it."""
    result = points.result(outputs, targets, labels, decision, groups)
    if not (result.get("num_positive") and result["num_negative"]):
        return []
    name = result["positive"]
    index = list(labels).index(name)
    curve = curves.curve(points.probability(outputs, index), targets == index)
    areas = {key: (result[key], result[f"{key}_interval"]) for key in ("auc", "average_precision")}
    marks: list[Any] = [None, None]
    if "operating_point" in result:
        marks[0] = (1 - result["specificity"], result["sensitivity"])
        marks[1] = None if result["ppv"] is None else (result["sensitivity"], result["ppv"])
    of_all = float((targets == index).mean())
    return [
        roc(1 - curve.specificity, curve.sensitivity, folder / "roc.png", area=areas["auc"], at=marks[0], name=name),
        precision_recall(
            curve.sensitivity[1:], curve.precision[1:], folder / "precision_recall.png", area=areas["average_precision"],
            share=of_all, at=marks[1], name=name,
        ),
    ]  # fmt: skip


def confidences(outputs: Tensor, targets: Tensor, decision: Decision) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The probability of the answer (N,), with a temperature before and after, by name; and whether it is right (N,)."""
    logits, temperature = outputs.numpy(), confidence.rule(decision).temperature
    rules = {"": confidence.Rule()}
    if temperature != 1:
        rules = {"as it is": confidence.Rule(), f"temperature {temperature:.3g}": confidence.Rule(temperature)}
    found = {name: confidence.apply(logits, rule).probabilities.max(1) for name, rule in rules.items()}
    return found, logits.argmax(1) == targets.numpy()
