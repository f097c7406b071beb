"""The losses of grading: outputs (N, M), targets (N,) -> a scalar."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from resnets.engine.values import Criterion, Losses
from resnets.tasks.grade.settings import ORDINAL, GradeSettings

# Of errors in standard deviations of the target. Huber's is quadratic up to one of them, so that it is as smooth as the squared
# error where most are, and linear beyond, so that a few wrong or rare targets do not rule the others.
OF_NUMBERS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"huber": F.huber_loss, "l1": F.l1_loss, "mse": F.mse_loss}


def of_numbers(loss: str, mean: float, std: float, scale: str) -> Criterion:
    """A loss of `OF_NUMBERS` between outputs (N, 1) and normalised targets."""

    def criterion(outputs: Tensor, targets: Tensor) -> Losses:
        wanted = normalised(targets, mean, std, scale)
        return {"loss": OF_NUMBERS[loss](outputs[:, 0].float(), wanted)}

    return criterion


def of_recipe(recipe: GradeSettings, class_counts: np.ndarray) -> Criterion:
    """The loss that a recipe names."""
    if recipe.loss == ORDINAL:
        return corn
    loss = "huber" if recipe.loss == "auto" else recipe.loss
    return of_numbers(loss, recipe.target_mean or 0.0, recipe.target_std or 1.0, recipe.target_scale)


def normalised(targets: Tensor, mean: float, std: float, scale: str) -> Tensor:
    """Targets (N,) in standard deviations from the mean, on the scale of the loss."""
    return ((torch.log1p(targets) if scale == "log" else targets) - mean) / std


def corn(outputs: Tensor, targets: Tensor) -> Losses:
    """CORN (Shi, Cao and Raschka 2021, arXiv 2111.08851, equation 5): K - 1 yes or no questions, whether a picture is at
    grade k or above, each asked of those pictures alone that are not below grade k - 1; the mean over all answers.

    Args:
        outputs: logits (N, K), of which the first is not asked.
        targets: positions of the grades (N,) int64, 0 to K - 1.
    """
    steps = torch.arange(1, outputs.shape[1], device=outputs.device)
    asked, reached = targets[:, None] >= steps - 1, (targets[:, None] >= steps).float()
    losses = F.binary_cross_entropy_with_logits(outputs[:, 1:].float(), reached, reduction="none")
    return {"loss": (losses * asked).sum() / asked.sum()}
