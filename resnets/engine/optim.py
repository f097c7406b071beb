"""Optimisers: a table from the recipe's word to torch's class (LAMB is timm's)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from resnets.engine.recipe import Recipe
from resnets.spec import InputError


def _sgd(groups: list[dict[str, Any]], recipe: Recipe) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, recipe.lr, recipe.momentum, nesterov=recipe.nesterov, fused=can_fuse(groups))


def _adamw(groups: list[dict[str, Any]], recipe: Recipe) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, recipe.lr, fused=can_fuse(groups))


def _lamb(groups: list[dict[str, Any]], recipe: Recipe) -> torch.optim.Optimizer:
    try:
        from timm.optim import Lamb
    except ModuleNotFoundError:
        raise InputError("opt=lamb is timm's; install it by `pip install 'resnets[timm]'`") from None
    return Lamb(groups, recipe.lr)


OPTIMISERS: dict[str, Callable[[list[dict[str, Any]], Recipe], torch.optim.Optimizer]] = {
    "sgd": _sgd,
    "adamw": _adamw,
    "lamb": _lamb,
}


def can_fuse(groups: list[dict[str, Any]]) -> bool:
    return groups[0]["params"][0].device.type in ("cpu", "cuda")


def build_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser, in two groups: what decays, and (without `norm_bias_decay`) norms and biases, which do not."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    decayed = [p for p in parameters if recipe.norm_bias_decay or p.ndim > 1]
    kept = [p for p in parameters if not recipe.norm_bias_decay and p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": kept, "weight_decay": 0.0}]
    return OPTIMISERS[recipe.opt]([group for group in groups if group["params"]], recipe)
