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
from resnets.tasks.classify.meter import confidence, worst_errors

MOST = 24  # errors that are shown


def evaluation(
    outputs: Tensor, targets: Tensor, positions: np.ndarray, labels: Sequence[str], images: Any, folder: Path
) -> list[Path]:
    """Draw the confusion matrix, the reliability and the worst errors of logits (N, num_classes); the drawings' paths.

    Args:
        positions: (N,) of the pictures in `images`.
    """
    from sklearn.metrics import confusion_matrix

    answers = outputs.argmax(1)
    matrix = confusion_matrix(targets.numpy(), answers.numpy(), labels=range(len(labels)))
    drawings = [
        confusion(matrix, labels, folder / "confusion.png"),
        reliability(*confidence(outputs, targets), folder / "reliability.png"),
    ]
    worst = worst_errors(outputs, targets, most=MOST)
    if len(worst):
        captions = [f"{labels[int(answers[i])]}\nis {labels[int(targets[i])]}" for i in worst]
        pictures = [images[int(positions[i])] for i in worst]
        drawings.append(gallery(pictures, captions, folder / "errors.png", title="Wrong, and surest of it"))
    return drawings
