"""torch's layer classes by number of spatial axes: `NORM[2]` is `nn.BatchNorm2d`."""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnets.models.nn.sync import SyncBatchNorm
from resnets.models.parts import NORMALISATIONS, Conv

Features: TypeAlias = dict[str, Tensor]  # "c1" ... "c5": (N, C, *spatial), as `ResNetSpec.levels` states

CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
MAX_POOL = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
AVG_POOL = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
ZERO_PAD = {1: nn.ConstantPad1d, 2: nn.ConstantPad2d, 3: nn.ConstantPad3d}


class EvenKernel(nn.Module):
    """In front of a convolution class: the input is padded so that an even kernel with stride 1 keeps its length, by one more
    position at the far edges, as Keras' "same"."""

    kernel_size: tuple[int, ...]
    dilation: tuple[int, ...]

    def forward(self, x: Tensor) -> Tensor:
        extents = [dilation * (kernel - 1) for dilation, kernel in zip(self.dilation, self.kernel_size, strict=True)]
        sides = [side for extent in reversed(extents) for side in (extent // 2, extent - extent // 2)]
        return super().forward(F.pad(x, sides))


class EvenConv1d(EvenKernel, nn.Conv1d):
    """See `EvenKernel`."""


class EvenConv2d(EvenKernel, nn.Conv2d):
    """See `EvenKernel`."""


class EvenConv3d(EvenKernel, nn.Conv3d):
    """See `EvenKernel`."""


EVEN = {1: EvenConv1d, 2: EvenConv2d, 3: EvenConv3d}
NORMS = (*NORM.values(), SyncBatchNorm)
CONVS = tuple(CONV.values())


def normalisation(kind: str, channels: int, dims: int) -> nn.Module:
    """The norm called `kind`."""
    return NORMALISATIONS[kind].make(channels, dims)


def batch_norm(channels: int, dims: int) -> nn.Module:
    return NORM[dims](channels)


class InstanceNorm(nn.Module):
    """Each channel of each sample by its own mean and variance over positions, then scaled and shifted (arXiv 1607.08022).

    (N, channels, *spatial) -> the same shape, for any size: a single position becomes the shift. It is group norm with a group
    for each channel, which torch computes in half the time of its instance norm on processors.
    """

    def __init__(self, channels: int, dims: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.eps = 1e-5

    def forward(self, x: Tensor) -> Tensor:
        if not torch.compiler.is_exporting():
            return torch.group_norm(x, len(self.weight), self.weight, self.bias, self.eps)
        # Exported group norm reshapes to sizes that are not known, and which nobody can check; this has none.
        axes = tuple(range(2, x.ndim))
        gap = x - x.mean(axes, keepdim=True)
        scale, shift = (part[(slice(None), *[None] * len(axes))] for part in (self.weight, self.bias))
        return gap / ((gap * gap).mean(axes, keepdim=True) + self.eps).sqrt() * scale + shift

    def extra_repr(self) -> str:
        return f"{len(self.weight)}"


def identity(channels: int, dims: int) -> nn.Module:
    """For "none", so that the name exists and hooks can be registered on it."""
    return nn.Identity()


def convolution(plan: Conv, dims: int) -> nn.Module:
    """The convolution that `plan` describes; where it is padded, with stride 1 the output has the input's size."""
    odd = bool(plan.kernel % 2) or not plan.padded
    kind: Any = CONV[dims] if odd else EVEN[dims]
    return kind(
        plan.in_chans,
        plan.out_chans,
        plan.kernel,
        plan.steps(dims),
        padding=plan.dilation * (plan.kernel // 2) if plan.padded and odd else 0,
        dilation=plan.dilation,
        groups=plan.groups,
        bias=plan.bias,
    )


def activation(kind: str, *, inplace: bool) -> nn.Module:
    """The activation called `kind`: "relu", or "leaky" with a slope of 0.01."""
    return nn.ReLU(inplace=inplace) if kind == "relu" else nn.LeakyReLU(0.01, inplace=inplace)


def precise(value: Tensor) -> Tensor:
    """`value` as float64, or as float32 on "mps", which has no float64."""
    return value.float() if value.device.type == "mps" else value.double()
