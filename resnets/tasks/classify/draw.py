"""Drawings of how a split was classified."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from resnets.draw.confusion import confusion
from resnets.draw.gallery import gallery
from resnets.draw.reliability import reliability
from resnets.engine.contract import NO_DECISION, Decision
from resnets.tasks.classify import confidence
from resnets.tasks.classify.meter import worst_errors

MOST = 24  # errors that are shown


def evaluation(
    outputs: Tensor,
    targets: Tensor,
    positions: np.ndarray,
    labels: Sequence[str],
    images: Any,
    folder: Path,
    decision: Decision = NO_DECISION,
) -> list[Path]:
    """Draw the confusion matrix, the reliability before and after the temperature, and the worst errors of logits (N,
    num_classes); the drawings' paths.

    Args:
        positions: (N,) of the pictures in `images`.
    """
    from sklearn.metrics import confusion_matrix

    answers = outputs.argmax(1)
    matrix = confusion_matrix(targets.numpy(), answers.numpy(), labels=range(len(labels)))
    drawings = [
        confusion(matrix, labels, folder / "confusion.png"),
        reliability(*confidences(outputs, targets, decision), folder / "reliability.png"),
    ]
    worst = worst_errors(outputs, targets, most=MOST)
    if len(worst):
        captions = [f"{labels[int(answers[i])]}\nis {labels[int(targets[i])]}" for i in worst]
        pictures = [images[int(positions[i])] for i in worst]
        drawings.append(gallery(pictures, captions, folder / "errors.png", title="Wrong, and surest of it"))
    return drawings


def confidences(outputs: Tensor, targets: Tensor, decision: Decision) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The probability of the answer (N,), with a temperature before and after, by name; and whether it is right (N,)."""
    logits, temperature = outputs.numpy(), confidence.rule(decision).temperature
    rules = {"": confidence.Rule()}
    if temperature != 1:
        rules = {"as it is": confidence.Rule(), f"temperature {temperature:.3g}": confidence.Rule(temperature)}
    found = {name: confidence.apply(logits, rule).probabilities.max(1) for name, rule in rules.items()}
    return found, logits.argmax(1) == targets.numpy()
