"""The loss of tagging: logits (N, C), targets (N, C) in [0, 1] -> a scalar."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from resnets.engine.contract import Criterion, Losses

MOST = 20.0  # times that a positive may weigh


def criterion(smoothing: float, weight: Tensor | None) -> Criterion:
    """Binary cross-entropy, a yes or no per label. `weight` (C,): of the positives of each label."""

    def binary(outputs: Tensor, targets: Tensor) -> Losses:
        soft = targets.float() * (1 - smoothing) + smoothing / 2
        weights = None if weight is None else weight.to(outputs.device)
        return {"loss": F.binary_cross_entropy_with_logits(outputs.float(), soft, pos_weight=weights)}

    return binary


def positive_weights(positives: np.ndarray) -> Tensor:
    """(C,): how much the positives of each label weigh, from their numbers (C,): in inverse proportion, 1 for the most frequent
    label, at most `MOST`; 1 where no picture has it."""
    ratio = np.where(positives > 0, positives.max(initial=1) / np.maximum(positives, 1), 1.0)
    return torch.tensor(np.minimum(ratio, MOST), dtype=torch.float32)
