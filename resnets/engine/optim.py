"""Optimisers: a table from the recipe's word to torch's class (LAMB is timm's; Muon, for convolutions, is here)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from resnets.engine import freeze
from resnets.engine.recipe import Recipe
from resnets.errors import InputError


def _sgd(groups: list[dict[str, Any]], recipe: Recipe) -> torch.optim.Optimizer:
    fused = can_fuse(groups) and not recipe.unfreeze_epochs  # fused, it cannot take up parameters after its first step
    return torch.optim.SGD(groups, recipe.lr, recipe.momentum, nesterov=recipe.nesterov, fused=fused)


def _adamw(groups: list[dict[str, Any]], recipe: Recipe) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, recipe.lr, fused=can_fuse(groups))


def _lamb(groups: list[dict[str, Any]], recipe: Recipe) -> torch.optim.Optimizer:
    try:
        from timm.optim import Lamb
    except ModuleNotFoundError:
        raise InputError("opt=lamb is timm's; install it by `pip install 'resnets[timm]'`") from None
    return Lamb(groups, recipe.lr)


class Muon(torch.optim.Optimizer):
    """Momentum whose direction is orthogonalised, for convolutions; Nesterov's SGD for all else.

    A convolution's weights count as a matrix (out_chans, in_chans * kernel). Keller Jordan, "Muon: an optimizer for hidden
    layers in neural networks" (2024); torch's own takes matrices only. Weight decay is decoupled for convolutions, coupled for
    the rest.
    """

    def __init__(self, groups: list[dict[str, Any]], lr: float, momentum: float) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            learning: list[Any] = [p for p in group["params"] if p.grad is not None]
            by_shape: dict[tuple[int, ...], list[Any]] = {}
            for p in learning:
                if p.ndim > 2:
                    by_shape.setdefault(tuple(p.shape), []).append(p)
            for alike in by_shape.values():
                self._step_convolutions(alike, group)
            self._step_plainly([p for p in learning if p.ndim <= 2], group)

    def _buffers(self, parameters: list[Any]) -> list[Tensor]:
        for p in parameters:
            if "momentum_buffer" not in self.state[p]:
                self.state[p]["momentum_buffer"] = torch.zeros_like(p)
        return [self.state[p]["momentum_buffer"] for p in parameters]

    def _step_convolutions(self, alike: list[Any], group: dict[str, Any]) -> None:
        """All of one shape (O, I, *kernel) at once."""
        rate, momentum, buffers = group["lr"], group["momentum"], self._buffers(alike)
        gradients = [p.grad for p in alike]
        torch._foreach_lerp_(buffers, gradients, 1 - momentum)
        directions = torch.stack(torch._foreach_lerp(gradients, buffers, momentum))  # Nesterov's; (K, O, I, *kernel)
        matrices = orthogonalised(directions.flatten(2))
        rate *= max(1.0, matrices.shape[1] / matrices.shape[2]) ** 0.5
        torch._foreach_mul_(alike, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(alike, list(matrices.view(directions.shape)), alpha=-rate)

    def _step_plainly(self, parameters: list[Any], group: dict[str, Any]) -> None:
        if not parameters:
            return
        momentum, buffers = group["momentum"], self._buffers(parameters)
        decay = PLAIN_DECAY * group["weight_decay"]
        gradients = torch._foreach_add([p.grad for p in parameters], parameters, alpha=decay)
        torch._foreach_mul_(buffers, momentum)
        torch._foreach_add_(buffers, gradients)
        torch._foreach_add_(gradients, buffers, alpha=momentum)
        torch._foreach_add_(parameters, gradients, alpha=-PLAIN_RATE * group["lr"])


PLAIN_RATE, PLAIN_DECAY = 5.0, 0.05  # times learning rate and weight decay: for what Muon leaves to SGD


def orthogonalised(matrices: Tensor, num_steps: int = 5) -> Tensor:
    """The nearest matrices (K, M, N) with singular values about 1, by the source's quintic Newton-Schulz iteration.

    The iteration multiplies by polynomials of the Gram matrix, which commute: they are gathered first, among small matrices,
    and the large ones multiplied once.
    """
    wide = matrices if matrices.shape[1] <= matrices.shape[2] else matrices.mT
    x = wide.float() / (wide.float().norm(dim=(1, 2), keepdim=True) + 1e-7)
    gram = x @ x.mT
    identity = torch.eye(len(gram[0]), device=x.device)
    whole = identity
    for _ in range(num_steps):
        factor = 3.4445 * identity - 4.7750 * gram + 2.0315 * gram @ gram
        whole, gram = factor @ whole, factor @ gram @ factor
    found = (whole @ x).to(matrices.dtype)
    return found if wide is matrices else found.mT


def _muon(groups: list[dict[str, Any]], recipe: Recipe) -> torch.optim.Optimizer:
    return Muon(groups, recipe.lr, recipe.momentum)


OPTIMISERS: dict[str, Callable[[list[dict[str, Any]], Recipe], torch.optim.Optimizer]] = {
    "sgd": _sgd,
    "adamw": _adamw,
    "lamb": _lamb,
    "muon": _muon,
}


def can_fuse(groups: list[dict[str, Any]]) -> bool:
    return groups[0]["params"][0].device.type in ("cpu", "cuda")


def build_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser, in groups: what decays, and (without `norm_bias_decay`) norms and biases, which do not; each
    once for every `lr_scale`, by which the learning rate of a group is multiplied."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter, scale in freeze.learning(model, recipe):
        decay = recipe.weight_decay if recipe.norm_bias_decay or parameter.ndim > 1 else 0.0
        groups.setdefault((scale, decay), []).append(parameter)
    return OPTIMISERS[recipe.opt](
        [{"params": held, "weight_decay": decay, "lr_scale": scale} for (scale, decay), held in groups.items()], recipe
    )
