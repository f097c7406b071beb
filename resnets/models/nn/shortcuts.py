"""Shortcut connections (He et al. 2015, section 3.3, options A, B and C; D from arXiv 1812.01187)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnets.models.block import Block
from resnets.models.nn.layers import AVG_POOL, convolution, normalisation


class PadChannels(nn.Module):
    """Option A: take every `stride`-th position and add zero channels, half before and half after. No parameters.

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


class PoolPad(nn.Module):
    """Shortcut "pool": average-pool `stride` positions along each axis, and add zero channels at the end. No parameters.

    (N, in_chans, *spatial) -> (N, out_chans, *floor(spatial / stride))
    """

    def __init__(self, in_chans: int, out_chans: int, stride: int, dims: int) -> None:
        super().__init__()
        self.pool = AVG_POOL[dims](stride, stride) if stride > 1 else nn.Identity()
        self.num_zeros = out_chans - in_chans

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(self.pool(x), (0, 0) * (x.ndim - 2) + (0, self.num_zeros))

    def extra_repr(self) -> str:
        return f"zeros={self.num_zeros}"


class Average3d(nn.AvgPool3d):
    """torch's, also of an axis that has a single position, which it refuses in three dimensions alone."""

    def forward(self, x: Tensor) -> Tensor:
        if min(x.shape[2:]) > 1:
            return super().forward(x)
        kernel = [min(size, length) for size, length in zip(self.kernel_size, x.shape[2:], strict=True)]  # type: ignore[arg-type]
        return F.avg_pool3d(x, kernel, kernel, 0, self.ceil_mode, self.count_include_pad)


def added(y: Tensor, x: Tensor) -> Tensor:
    """y + x, where one is shorter along an axis with zeros at its far edge. Of dlib's blocks the branch is, at even sizes."""
    if y.shape != x.shape:
        sizes = list(zip(y.shape[:1:-1], x.shape[:1:-1], strict=True))
        y = F.pad(y, [edge for n, m in sizes for edge in (0, max(0, m - n))])
        x = F.pad(x, [edge for n, m in sizes for edge in (0, max(0, n - m))])
    return y + x


class DilatedAverage(nn.Module):
    """2-wide average pooling with stride 1 and dilation along each axis; at the far edge the mean of the values inside.

    It replaces the strided average pooling of option D where `output_stride` removes the stride: at the positions of the
    strided pooling the values are the same. (N, C, *spatial) -> the same shape. No parameters.
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
    """The shortcut module of `plan`, its submodules named as in torchvision; None for the identity and for no shortcut."""
    if plan.shortcut in ("pad", "subsample"):
        return PadChannels(plan.in_chans, plan.out_chans, plan.stride)
    if plan.shortcut == "pool_pad":
        return PoolPad(plan.in_chans, plan.out_chans, plan.stride, dims)
    if plan.shortcut == "norm":
        return nn.Sequential(normalisation(plan.norm, plan.out_chans, dims))
    if plan.projection is None:
        return None
    layers: list[nn.Module] = [convolution(plan.projection, dims)]
    if plan.shortcut == "pool_project":  # as in timm, the pooling is module 0 even where it is the identity
        pool: nn.Module = DilatedAverage(plan.atrous) if plan.atrous else nn.Identity()
        if plan.stride > 1:
            steps = plan.steps(dims)
            kind: Any = Average3d if dims == 3 else AVG_POOL[dims]
            pool = kind(steps, steps, ceil_mode=True, count_include_pad=False)
        layers.insert(0, pool)
    if plan.order == "post":
        layers.append(normalisation(plan.norm, plan.out_chans, dims))
    return nn.Sequential(*layers)
