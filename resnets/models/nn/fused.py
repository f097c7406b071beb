"""relu(norm(x) + add) as one operation on CPUs, forward and backward, in float32 and bfloat16: of batch norm and of instance
norm, with ReLU and leaky ReLU.

torch reads or writes the activations in memory five times in the forward pass and six times in the backward pass; this does it
twice and twice (arXiv 1904.04971 fuses likewise). For small networks these memory passes are most of a training step.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from resnets.models.nn.layers import NORM, InstanceNorm

if TYPE_CHECKING:
    from types import ModuleType

LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}
BITS = {torch.bfloat16: torch.uint16, torch.float32: torch.float32}  # NumPy has no bfloat16


def norm_relu(norm: nn.Module, relu: nn.Module, x: Tensor, add: Tensor | None = None) -> Tensor:
    """relu(norm(x) + add), or relu(norm(x)), for x and add (N, C, *spatial).

    It is one fused operation if `enable` was called on the norm and `can_fuse` holds; otherwise the modules are called.
    """
    if can_fuse(norm, relu, x, add):
        if norm.training or by_sample(norm):
            return NormReLU.apply(x, norm.weight, norm.bias, add, norm, slope_of(relu))
        if not (torch.is_grad_enabled() and learns(norm, x, add)):
            return in_evaluation(norm, x, add, slope_of(relu))
    y = norm(x)
    return relu(y if add is None else y + add)


def enable(model: nn.Module, on: bool = True) -> None:
    """Allow (or forbid) the norms of `model` to be fused with the addition and ReLU that follow."""
    for norm in model.modules():
        if isinstance(norm, (*NORM.values(), InstanceNorm)):  # not `SyncBatchNorm`, whose statistics need communication
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
        and 0 <= getattr(relu, "negative_slope", 0) <= 1
        and norm.weight is not None
        and (by_sample(norm) or (norm.running_mean is not None and norm.momentum is not None))
        and not norm._forward_hooks
        and not relu._forward_hooks
        and not torch.compiler.is_compiling()
        and kernels() is not None
    )


def by_sample(norm: nn.Module) -> bool:
    """Whether each sample has statistics of its own, in evaluation too."""
    return isinstance(norm, InstanceNorm)


def slope_of(relu: nn.Module) -> np.float32 | None:
    """What negative values are multiplied by; None: they become 0."""
    return np.float32(relu.negative_slope) if isinstance(relu, nn.LeakyReLU) else None


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
    """relu(norm(x) + add) by the statistics of x: of a batch, which also move the running ones (arXiv 1502.03167), or of each
    sample (arXiv 1607.08022)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, add: Tensor | None, norm: Any, slope: Any) -> Tensor:
        run, threads = loops()
        y, num_parts = torch.empty_like(x), len(x) if by_sample(norm) else 1
        statistics = mean, _, var = np.empty((3, num_parts, x.shape[1]))
        for inputs, added, *results in parts(num_parts, flat(x), like(x, add), flat(y), *statistics):
            run.forward(inputs, added, values(weight), values(bias), norm.eps, slope, threads, *results)
        if not by_sample(norm):
            count = x.numel() // x.shape[1]
            run.move(norm.running_mean.numpy(), norm.running_var.numpy(), mean[0], var[0], count, float(norm.momentum))
            if norm.num_batches_tracked is not None:
                norm.num_batches_tracked.add_(1)
        ctx.save_for_backward(x, y, weight)
        ctx.statistics, ctx.adds, ctx.slope = statistics[:2], add is not None, slope
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:
        run, threads = loops()
        x, y, weight = ctx.saved_tensors
        num_parts = ctx.statistics.shape[1]
        dx, dadd = torch.empty_like(x), torch.empty_like(x) if ctx.adds else None
        dweight, dbias = weight.new_empty((2, num_parts, len(weight)))
        results = flat(dx), like(x, dadd), values(dweight), values(dbias)
        known = flat(x), flat(y), like(x, grads[0]), *ctx.statistics
        for inputs, outputs, dy, mean, inv_std, *wanted in parts(num_parts, *known, *results):
            run.backward(inputs, outputs, dy, values(weight), mean, inv_std, ctx.slope, threads, *wanted)
        return dx, dweight.sum(0), dbias.sum(0), dadd, None, None


def in_evaluation(norm: Any, x: Tensor, add: Tensor | None, slope: Any) -> Tensor:
    """relu(norm(x) + add) with the running statistics, as in evaluation."""
    run, threads = loops()
    y, statistics = torch.empty_like(x), (norm.running_mean.numpy(), norm.running_var.numpy(), norm.eps)
    run.evaluate(flat(x), like(x, add), values(norm.weight), values(norm.bias), *statistics, slope, threads, flat(y))
    return y


def parts(num_parts: int, *arrays: np.ndarray | None) -> Iterator[Any]:
    """Of each of the arrays the first of `num_parts` equal parts, flat, then the second, ...; of None, None."""
    cut = ([None] * num_parts if array is None else array.reshape(num_parts, -1) for array in arrays)
    return zip(*cut, strict=True)


def values(tensor: Tensor) -> np.ndarray:
    return tensor.detach().numpy()


def flat(x: Tensor) -> np.ndarray:
    """The values of x (N, C, *spatial), channels last in memory, as a flat array (a view; bfloat16 as uint16)."""
    return x.detach().movedim(1, -1).view(-1).view(BITS[x.dtype]).numpy()


def like(x: Tensor, other: Tensor | None) -> np.ndarray | None:
    """`other` in the dtype and memory format of x, as `flat` returns it; None for None."""
    return None if other is None else flat(other.to(x.dtype).contiguous(memory_format=LAYOUTS[x.ndim]))
