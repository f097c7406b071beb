"""relu(norm(x) + add) as one operation on processors, forward and backward, in float32 and bfloat16.

torch takes five passes over the activations for it forward and six backward, each through memory; here it is two and two
(arXiv 1904.04971 fuses likewise). For small networks those passes are most of a training step.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from resnets.nn.layers import NORM

if TYPE_CHECKING:
    from types import ModuleType

LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}
BITS = {torch.bfloat16: torch.uint16, torch.float32: torch.float32}  # NumPy has no bfloat16


def norm_relu(norm: nn.Module, relu: nn.Module, x: Tensor, add: Tensor | None = None) -> Tensor:
    """relu(norm(x) + add) for x, add (N, C, *spatial): one operation on norms that are `enable`d, wherever that can be."""
    if can_fuse(norm, relu, x, add):
        if norm.training:
            return NormReLU.apply(x, norm.weight, norm.bias, add, norm)
        if not torch.is_grad_enabled():
            return in_evaluation(norm, x, add)
    y = norm(x)
    return relu(y if add is None else y + add)


def enable(model: nn.Module, on: bool = True) -> None:
    """Let the norms of `model` be fused with what follows them."""
    for norm in model.modules():
        if isinstance(norm, tuple(NORM.values())):  # not those of several processes, which are one across them
            norm.fused = on  # type: ignore[assignment]


def can_fuse(norm: nn.Module, relu: nn.Module, x: Tensor, add: Tensor | None) -> bool:
    return (
        getattr(norm, "fused", False)
        and x.device.type == "cpu"
        and x.dtype in BITS
        and x.ndim in LAYOUTS
        and x.numel() > 0
        and x.is_contiguous(memory_format=LAYOUTS[x.ndim])
        and (add is None or (add.dtype == x.dtype and add.shape == x.shape))
        and norm.weight is not None
        and norm.running_mean is not None
        and norm.momentum is not None
        and not norm._forward_hooks
        and not relu._forward_hooks
        and not torch.compiler.is_compiling()
        and kernels() is not None
    )


@functools.cache
def kernels() -> ModuleType | None:
    """The compiled loops; None where there are none: without Numba, or where its threads would not be torch's."""
    if not sys.platform.startswith("linux"):
        return None
    threads = torch.get_num_threads()
    try:
        from resnets.nn import kernels as compiled

        compiled.share_threads(threads)
    except (ImportError, ValueError):  # the latter: no OpenMP
        return None
    torch.set_num_threads(threads)  # starting Numba's has set them to one a processor
    return compiled


def loops() -> tuple[Any, int]:
    """The compiled loops, and the number of threads that they shall use: torch's."""
    run, threads = kernels(), torch.get_num_threads()
    assert run is not None
    return run, run.share_threads(threads)


class NormReLU(torch.autograd.Function):
    """relu(batch_norm(x) + add) in training, running statistics included (arXiv 1502.03167)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, add: Tensor | None, norm: Any) -> Tensor:
        run, threads = loops()
        count = x.numel() // x.shape[1]
        centre = (
            x.detach().movedim(1, -1).reshape(count, -1)[0].float().numpy()
        )  # some value of each channel: squares stay small
        total, squares = reduced(run.sums, (flat(x),), centre, threads)
        offset = total / count
        mean, var = centre + offset, np.maximum(squares / count - offset**2, 0)
        follow(norm, mean, var * count / max(1, count - 1))

        deviation = 1 / np.sqrt(var + norm.eps)
        y = scaled(x, add, weight.detach().numpy() * deviation, mean, bias)
        ctx.save_for_backward(x, y, weight)
        ctx.statistics, ctx.adds, ctx.count = (mean, deviation), add is not None, count
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:
        run, threads = loops()
        x, y, weight = ctx.saved_tensors
        dy = grads[0].to(x.dtype).contiguous(memory_format=LAYOUTS[x.ndim])
        mean, deviation = ctx.statistics
        total, product = reduced(run.grad_sums, (flat(x), flat(y), flat(dy)), mean, threads)

        by_grad = weight.detach().numpy() * deviation
        by_x = -by_grad * deviation**2 * product / ctx.count
        constant = -by_grad * total / ctx.count - by_x * mean
        dx, dadd = torch.empty_like(x), torch.empty_like(x) if ctx.adds else None
        coefficients = (tiled(by_grad), tiled(by_x), tiled(constant))
        run.grad_input(flat(x), flat(y), flat(dy), *coefficients, threads, flat(dx), None if dadd is None else flat(dadd))
        dweight = torch.from_numpy(product * deviation).to(weight.dtype)
        return dx, dweight, torch.from_numpy(total).to(weight.dtype), dadd, None


def in_evaluation(norm: Any, x: Tensor, add: Tensor | None) -> Tensor:
    """relu(norm(x) + add) with the running statistics."""
    deviation = 1 / np.sqrt(norm.running_var.numpy() + norm.eps)
    return scaled(x, add, norm.weight.detach().numpy() * deviation, norm.running_mean.numpy(), norm.bias)


def scaled(x: Tensor, add: Tensor | None, scale: np.ndarray, mean: np.ndarray, bias: Tensor) -> Tensor:
    """relu((x - mean) * scale + bias + add)"""
    run, threads = loops()
    y, shift = torch.empty_like(x), bias.detach().numpy() - mean * scale
    added = None if add is None else flat(add.contiguous(memory_format=LAYOUTS[x.ndim]))
    run.norm_relu(flat(x), added, tiled(scale), tiled(shift), threads, flat(y))
    return y


def flat(x: Tensor) -> np.ndarray:
    """The memory of x (N, C, *spatial), channels last, as a flat array."""
    return x.detach().movedim(1, -1).view(-1).view(BITS[x.dtype]).numpy()


def tiled(values: np.ndarray) -> np.ndarray:
    """(C,) -> (period,) float32, as the loops take what belongs to a channel."""
    from resnets.nn.kernels import LANES

    return np.tile(values.astype(np.float32), np.lcm(len(values), LANES) // len(values))


def reduced(loop: Any, arrays: tuple[np.ndarray, ...], centre: np.ndarray, threads: int) -> np.ndarray:
    """The two sums that `loop` takes over the places of a channel: (2, C) float64."""
    centres = tiled(centre)
    out = np.zeros((threads, 2, len(centres)))
    loop(*arrays, centres, threads, out)
    return out.sum(0).reshape(2, -1, len(centre)).sum(1)


def follow(norm: Any, mean: np.ndarray, var: np.ndarray) -> None:
    """Move the running statistics of `norm` towards those of a batch."""
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    for running, value in ((norm.running_mean, mean), (norm.running_var, var)):
        running.lerp_(torch.from_numpy(value).to(running.dtype), norm.momentum)
