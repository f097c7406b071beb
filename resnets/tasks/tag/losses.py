"""The losses of tagging: logits (N, C), targets (N, C) in [0, 1] -> a scalar."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from resnets.engine.values import Criterion, Losses
from resnets.tasks.tag.settings import TagSettings

MOST = 20.0  # times that a positive may weigh


class Asymmetry(NamedTuple):
    """How positives and negatives count differently in `asymmetric`."""

    gamma_pos: float
    gamma_neg: float
    clip: float


def criterion(smoothing: float, weight: Tensor | None, asymmetry: Asymmetry | None = None) -> Criterion:
    """A yes or no per label: binary cross-entropy, or the asymmetric loss. `weight` (C,): of the positives of each label."""

    def binary(outputs: Tensor, targets: Tensor) -> Losses:
        soft = targets.float() * (1 - smoothing) + smoothing / 2
        weights = None if weight is None else weight.to(outputs.device)
        if asymmetry is not None:
            return {"loss": asymmetric(outputs.float(), soft, asymmetry, weights)}
        return {"loss": F.binary_cross_entropy_with_logits(outputs.float(), soft, pos_weight=weights)}

    return binary


def of_recipe(recipe: TagSettings, class_counts: np.ndarray) -> Criterion:
    """The loss that a recipe names."""
    weight = positive_weights(class_counts) if recipe.balance == "loss" else None
    asymmetry = Asymmetry(recipe.gamma_pos, recipe.gamma_neg, recipe.asl_clip) if recipe.loss == "asl" else None
    return criterion(recipe.smoothing, weight, asymmetry)


def asymmetric(outputs: Tensor, targets: Tensor, by: Asymmetry, weights: Tensor | None = None) -> Tensor:
    """The asymmetric loss (Ridnik et al. 2021, arXiv 2009.14119, equations 4 to 6): with the probability p of a label, and
    q = max(p - clip, 0), (1 - p)^gamma_pos log(p) of positives and q^gamma_neg log(1 - q) of negatives, negated. Easy negatives
    count little, and those below `clip` nothing. With 0, 0, 0 it is binary cross-entropy.

    The mean over pictures and labels, as binary cross-entropy is here; the authors sum over labels.
    """
    there = torch.sigmoid(outputs)
    shifted = (there - by.clip).clamp(min=0)
    positive = (1 - there) ** by.gamma_pos * F.logsigmoid(outputs)
    # log(1 - p) without loss of digits where nothing is shifted.
    absent = F.logsigmoid(-outputs) if by.clip == 0 else torch.log1p(-shifted)
    if weights is not None:
        positive = positive * weights
    return -(targets * positive + (1 - targets) * shifted**by.gamma_neg * absent).mean()


def positive_weights(positives: np.ndarray) -> Tensor:
    """(C,): how much the positives of each label weigh, from their numbers (C,): in inverse proportion, 1 for the most frequent
    label, at most `MOST`; 1 where no picture has it."""
    ratio = np.where(positives > 0, positives.max(initial=1) / np.maximum(positives, 1), 1.0)
    return torch.tensor(np.minimum(ratio, MOST), dtype=torch.float32)
