"""Heads that give every position of the input a class: FCN, DeepLabV3 and U-Net decoders, over any trunk of 1, 2 or 3 axes.

A head is called with the trunk's levels and the input's size, (features, size), and returns logits
(N, spec.num_classes, *size), for sizes that strides divide and others alike. Which trunk suits: FCN and DeepLabV3 read the last
level and want it dense (`output_stride=8` or 16); U-Nets read all.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnets.errors import InputError
from resnets.models.nn.fused import norm_relu
from resnets.models.nn.layers import CONV, Features, convolution, normalisation
from resnets.models.nn.trunk import Trunk, relu
from resnets.models.parts import NORMALISATIONS, Conv
from resnets.models.spec import Level, ResNetSpec
from resnets.tasks.segment.settings import HEADS

UPWARDS: dict[int, Any] = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}
ALONE = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d  # norms of one process


def resized(x: Tensor, size: Sequence[int]) -> Tensor:
    """x (N, C, *spatial) -> (N, C, *size), linear between positions."""
    return F.interpolate(x, size=tuple(size), mode=MODES[x.ndim - 2], align_corners=False)


class Layer(nn.Sequential):
    """relu(norm(conv(x))), the convolution keeping the size; the norm and the start are as in the trunk of `spec`."""

    def __init__(self, spec: ResNetSpec, in_chans: int, out_chans: int, kernel: int = 3, dilation: int = 1) -> None:
        plan = Conv(in_chans, out_chans, kernel, bias=NORMALISATIONS[spec.norm].bias, dilation=dilation)
        conv = convolution(plan, spec.dims)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")  # type: ignore[arg-type]
        if plan.bias:
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        super().__init__(conv, normalisation(spec.norm, out_chans, spec.dims), relu(spec))

    def forward(self, x: Tensor) -> Tensor:
        conv, norm, relu = self
        return norm_relu(norm, relu, conv(x))


class FCN(nn.Module):
    """One 3x3 to a quarter of the channels, then the classes, from one level (arXiv 1411.4038, in torchvision's form)."""

    def __init__(self, spec: ResNetSpec, level: Level | None = None) -> None:
        super().__init__()
        level = level or spec.levels[-1]
        inner = max(1, level.channels // 4)
        self.level = level.name
        self.inner = Layer(spec, level.channels, inner)
        self.dropout = nn.Dropout(0.1)
        self.logits = CONV[spec.dims](inner, spec.num_classes, 1)

    def forward(self, features: Features, size: Sequence[int]) -> Tensor:
        return resized(self.logits(self.dropout(self.inner(features[self.level]))), size)


class DeepLabV3(nn.Module):
    """The last level seen at several dilations and as a whole, joined (arXiv 1706.05587, in torchvision's form).

    Args:
        spec: of the trunk.
        rates: dilations; None: (12, 24, 36) where the level has a stride of 8 or less, and in proportion to it above, as in
            the paper.
        width: channels of every branch.
    """

    def __init__(self, spec: ResNetSpec, rates: Sequence[int] | None = None, width: int = 256) -> None:
        super().__init__()
        level = spec.levels[-1]
        rates = rates or [rate * 8 // max(8, level.stride) for rate in (12, 24, 36)]
        self.level = level.name
        self.branches = nn.ModuleList([Layer(spec, level.channels, width, 1)])
        self.branches.extend(Layer(spec, level.channels, width, 3, rate) for rate in rates)
        self.pooled = Layer(spec, level.channels, width, 1)
        self.join = Layer(spec, (len(rates) + 2) * width, width, 1)
        self.dropout = nn.Dropout(0.5)
        self.last = Layer(spec, width, width)
        self.logits = CONV[spec.dims](width, spec.num_classes, 1)

    def forward(self, features: Features, size: Sequence[int]) -> Tensor:
        x = features[self.level]
        whole = self._whole(x)
        seen = [branch(x) for branch in self.branches]
        x = self.join(torch.cat([*seen, whole.expand(-1, -1, *x.shape[2:])], 1))
        return resized(self.logits(self.last(self.dropout(x))), size)

    def _whole(self, x: Tensor) -> Tensor:
        """The pooled branch, (N, width, 1, ...). A batch of one has no statistics there: it takes the running ones."""
        conv, norm, relu = self.pooled
        y = conv(x.mean(tuple(range(2, x.ndim)), keepdim=True))
        if norm.training and len(y) == 1 and isinstance(norm, ALONE):
            return relu(F.batch_norm(y, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps))
        return norm_relu(norm, relu, y)


class UNet(nn.Module):
    """From the last level up to c1, each time beside the level of that size, two 3x3s (arXiv 1505.04597).

    Sizes come from the levels themselves, so that any stem does; where c1 is smaller than the input, two more 3x3s follow at
    the input's size.

    Args:
        spec: of the trunk.
        width: most channels beside the last level but one; half of it beside each level before; never more than the level.
    """

    def __init__(self, spec: ResNetSpec, width: int = 256) -> None:
        super().__init__()
        *beside, last = spec.levels
        widths = [min(level.channels, max(16, width >> n)) for n, level in enumerate(reversed(beside))]
        self.beside = [level.name for level in reversed(beside)]
        self.level = last.name
        if beside[0].stride > 1:
            beside, widths = [Level("", 0, 1), *beside], [*widths, max(16, widths[-1] // 2)]
        steps = zip(pairwise([last.channels, *widths]), reversed(beside), strict=True)
        self.steps = nn.ModuleList(
            nn.Sequential(Layer(spec, below + level.channels, out), Layer(spec, out, out)) for (below, out), level in steps
        )
        self.logits = CONV[spec.dims](widths[-1], spec.num_classes, 1)

    def forward(self, features: Features, size: Sequence[int]) -> Tensor:
        x = features[self.level]
        beside = [features[name] for name in self.beside]
        for number, step in enumerate(self.steps):
            joined = beside[number] if number < len(beside) else None
            target = tuple(size) if joined is None else joined.shape[2:]
            if x.shape[2:] != target:
                x = F.interpolate(x, size=target, mode="nearest")
            x = step(x if joined is None else torch.cat([x, joined], 1))
        return self.logits(x)


class Supervised(NamedTuple):
    """What a head with deep supervision says in training: logits (N, C, *size), and those at lower resolutions, the highest of
    these first, (N, C, *ceil(size / stride))."""

    logits: Tensor
    lower: list[Tensor]


class DeepUNet(nn.Module):
    """From the last level up to the first, a transposed convolution and one 3x3 a stage, as light as nnU-Net's decoder of
    residual encoders (arXiv 2404.09556), with logits at each resolution in training (deep supervision, arXiv 1409.5185).

    Of levels of one size the last is read. Sizes that strides do not divide come out as they went in: what a transposed
    convolution has beyond the level beside it is cut off.

    Args:
        spec: of the trunk.
    """

    def __init__(self, spec: ResNetSpec) -> None:
        super().__init__()
        by_size = {level.steps or (level.stride,) * spec.dims: level for level in spec.levels}
        (steps, *above), (last, *beside) = list(by_size)[::-1], list(by_size.values())[::-1]
        self.level, self.beside = last.name, [level.name for level in beside]
        self.up, self.steps, self.logits = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for below, level, own in zip([last, *beside], beside, above, strict=False):
            ratio = tuple(low // high for low, high in zip(steps, own, strict=True))
            self.up.append(UPWARDS[spec.dims](below.channels, level.channels, ratio, ratio))
            self.steps.append(Layer(spec, 2 * level.channels, level.channels))
            steps = own
        self.logits.extend(CONV[spec.dims](level.channels, spec.num_classes, 1) for level in beside or [last])

    def forward(self, features: Features, size: Sequence[int]) -> Tensor | Supervised:
        x, found = features[self.level], []
        for number, name in enumerate(self.beside):
            joined = features[name]
            x = self.up[number](x)
            if x.shape[2:] != joined.shape[2:]:
                x = x[(slice(None), slice(None), *(slice(length) for length in joined.shape[2:]))]
            x = self.steps[number](torch.cat([x, joined], 1))
            if self.training and number + 1 < len(self.beside):
                found.append(self.logits[number](x))
        logits = self.logits[-1](x)
        logits = logits if logits.shape[2:] == tuple(size) else resized(logits, size)
        return Supervised(logits, found[::-1]) if self.training else logits


def segmentation(spec: ResNetSpec, head: str = "unet", *, auxiliary: bool = False) -> dict[str, nn.Module]:
    """The head called `head` and, where asked for, torchvision's auxiliary one on the last level but one, by their names.

    Raises:
        InputError: for a head that does not exist, and a spec without classes or, for an auxiliary head, with one stage.
    """
    if head not in HEADS:
        raise InputError(f"there is no segmentation head {head!r}; use one of: {', '.join(HEADS)}")
    if not spec.num_classes:
        raise InputError("num_classes=0: a segmentation head needs the number of classes")
    if auxiliary and head == "deep_unet":
        raise InputError("the head deep_unet has losses at every resolution, and no auxiliary head beside it")
    if auxiliary and len(spec.levels) < 3:
        raise InputError("an auxiliary head reads the last stage but one; this network has a single stage")
    made: dict[str, nn.Module] = {"head": HEADS[head].make(spec)}
    if auxiliary:
        made["aux"] = FCN(spec, spec.levels[-2])
    return made


class Segmenter(Trunk):
    """The trunk of `spec` and its segmentation heads side by side. x (N, in_chans, *size) -> {"out": logits, "aux": logits}."""

    def __init__(self, spec: ResNetSpec, head: str = "unet", *, auxiliary: bool = False) -> None:
        super().__init__(spec)
        made = segmentation(spec, head, auxiliary=auxiliary)
        self.outputs = dict(zip(("out", "aux"), made, strict=False))
        for name, module in made.items():
            self.add_module(name, module)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.features(x)
        return {output: getattr(self, name)(features, x.shape[2:]) for output, name in self.outputs.items()}
