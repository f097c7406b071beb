"""What the rows of `recipe.OPTIMISERS` make. SGD and AdamW are torch's, LAMB is timm's, Muon for convolutions is here."""

from __future__ import annotations

import inspect
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from resnets.engine import freeze
from resnets.engine.recipe import OPTIMISERS, Recipe
from resnets.errors import InputError

Group: TypeAlias = dict[str, Any]  # a parameter group, as torch.optim takes and keeps it
Groups: TypeAlias = list[Group]


class Eager(torch.optim.Optimizer):
    """An optimiser that is never compiled, as here none is. torch guards its methods against being so, and what guards them
    imports the compiler, of 900 modules, when they are called."""

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)


class SGD(Eager, torch.optim.SGD):
    """torch's, see `Eager`."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.SGD.step))


class AdamW(Eager, torch.optim.AdamW):
    """torch's, see `Eager`."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))


def sgd(groups: Groups, recipe: Recipe) -> torch.optim.Optimizer:
    fused = can_fuse(groups) and not recipe.unfreeze_epochs  # fused SGD cannot start with a parameter after its first step
    return SGD(groups, recipe.lr, recipe.momentum, nesterov=recipe.nesterov, fused=fused)


def adamw(groups: Groups, recipe: Recipe) -> torch.optim.Optimizer:
    return AdamW(groups, recipe.lr, fused=can_fuse(groups))


def lamb(groups: Groups, recipe: Recipe) -> torch.optim.Optimizer:
    try:
        from timm.optim import Lamb
    except ModuleNotFoundError:
        raise InputError("opt=lamb needs timm; install it by `pip install 'resnets[timm]'`") from None
    return Lamb(groups, recipe.lr)


class Muon(Eager):
    """Muon (orthogonalised momentum) for convolutions, SGD with Nesterov momentum for all other parameters.

    Keller Jordan, "Muon: an optimizer for hidden layers in neural networks" (2024). A convolution's weights are treated as a
    matrix (out_chans, in_chans * kernel); torch's own Muon takes only matrices. Weight decay is decoupled for convolutions
    and part of the gradient for the rest.
    """

    def __init__(self, groups: Groups, lr: float, momentum: float) -> None:
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

    def _step_convolutions(self, alike: list[Any], group: Group) -> None:
        """One step for convolutions of the same shape (O, I, *kernel)."""
        rate, momentum, buffers = group["lr"], group["momentum"], self._buffers(alike)
        gradients = [p.grad for p in alike]
        torch._foreach_lerp_(buffers, gradients, 1 - momentum)
        directions = torch.stack(torch._foreach_lerp(gradients, buffers, momentum))  # Nesterov's; (K, O, I, *kernel)
        matrices = orthogonalised(directions.flatten(2))
        rate *= max(1.0, matrices.shape[1] / matrices.shape[2]) ** 0.5
        torch._foreach_mul_(alike, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(alike, list(matrices.view(directions.shape)), alpha=-rate)

    def _step_plainly(self, parameters: list[Any], group: Group) -> None:
        if not parameters:
            return
        momentum, buffers = group["momentum"], self._buffers(parameters)
        decay = PLAIN_DECAY * group["weight_decay"]
        gradients = torch._foreach_add([p.grad for p in parameters], parameters, alpha=decay)
        torch._foreach_mul_(buffers, momentum)
        torch._foreach_add_(buffers, gradients)
        torch._foreach_add_(gradients, buffers, alpha=momentum)
        torch._foreach_add_(parameters, gradients, alpha=-PLAIN_RATE * group["lr"])


PLAIN_RATE, PLAIN_DECAY = 5.0, 0.05  # factors on learning rate and weight decay for the parameters that SGD updates


def orthogonalised(matrices: Tensor, num_steps: int = 5) -> Tensor:
    """Orthogonalise matrices (K, M, N): the same singular vectors, singular values near 1. Returns the same shape.

    It is the quintic Newton-Schulz iteration of Muon's author. Each iteration multiplies by a polynomial of the Gram matrix;
    these factors are multiplied with each other first, being smaller, and then once with the matrices.
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


def muon(groups: Groups, recipe: Recipe) -> torch.optim.Optimizer:
    return Muon(groups, recipe.lr, recipe.momentum)


def can_fuse(groups: Groups) -> bool:
    return groups[0]["params"][0].device.type in ("cpu", "cuda")


def build_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser for the parameters of `model` that learn, in groups.

    Norms and biases are in groups without weight decay, unless `norm_bias_decay` is set. The key `lr_scale` of a group is the
    factor on its learning rate (`layer_decay`).

    Raises:
        InputError: if the optimiser's library is not installed.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter, scale in freeze.learning(model, recipe):
        decay = recipe.weight_decay if recipe.norm_bias_decay or parameter.ndim > 1 else 0.0
        groups.setdefault((scale, decay), []).append(parameter)
    return OPTIMISERS[recipe.opt].make(
        [{"params": held, "weight_decay": decay, "lr_scale": scale} for (scale, decay), held in groups.items()], recipe
    )
