"""The losses of classification: logits (N, C), targets (N,) int64 or mixed (N, C) float32 -> a scalar."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from resnets.engine.values import Criterion, Losses
from resnets.tasks.classify.settings import ClassifySettings


def criterion(loss: str, smoothing: float, weight: Tensor | None) -> Criterion:
    """Cross-entropy ("ce"), or for "bce" a yes or no for every class (arXiv 2110.00476, section 2.1); `weight` (C,)."""

    def cross_entropy(outputs: Tensor, targets: Tensor) -> Losses:
        weights = None if weight is None else weight.to(outputs.device)
        return {"loss": F.cross_entropy(outputs.float(), targets, weight=weights, label_smoothing=smoothing)}

    def binary(outputs: Tensor, targets: Tensor) -> Losses:
        soft = F.one_hot(targets, outputs.shape[1]).float() if targets.ndim == 1 else targets
        soft = (soft > 0.2).float()  # both classes of a mixed picture are there, unless one is hardly to be seen
        soft = soft * (1 - smoothing) + smoothing / outputs.shape[1]
        weights = None if weight is None else weight.to(outputs.device)
        return {"loss": F.binary_cross_entropy_with_logits(outputs.float(), soft, weight=weights)}

    return {"ce": cross_entropy, "bce": binary}[loss]


def of_recipe(recipe: ClassifySettings, class_counts: np.ndarray) -> Criterion:
    """The loss that a recipe names."""
    return criterion(recipe.loss, recipe.smoothing, class_weights(class_counts) if recipe.balance == "loss" else None)


def class_weights(class_counts: np.ndarray) -> Tensor:
    """By class the inverse of its frequency, 1 on average over the training pictures; 0 for a class without pictures."""
    share = class_counts.sum() / np.count_nonzero(class_counts)
    inverse = np.where(class_counts > 0, share / np.maximum(class_counts, 1), 0)
    return torch.tensor(inverse, dtype=torch.float32)
