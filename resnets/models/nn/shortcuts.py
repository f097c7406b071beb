"""What a residual branch is added to (He et al. 2015, section 3.3, options A, B and C; D from arXiv 1812.01187)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnets.models.nn.layers import AVG_POOL, convolution, normalisation
from resnets.models.spec import Block


class PadChannels(nn.Module):
    """Option A: keep every `stride`-th position and add channels of zeros, half before and half after. No parameters.

    (N, in_chans, *spatial) -> (N, out_chans, *ceil(spatial / stride))
    """

    def __init__(self, in_chans: int, out_chans: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        before = (out_chans - in_chans) // 2
        self.padding = (before, out_chans - in_chans - before)

    def forward(self, x: Tensor) -> Tensor:
        spatial = x.ndim - 2
        keep: tuple[slice, ...] = (slice(None), slice(None)) + (slice(None, None, self.stride),) * spatial
        x = x[keep]
        return F.pad(x, (0, 0) * spatial + self.padding)

    def extra_repr(self) -> str:
        return f"stride={self.stride}, zeros={self.padding}"


class DilatedAverage(nn.Module):
    """The mean over two positions along each axis, `dilation` apart, at every position; at the far edge, of what there is.

    Where a stride is left out, the average pooling of option D: at the positions that it had, the same. No parameters.
    """

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation

    def forward(self, x: Tensor) -> Tensor:
        for axis in range(2, x.ndim):
            inner = x.shape[axis] - self.dilation
            if inner > 0:
                ahead = [x.narrow(axis, self.dilation, inner), x.narrow(axis, inner, self.dilation)]
                x = (x + torch.cat(ahead, axis)) / 2
        return x

    def extra_repr(self) -> str:
        return f"dilation={self.dilation}"


def shortcut(plan: Block, dims: int) -> nn.Module | None:
    """The module on the shortcut of `plan`, with torchvision's names inside; None where the input is added as it is."""
    if plan.shortcut in ("pad", "subsample"):
        return PadChannels(plan.in_chans, plan.out_chans, plan.stride)
    if plan.projection is None:
        return None
    layers: list[nn.Module] = [convolution(plan.projection, dims)]
    if plan.shortcut == "pool_project":  # timm's layout: the pooling has the index 0 even where it has nothing to do
        pool: nn.Module = DilatedAverage(plan.atrous) if plan.atrous else nn.Identity()
        if plan.stride > 1:
            pool = AVG_POOL[dims](2, 2, ceil_mode=True, count_include_pad=False)
        layers.insert(0, pool)
    if plan.order == "post":
        layers.append(normalisation(plan.norm, plan.out_chans, dims))
    return nn.Sequential(*layers)
