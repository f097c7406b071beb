"""The parts of a network by name: blocks, norms, attentions and stems, resnets' own and those that users register. No torch.

A row says how the part is made, and what of it is known without making it. What is not known (of a part whose row has neither
convolutions nor `count`) is counted on the module itself, built without memory (`counted`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

from resnets.errors import InputError
from resnets.plugins import Part, Table, register


@dataclass(frozen=True, slots=True)
class Conv:
    """One convolution. `kernel` and `dilation` are the same along every axis, and so is `stride`, but for the axes in `still`,
    which keep their length.

    It is padded by dilation * (kernel - 1) in all, unless it is not `padded`: of an even kernel by one position more at the far
    edge, as Keras' "same" does.
    """

    in_chans: int
    out_chans: int
    kernel: int
    stride: int = 1
    groups: int = 1
    bias: bool = False
    dilation: int = 1
    padded: bool = True
    still: tuple[int, ...] = ()

    def steps(self, dims: int) -> tuple[int, ...]:
        """The stride along each axis."""
        return tuple(1 if axis in self.still else self.stride for axis in range(dims))

    def num_weights(self, dims: int) -> int:
        return self.out_chans * (self.in_chans // self.groups) * self.kernel**dims

    def num_params(self, dims: int) -> int:
        return self.num_weights(dims) + self.out_chans * self.bias

    def out_size(self, size: tuple[int, ...]) -> tuple[int, ...]:
        steps = self.steps(len(size))
        return tuple(shrink(n, self.kernel, step, padded=self.padded) for n, step in zip(size, steps, strict=True))

    def num_macs(self, size: tuple[int, ...]) -> int:
        """Number of multiply-adds for an input of spatial size `size`."""
        return self.num_weights(len(size)) * math.prod(self.out_size(size))


def shrink(n: int, kernel: int, stride: int, *, padded: bool = True) -> int:
    """Output length of a convolution or pooling over `n` positions, `padded` by dilation * (kernel - 1) in all.

    With this padding the length does not depend on the dilation. Without it the length is 0 where `n` is below `kernel`.
    """
    return max(0, (n + (kernel - 1) * padded - kernel) // stride + 1)


# --- rows -------------------------------------------------------------------------------------------------------------------


class Counts(NamedTuple):
    """Parameters, multiply-adds for one input, and convolutions and linear layers of a part."""

    num_params: int
    num_macs: int
    num_layers: int = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class Counted(Part):
    """A part of a network.

    Args:
        count: (the factory's arguments, spatial size of the input) -> (parameters, multiply-adds), and of a block its layers,
            for a part that cannot be counted on the module, as its forward pass needs values; None: counted there.
    """

    count: Callable[..., tuple[int, ...]] | None = None

    def counts(self, given: tuple[Any, ...], takes: tuple[int, ...], gives: tuple[int, ...]) -> Counts:
        """The counts of what `make(*given)` makes, which takes (N, *takes) and gives (N, *gives)."""
        if self.count is not None:
            with self.blamed(", its count"):
                return Counts(*self.count(*given, takes[1:]))
        return counted(self, given, takes, gives)


@dataclass(frozen=True, eq=False, kw_only=True)
class Norm(Counted):
    """A norm: factory(channels, dims) makes a module (N, channels, *spatial) -> the same shape.

    Args:
        bias: whether convolutions beside it have biases, as it adds nothing itself.
    """

    bias: bool = False

    def num_params(self, channels: int, dims: int) -> int:
        return self.counts((channels, dims), *[(channels, *[8] * dims)] * 2).num_params


@dataclass(frozen=True, eq=False, kw_only=True)
class Attention(Counted):
    """What changes the output of a residual branch: factory(channels, dims) makes a module (N, channels, *spatial) -> the same
    shape."""


@dataclass(frozen=True, eq=False, kw_only=True)
class BlockRow(Counted):
    """A residual block: factory(plan, dims), with a `block.Block`, makes a module (N, plan.in_chans, *spatial) ->
    (N, plan.out_chans, *ceil(spatial / plan.stride)).

    Args:
        expansion: output channels, as a multiple of the stage's width.
        doublings: how often that width doubles from stage to stage, at most.
        convs: (spec, in_chans, width, stride) -> the convolutions of its branch, of a block that is built from these, such as
            `nn.blocks.ResidualBlock`; None: one convolution stands for them all in `plan.convs`.
        fixed: values that fields of the spec can have with it alone, by the field; all others are refused.
        pooled: of a block whose pooling strides: the number of convolutions in its residual branch.
    """

    expansion: int = 1
    doublings: int = 3
    convs: Callable[[Any, int, int, int], tuple[Conv, ...]] | None = None
    fixed: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    pooled: int = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class Stem(Counted):
    """The first layers: factory(spec) makes a module (N, in_chans, *spatial) -> (N, stem_channels, *ceil(spatial / stride)). In
    "post" order a norm and a ReLU follow.

    Args:
        stride: of the module.
        pool: the pooling that follows, of stride 2: a key of `nn.trunk.POOLS`; "": none.
        img_size: side of the input, in pixels, that it is made for.
        empty: whether it has no layer, and the first block takes the input.
        convs: spec -> its convolutions; None: one stands for them.
    """

    stride: int = 1
    pool: str = ""
    img_size: int = 224
    empty: bool = False
    convs: Callable[[Any], tuple[Conv, ...]] | None = None


@cache
def counted(part: Part, given: tuple[Any, ...], takes: tuple[int, ...], gives: tuple[int, ...]) -> Counts:
    """Counts on the module itself, which is built and run without memory for its values (torch's meta device).

    Raises:
        InputError: where it gives another shape than (N, *gives), or cannot be run so.
    """
    import torch
    from torch import nn
    from torch.utils.flop_counter import FlopCounterMode

    num, shown = 2, ", ".join(["N", *map(str, takes)])
    with torch.device("meta"):
        module = part.make(*given)
    if not isinstance(module, nn.Module):
        raise InputError(f"{part.words}: makes a {type(module).__name__}; it is to make a torch.nn.Module")
    doing = f" of an input ({shown}), on which it is counted without values; register it with count= if it needs these,"
    with FlopCounterMode(display=False) as counter, torch.no_grad(), part.blamed(doing):
        found = module.eval()(torch.empty(num, *takes, device="meta"))
    if not isinstance(found, torch.Tensor) or tuple(found.shape) != (num, *gives):
        got = f"({', '.join(['N', *map(str, found.shape[1:])])})" if isinstance(found, torch.Tensor) else type(found).__name__
        raise InputError(f"{part.words}: gives {got} of an input ({shown}); expected is ({', '.join(['N', *map(str, gives)])})")
    layers = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    return Counts(
        sum(parameter.numel() for parameter in module.parameters()),
        counter.get_total_flops() // (2 * num),  # a multiply-add is two operations
        sum(isinstance(layer, layers) for layer in module.modules()),
    )


# --- resnets' own -----------------------------------------------------------------------------------------------------------


def basic(spec: Any, in_chans: int, width: int, stride: int) -> tuple[Conv, ...]:
    """Two 3x3 convolutions."""
    bias = NORMALISATIONS[spec.norm].bias
    return Conv(in_chans, width, 3, stride, bias=bias), Conv(width, width, 3, bias=bias)


def bottleneck(spec: Any, in_chans: int, width: int, stride: int) -> tuple[Conv, ...]:
    """1x1, 3x3 in groups, 1x1 to four times as many channels."""
    bias, mid = NORMALISATIONS[spec.norm].bias, int(width * spec.group_width / 64) * spec.groups
    first, second = (stride, 1) if spec.stride_in == "1x1" else (1, stride)
    return (
        Conv(in_chans, mid, 1, first, bias=bias),
        Conv(mid, mid, 3, second, spec.groups, bias),
        Conv(mid, 4 * width, 1, bias=bias),
    )


def wang(spec: Any, in_chans: int, width: int, stride: int) -> tuple[Conv, ...]:
    """Kernels of 8, 5 and 3, with biases beside norms (of series, arXiv 1611.06455)."""
    planned = ((in_chans, 8, stride), (width, 5, 1), (width, 3, 1))
    return tuple(Conv(chans, width, kernel, step, bias=True) for chans, kernel, step in planned)


def pooled_convs(plan: Any) -> tuple[Conv, ...]:
    """The convolutions of a block whose pooling strides: one where `plan` changes shape, else as many as its row says."""
    first = replace(plan.convs[0], stride=1)
    changes = plan.in_chans != plan.out_chans or plan.stride > 1 or plan.atrous
    return (first,) * (1 if changes else BLOCKS[plan.block].pooled)


def count_pooled(plan: Any, dims: int, size: tuple[int, ...]) -> Counts:
    convs = pooled_convs(plan)
    params = sum(conv.num_params(dims) + NORMALISATIONS[plan.norm].num_params(conv.out_chans, dims) for conv in convs)
    return Counts(params, sum(conv.num_macs(size) for conv in convs), len(convs))


def small(spec: Any) -> tuple[Conv, ...]:
    return (Conv(spec.in_chans, spec.stem_channels, 3, spec.stem_stride or 1, bias=NORMALISATIONS[spec.norm].bias),)


def large(spec: Any) -> tuple[Conv, ...]:
    """A 7x7 convolution; with bias in Keras' stem, without padding in dlib's."""
    bias = NORMALISATIONS[spec.norm].bias or spec.stem == "keras"
    return (Conv(spec.in_chans, spec.stem_channels, 7, spec.stem_stride or 2, bias=bias, padded=spec.stem != "dlib"),)


def deep(spec: Any) -> tuple[Conv, ...]:
    """Three 3x3 convolutions."""
    half, bias = spec.stem_channels // 2, NORMALISATIONS[spec.norm].bias
    widths = pairwise((spec.in_chans, half, half, spec.stem_channels))
    strides = (spec.stem_stride or 2, 1, 1)
    return tuple(Conv(a, b, 3, stride, bias=bias) for (a, b), stride in zip(widths, strides, strict=True))


def round_to_8(value: float) -> int:
    """The multiple of 8 nearest to `value`, at least 8 and at least 0.9 * value (the rounding of MobileNet)."""
    rounded = max(8, int(value + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * value else rounded


def count_squeeze(channels: int, dims: int, size: tuple[int, ...]) -> tuple[int, int]:
    """Of squeeze-and-excitation with reduction 16."""
    inner = round_to_8(channels / 16)
    return (2 * channels + 1) * inner + channels, 2 * channels * inner


NO_GROUPS = {"groups": (1,), "group_width": (64,)}
POOLED = NO_GROUPS | {"shortcut": ("B", "none"), "order": ("post",), "attention": ("none",), "drop_path": (0.0,)}

BLOCKS = Table("block", BlockRow)
register("block", "basic", "resnets.models.nn.blocks:ResidualBlock", convs=basic, fixed=NO_GROUPS)
register("block", "bottleneck", "resnets.models.nn.blocks:ResidualBlock", convs=bottleneck, expansion=4)
register("block", "wang", "resnets.models.nn.blocks:ResidualBlock", convs=wang, doublings=1, fixed=NO_GROUPS)
register("block", "page", "resnets.models.nn.blocks:PageBlock", count=count_pooled, fixed=POOLED, pooled=2)
register("block", "airbench", "resnets.models.nn.blocks:AirbenchBlock", count=count_pooled, fixed=POOLED, pooled=1)

NORMALISATIONS = Table("norm", Norm)
register("norm", "batch", "resnets.models.nn.layers:batch_norm", count=lambda channels, dims, size: (2 * channels, 0))
register("norm", "instance", "resnets.models.nn.layers:InstanceNorm", count=lambda channels, dims, size: (2 * channels, 0))
register("norm", "none", "resnets.models.nn.layers:identity", count=lambda channels, dims, size: (0, 0), bias=True)

ATTENTIONS = Table("attention", Attention)
register("attention", "none", "resnets.models.nn.layers:identity", count=lambda channels, dims, size: (0, 0))
register("attention", "se", "resnets.models.nn.blocks:squeeze_excitation", count=count_squeeze)

STEMS = Table("stem", Stem)
register("stem", "imagenet", "resnets.models.nn.trunk:stem", convs=large, pool="max")
register("stem", "small", "resnets.models.nn.trunk:stem", convs=small, img_size=32)
register("stem", "deep", "resnets.models.nn.trunk:stem", convs=deep, pool="max")
register("stem", "keras", "resnets.models.nn.trunk:stem", convs=large, pool="zeros")
register("stem", "dlib", "resnets.models.nn.trunk:stem", convs=large, pool="valid", img_size=150)
# Series have any length; those of UCR's GunPoint have 150 values.
register("stem", "none", "resnets.models.nn.trunk:no_stem", convs=lambda spec: (), empty=True, img_size=150)
