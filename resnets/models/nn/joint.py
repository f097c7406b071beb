"""The mathematics of `SyncBatchNorm`, apart, because to import it is to import torch's compiler, which is 900 modules."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor


@torch.compiler.disable
def sync_batch_norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    momentum: float,
    eps: float,
) -> Tensor:
    """Batch norm in training over the x (N, C, *spatial) of all processes of the default group. All of them must call it.

    The running statistics (C,) move towards the joint ones by `momentum` and stay the same in all processes. The gradients
    of weight and bias are those of this process's x only.
    """
    mean, var, count = joint_statistics(x.detach())
    if running_mean is not None and running_var is not None and count > 0:
        running_mean.lerp_(mean, momentum)
        running_var.lerp_(var * (count / (count - 1).clamp(min=1)), momentum)
    y: Tensor = _Normalise.apply(x, weight, bias, (mean, var, count), eps)
    return y


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, joint: tuple[Tensor, ...], eps: float) -> Tensor:
        mean, var, _ = joint
        ctx.save_for_backward(x, weight, *joint)
        ctx.eps = eps
        return F.batch_norm(x, mean, var, weight, bias, training=False, eps=eps) if x.numel() else torch.empty_like(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, weight, mean, var, count = ctx.saved_tensors
        inverse = (var + ctx.eps).rsqrt()
        sums = torch.zeros(2, len(weight), device=x.device)  # of grad * (x - mean) / std, and of grad
        if x.numel():
            # With training=False, torch's gradients of weight and bias are exactly these two sums, computed in one pass.
            _, *found = torch.ops.aten.native_batch_norm_backward(
                grad, x, weight, mean, var, None, None, False, ctx.eps, [False, True, True]
            )
            sums = torch.stack(found).float()
        whole = sums.clone()
        dist.all_reduce(whole)
        # dx = weight / std * (grad - mean(grad) - normalised x * mean(grad * normalised x)) = a * grad + b * x + c
        in_weight, in_bias = whole / count.clamp(min=1)
        a = weight * inverse
        b = -a * inverse * in_weight
        c = -a * in_bias - b * mean
        shape = (1, -1) + (1,) * (x.ndim - 2)
        dx = torch.addcmul(c.view(shape), x, b.view(shape)).addcmul_(grad, a.view(shape)).to(x.dtype) if x.numel() else x
        return dx, sums[0], sums[1], None, None


def joint_statistics(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (C,), biased variance (C,) and number of values per channel (), over the x (N, C, *spatial) of all processes.

    The means and variances of the processes are combined, because a difference of sums of squares would lose precision.
    """
    chans = x.shape[1]
    own = torch.zeros(2 * chans + 1, device=x.device)
    if x.numel():
        # The running statistics passed here only determine the result's dtype: float32, also for 16-bit x.
        mean, var = torch.batch_norm_update_stats(x, own[:chans], own[chans:-1], 0.0)
        own = torch.cat([mean, var, own.new_full((1,), x.numel() / chans)])
    every = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(every, own)
    means, variances, counts = torch.stack(every).split([chans, chans, 1], dim=1)  # (world, C), (world, C), (world, 1)
    count = counts.sum()
    share = counts / count.clamp(min=1)
    mean = (share * means).sum(0)
    return mean, (share * (variances + (means - mean) ** 2)).sum(0), count
