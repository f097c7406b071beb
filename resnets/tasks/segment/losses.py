"""The losses of segmentation: logits (N, C, *size) float32, targets (N, *size), weights (C,) or None, smoothing -> a scalar."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from resnets.data.targets import IGNORE
from resnets.engine.values import Criterion, Losses
from resnets.tasks.segment.head import Supervised
from resnets.tasks.segment.settings import SegmentSettings

AUXILIARY = 0.4  # weight of the auxiliary head's loss, as in torchvision's reference
Part = Callable[[Tensor, Tensor, Tensor | None, float], Tensor]


def cross_entropy(logits: Tensor, targets: Tensor, weight: Tensor | None, smoothing: float) -> Tensor:
    """The mean over known pixels; 0 where none is, which torch's mean makes NaN."""
    total = F.cross_entropy(logits, targets, weight=weight, ignore_index=IGNORE, label_smoothing=smoothing, reduction="sum")
    known = targets[targets != IGNORE]
    return total / (torch.ones_like(known) if weight is None else weight[known]).sum().clamp(min=1e-6)


def soft_dice(logits: Tensor, targets: Tensor, weight: Tensor | None, smoothing: float) -> Tensor:
    """1 - Dice of probabilities over the batch, the mean over the classes that are there (V-Net, arXiv 1606.04797)."""
    num_classes, known = logits.shape[1], targets != IGNORE
    indices = targets.where(known, 0)
    probabilities = logits.softmax(1)
    # Sums by class without the truth one-hot, which would take three times as long.
    right = probabilities.gather(1, indices.unsqueeze(1)).squeeze(1) * known
    both = right.new_zeros(num_classes).index_add(0, indices.reshape(-1), right.reshape(-1))
    with torch.autocast(logits.device.type, enabled=False):  # which multiplies in 16 bits, too few to count pixels with
        said = (probabilities.flatten(2) @ known.flatten(1).unsqueeze(2).to(probabilities.dtype)).sum((0, 2))
    true = torch.bincount(targets[known], minlength=num_classes)
    there = (true > 0).float() * (1 if weight is None else weight)
    return ((1 - (2 * both + 1) / (said + true + 1)) * there).sum() / there.sum().clamp(min=1e-6)


def focal(logits: Tensor, targets: Tensor, weight: Tensor | None, smoothing: float, gamma: float = 2.0) -> Tensor:
    """Cross-entropy, a pixel weighing (1 - p)^gamma by the probability p of its class (arXiv 1708.02002, equation 4)."""
    loss = F.cross_entropy(logits, targets, weight=weight, ignore_index=IGNORE, label_smoothing=smoothing, reduction="none")
    known = targets != IGNORE
    right = logits.softmax(1).gather(1, targets.where(known, 0).unsqueeze(1)).squeeze(1)
    return (loss * (1 - right) ** gamma * known).sum() / known.sum().clamp(min=1)


LOSSES: dict[str, dict[str, Part]] = {
    "ce": {"ce": cross_entropy},
    "dice": {"dice": soft_dice},
    "ce+dice": {"ce": cross_entropy, "dice_loss": soft_dice},
    "focal": {"focal": focal},
}


def criterion(loss: str, smoothing: float, weight: Tensor | None) -> Criterion:
    """One of `LOSSES`, with the auxiliary head's where there is one."""
    parts = LOSSES[loss]

    def losses(outputs: Any, targets: Tensor) -> Losses:
        logits, *auxiliary = outputs if isinstance(outputs, tuple) else (outputs,)
        weights = None if weight is None else weight.to(targets.device)
        if isinstance(outputs, Supervised):
            return deep(outputs, targets, parts, weights, smoothing)
        found = {name: part(logits.float(), targets, weights, smoothing) for name, part in parts.items()}
        whole = torch.stack(list(found.values())).sum()
        for other in auxiliary:
            whole = whole + AUXILIARY * cross_entropy(other.float(), targets, weights, smoothing)
        return {"loss": whole} | (found if len(found) > 1 else {})

    return losses


def deep(outputs: Supervised, targets: Tensor, parts: dict[str, Part], weights: Tensor | None, smoothing: float) -> Losses:
    """Deep supervision: the losses at all resolutions, each lower one of half the weight of that above, the weights adding up
    to 1 (nnU-Net, arXiv 1904.08128); the parts are told of the highest alone."""
    total, whole = 2 - 0.5 ** len(outputs.lower), torch.zeros((), device=targets.device)
    found: Losses = {}
    for number, logits in enumerate([outputs.logits, *outputs.lower]):
        own = {
            name: part(logits.float(), thinned(targets, logits.shape[2:]), weights, smoothing) for name, part in parts.items()
        }
        whole = whole + torch.stack(list(own.values())).sum() * 0.5**number / total
        found = found or own
    return {"loss": whole} | (found if len(found) > 1 else {})


def thinned(targets: Tensor, size: Sequence[int]) -> Tensor:
    """Targets (N, *size before) at every second, fourth, ... position of each axis, where strided convolutions whose output has
    this size have their middles: (N, *size)."""
    steps = (
        next(2**n for n in range(64) if -(-before // 2**n) <= after)
        for before, after in zip(targets.shape[1:], size, strict=True)
    )
    return targets[(slice(None), *(slice(None, None, step) for step in steps))]


def of_recipe(recipe: SegmentSettings, class_counts: np.ndarray) -> Criterion:
    """The loss that a recipe names."""
    return criterion(recipe.loss, recipe.smoothing, class_weights(class_counts) if recipe.balance == "loss" else None)


def class_weights(class_counts: np.ndarray) -> Tensor:
    """1 / ln(1.02 + a class's fraction of the pixels) (ENet, arXiv 1606.02147, section 5.2), brought to a mean of 1 over
    pixels: a rare class counts more, and none without bounds."""
    share = class_counts / max(1, class_counts.sum())
    raw = 1 / np.log(1.02 + share)
    return torch.tensor(raw / (raw * share).sum(), dtype=torch.float32)
