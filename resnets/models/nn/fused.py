"""relu(batch_norm(x) + add) as one operation on CPUs, forward and backward, in float32 and bfloat16.

torch reads or writes the activations in memory five times in the forward pass and six times in the backward pass; this does it
twice and twice (arXiv 1904.04971 fuses likewise). For small networks these memory passes are most of a training step.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from resnets.models.nn.layers import NORM

if TYPE_CHECKING:
    from types import ModuleType

LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}
BITS = {torch.bfloat16: torch.uint16, torch.float32: torch.float32}  # NumPy has no bfloat16


def norm_relu(norm: nn.Module, relu: nn.Module, x: Tensor, add: Tensor | None = None) -> Tensor:
    """relu(norm(x) + add), or relu(norm(x)), for x and add (N, C, *spatial).

    It is one fused operation if `enable` was called on the norm and `can_fuse` holds; otherwise the modules are called.
    """
    if can_fuse(norm, relu, x, add):
        if norm.training:
            return NormReLU.apply(x, norm.weight, norm.bias, add, norm)
        if not (torch.is_grad_enabled() and learns(norm, x, add)):
            return in_evaluation(norm, x, add)
    y = norm(x)
    return relu(y if add is None else y + add)


def enable(model: nn.Module, on: bool = True) -> None:
    """Allow (or forbid) the batch norms of `model` to be fused with the addition and ReLU that follow."""
    for norm in model.modules():
        if isinstance(norm, tuple(NORM.values())):  # not `SyncBatchNorm`, whose statistics need communication
            norm.fused = on  # type: ignore[assignment]


def can_fuse(norm: nn.Module, relu: nn.Module, x: Tensor, add: Tensor | None) -> bool:
    """Whether the compiled operation supports these inputs: CPU, channels last, float32 or bfloat16, no hooks."""
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


def learns(norm: nn.Module, x: Tensor, add: Tensor | None) -> bool:
    """Whether any operand needs a gradient; in frozen stages none does."""
    return x.requires_grad or (add is not None and add.requires_grad) or any(p.requires_grad for p in norm.parameters())


@functools.cache
def kernels() -> ModuleType | None:
    """The module of compiled loops; None without Numba, or where Numba would not use torch's OpenMP threads."""
    if not sys.platform.startswith("linux"):
        return None
    threads = torch.get_num_threads()
    try:
        from resnets.models.nn import kernels as compiled

        compiled.share_threads(threads)
    except (ImportError, ValueError):  # the latter: no OpenMP
        return None
    torch.set_num_threads(threads)  # starting Numba's threads has reset torch's number to one per processor
    return compiled


def loops() -> tuple[Any, int]:
    """The module of compiled loops, and the number of threads for them: torch's."""
    run, threads = kernels(), torch.get_num_threads()
    assert run is not None
    return run, run.share_threads(threads)


class NormReLU(torch.autograd.Function):
    """relu(batch_norm(x) + add) in training; it also updates the running statistics (arXiv 1502.03167)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, add: Tensor | None, norm: Any) -> Tensor:
        run, threads = loops()
        y, (mean, inv_std) = torch.empty_like(x), np.empty((2, x.shape[1]))
        statistics = (norm.running_mean.numpy(), norm.running_var.numpy(), float(norm.momentum), norm.eps)
        run.forward(flat(x), like(x, add), values(weight), values(bias), *statistics, threads, flat(y), mean, inv_std)
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)
        ctx.save_for_backward(x, y, weight)
        ctx.statistics, ctx.adds = (mean, inv_std), add is not None
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:
        run, threads = loops()
        x, y, weight = ctx.saved_tensors
        dx, dadd = torch.empty_like(x), torch.empty_like(x) if ctx.adds else None
        dweight, dbias = torch.empty_like(weight), torch.empty_like(weight)
        results = (flat(dx), None if dadd is None else flat(dadd), values(dweight), values(dbias))
        run.backward(flat(x), flat(y), like(x, grads[0]), values(weight), *ctx.statistics, threads, *results)
        return dx, dweight, dbias, dadd, None


def in_evaluation(norm: Any, x: Tensor, add: Tensor | None) -> Tensor:
    """relu(norm(x) + add) with the running statistics, as in evaluation."""
    run, threads = loops()
    y, statistics = torch.empty_like(x), (norm.running_mean.numpy(), norm.running_var.numpy(), norm.eps)
    run.evaluate(flat(x), like(x, add), values(norm.weight), values(norm.bias), *statistics, threads, flat(y))
    return y


def values(tensor: Tensor) -> np.ndarray:
    return tensor.detach().numpy()


def flat(x: Tensor) -> np.ndarray:
    """The values of x (N, C, *spatial), channels last in memory, as a flat array (a view; bfloat16 as uint16)."""
    return x.detach().movedim(1, -1).view(-1).view(BITS[x.dtype]).numpy()


def like(x: Tensor, other: Tensor | None) -> np.ndarray | None:
    """`other` in the dtype and memory format of x, as `flat` returns it; None for None."""
    return None if other is None else flat(other.to(x.dtype).contiguous(memory_format=LAYOUTS[x.ndim]))
