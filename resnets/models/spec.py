"""The description of a network (`ResNetSpec`) as plain data, and what follows from it. No torch.

A spec holds only what a user chooses. Everything else (channels, strides, layer count, parameters, multiply-adds) is derived
here from the same `Block` and `Conv` records from which `resnets.models.nn` builds the modules.

Sizes are in pixels and equal along every spatial axis unless given as a tuple; `dims` spatial axes are 1, 2 or 3.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TypedDict

from resnets.errors import InputError, check_choices, is_whole
from resnets.files import short
from resnets.models.block import Block, dilated
from resnets.models.parts import ATTENTIONS, BLOCKS, NORMALISATIONS, STEMS, Conv, shrink
from resnets.plugins import Part

# The allowed values of each field that is a choice. The command line and the error messages use this table too.
CHOICES: dict[str, Collection[str]] = {
    "block": BLOCKS,
    "stem": STEMS,
    "shortcut": ("A", "B", "C", "D", "pool", "norm", "none"),
    "stride_in": ("1x1", "3x3"),
    "stage_stride": ("first", "last", "none"),
    "order": ("post", "pre"),
    "norm": NORMALISATIONS,
    "activation": ("relu", "leaky"),
    "attention": ATTENTIONS,
    "depth_counts": ("path", "convs"),
}


# Shortcuts where a block changes shape.
RESHAPING = {"A": "pad", "B": "project", "D": "pool_project", "pool": "pool_pad", "norm": "project"}
MAX_BLOCKS = 4096  # of all stages; the deepest published network, ResNet-1202, has 600
MAX_LEAST = 1 << 10  # above the `least_size` of each network: strides are at most 64
# The least and the most of each number.
RANGES = {
    "width": (1, 1 << 20), "stem_width": (1, 1 << 20), "most_width": (1, 1 << 20),
    "groups": (1, 1 << 16), "group_width": (1, 1 << 16), "in_chans": (1, 1 << 16), "num_classes": (0, 1 << 20),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Level:
    """One output of the trunk: c1 comes from the stem, c2, c3, ... from the stages. `stride` counts from the input; `steps` are
    the strides along each axis, where they differ (`strides` of the spec)."""

    name: str
    channels: int
    stride: int
    steps: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table like Table 1 of He et al. (2015): a stage, its layers in words, output channels and size, cost."""

    stage: str
    layers: str
    channels: int
    size: tuple[int, ...]
    num_params: int
    num_macs: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ResNetSpec:
    """A residual network of He et al. (2015, arXiv 1512.03385) or one of its variants.

    Args:
        name: the name in the zoo that the spec was made from.
        block: "basic" (two 3x3 convolutions), "bottleneck" (1x1, 3x3, 1x1; four times as many output channels), or "wang" (of
            series, arXiv 1611.06455: kernels of 8, 5 and 3, with biases; of stages from the second on channels stay), or "page"
            (of David Page's ResNet-9: two 3x3 convolutions and nothing after the addition; where the shape changes, one
            and max-pooling, without a shortcut), or "airbench" (the same with one convolution, and norms behind the pooling).
            Users register blocks, stems, norms and attentions of their own (`resnets.register`).
        depths: number of blocks in each stage; four stages for ImageNet, three for CIFAR, five in dlib's network for faces, six
            in encoders of U-Nets.
        width: base channels of the first stage, at least 1; each later stage doubles it, up to the fourth.
        most_width: the most channels of a stage, up to which each doubles them, however many stages there are; None: no limit.
        strides: of each stage, a digit an axis, such as ("111", "122", "222"), where the axes differ: volumes with thick slices
            keep their slices at first. Empty: 2 along every axis from the second stage on.
        stem: "imagenet" (7x7 with stride 2, then max-pool), "small" (3x3), "deep" (three 3x3, then max-pool: the D variant),
            "keras" (only with order "pre": 7x7 with bias, then a zero-padded max-pool, as in Keras' ResNetV2), "dlib" (as
            "imagenet", but neither convolution nor max-pool is padded), "none" (the first block takes the input).
        stem_width: output channels of the stem; default (None): `width`.
        stem_stride: 1 or 2, stride of the stem's first convolution; default (None): 1 for the small stem, 2 for the others.
        shortcut: where a block changes shape, "A" pads with zero channels, "B" projects by a 1x1 convolution, "D"
            average-pools and projects; "C" projects in every block; "pool" average-pools, adds zero channels after the
            others, and leaves strided convolutions unpadded (dlib; where branch and shortcut then differ in size, zeros are
            added at the far edges of the smaller); "norm" is "B" with batch norms in the other shortcuts too (arXiv
            1611.06455); "none" is the plain network without shortcuts.
        stride_in: which convolution of a bottleneck has the stride: "1x1" (the paper) or "3x3" (torchvision, "v1.5").
        stage_stride: which block of a stage has the stride: "first" (the usual), or "last" (its output already has the next
            stage's size, and its shortcut takes every second position; Keras' ResNetV2), or "none" (nothing strides).
        order: "post" (convolution, norm, ReLU; the paper) or "pre" (norm, ReLU, convolution; arXiv 1603.05027).
        norm: "batch"; "instance" (each channel of each sample by itself, with learnt scale and shift); or "none": no norm, and
            every convolution has a bias.
        activation: "relu", or "leaky" (slope 0.01 below zero).
        groups, group_width: groups of a bottleneck's 3x3 convolution, and channels per group in the first stage at width 64
            (ResNeXt, wide networks).
        attention: "none" or "se" (squeeze-and-excitation with reduction 16, arXiv 1709.01507).
        drop_path: probability in [0, 1) of skipping the last block's branch in training (stochastic depth); it grows
            linearly from 0 at the first block.
        dims: number of spatial axes of the input: 1, 2 or 3.
        in_chans: input channels.
        num_classes: outputs of the classifier; 0: no classifier.
        output_stride: 64, 32, 16 or 8: the largest stride of a level. A stride beyond it is replaced by dilation: the same
            weights give the same values, at more positions (arXiv 1706.05587).
        zero_init_last: initialise every residual branch to zero (its last norm's scale; in "pre" order its last convolution).
        depth_counts: what the number in the name counts: "path" (weighted layers on the longest path, as He et al.) or
            "convs" (all convolutions including projections, without the classifier: 6n + 4 of Zagoruyko and Komodakis).

    Raises:
        InputError: for a value out of range, or values that exclude each other.
    """

    name: str = "resnet"
    block: str = "basic"
    depths: tuple[int, ...] = (2, 2, 2, 2)
    width: int = 64
    most_width: int | None = None
    strides: tuple[str, ...] = ()
    stem: str = "imagenet"
    stem_width: int | None = None
    stem_stride: int | None = None
    shortcut: str = "B"
    stride_in: str = "3x3"
    stage_stride: str = "first"
    order: str = "post"
    norm: str = "batch"
    activation: str = "relu"
    groups: int = 1
    group_width: int = 64
    attention: str = "none"
    drop_path: float = 0.0
    dims: int = 2
    in_chans: int = 3
    num_classes: int = 1000
    output_stride: int = 32
    zero_init_last: bool = False
    depth_counts: str = "path"

    def __post_init__(self) -> None:
        check_choices(self, CHOICES)
        if isinstance(self.depths, list):  # from JSON or YAML
            object.__setattr__(self, "depths", tuple(self.depths))
        for field, (least, most) in RANGES.items():
            value = getattr(self, field)
            if field in ("stem_width", "most_width") and value is None:
                continue
            if not is_whole(value) or not least <= value <= most:
                raise InputError(f"{field}={short(value)}: give a whole number from {least} to {most:,}")
        if self.dims not in (1, 2, 3):
            raise InputError(f"dims={short(self.dims)}: give 1 (signals), 2 (images) or 3 (volumes)")
        if self.output_stride not in (64, 32, 16, 8) or not is_whole(self.output_stride):
            raise InputError(f"output_stride={short(self.output_stride)}: give 64, 32, 16 or 8")
        depths = self.depths if isinstance(self.depths, tuple) and all(map(is_whole, self.depths)) else ()
        if not 1 <= len(depths) <= 7 or min(depths) < 1 or sum(depths) > MAX_BLOCKS:
            raise InputError(
                f"depths={short(self.depths)}: give one to seven stages of at least one block, such as (3, 4, 6, 3), and "
                f"at most {MAX_BLOCKS:,} blocks in all"
            )
        if isinstance(self.drop_path, bool) or not isinstance(self.drop_path, int | float) or not 0 <= self.drop_path < 1:
            raise InputError(f"drop_path={short(self.drop_path)}: give a probability of at least 0 and below 1")
        if not isinstance(self.zero_init_last, bool):
            raise InputError(f"zero_init_last={short(self.zero_init_last)}: give true or false")
        for name, values in BLOCKS[self.block].fixed.items():
            if getattr(self, name) not in values:
                only = " or ".join(map(str, values))
                given = f"{name}={short(getattr(self, name))}"
                raise InputError(f"{given}: with block={self.block!r} it can be {only}; leave it out, or use another block")
        if self.block == "bottleneck" and int(self.width * self.group_width / 64) < 1:
            raise InputError(
                f"group_width={self.group_width} is too small for width={self.width}: the 3x3 would have no channels"
            )
        if self.stem_stride not in (None, 1, 2) or isinstance(self.stem_stride, bool):
            raise InputError(f"stem_stride={short(self.stem_stride)}: give 1 or 2")
        fixed = STEMS[self.stem].empty or STEMS[self.stem].convs is None
        if self.stem_stride and fixed and self.stem_stride != STEMS[self.stem].stride:
            raise InputError(f"stem_stride={self.stem_stride}: the stem {self.stem!r} has stride {STEMS[self.stem].stride}")
        if self.stem == "keras" and (self.order, self.norm) != ("pre", "batch"):
            raise InputError("stem='keras' has no norm and needs order='pre' and norm='batch'; use stem='imagenet'")
        if self.shortcut == "norm" and self.order == "pre":
            raise InputError("shortcut='norm' has norms of its own and needs order='post'; use shortcut='B'")
        if self.stem == "deep" and self.stem_channels % 2:
            raise InputError(f"stem='deep' halves its {self.stem_channels} channels; give an even stem_width")

        self._check_strides()

    def _check_strides(self) -> None:
        if isinstance(self.strides, list):
            object.__setattr__(self, "strides", tuple(self.strides))
        words = self.strides if isinstance(self.strides, tuple) else ("",)
        if words and not (
            len(words) == len(self.depths)
            and all(isinstance(word, str) and len(word) == self.dims and set(word) <= set("12") for word in words)
        ):
            example = ",".join(["1" * self.dims, *["2" * self.dims] * (len(self.depths) - 1)])
            raise InputError(
                f"strides={short(self.strides)}: give for each of the {len(self.depths)} stages a digit, 1 or 2, for each "
                f"of the {self.dims} axes, such as {example}"
            )
        axes_differ = any(len(set(word)) > 1 for word in words)
        unlike = (
            self.shortcut not in ("B", "C", "D", "none")
            or self.stage_stride != "first"
            or (axes_differ and BLOCKS[self.block].convs is None)
        )
        if words and (unlike or self.stem_stride_pooled * 2 ** len(words) > 2 * self.output_stride):
            raise InputError(
                "strides: need shortcut B, C or D, the stride in the first block of a stage, blocks that are built from "
                "convolutions where axes differ, and an output_stride that no stage exceeds"
            )

    # --- derived from the fields ---------------------------------------------------------------------------------------

    @property
    def parts(self) -> tuple[Part, ...]:
        """The rows of its named parts."""
        return BLOCKS[self.block], NORMALISATIONS[self.norm], ATTENTIONS[self.attention], STEMS[self.stem]

    @property
    def stem_channels(self) -> int:
        if STEMS[self.stem].empty:
            return self.in_chans
        return self.width if self.stem_width is None else self.stem_width

    @property
    def has_max_pool(self) -> bool:
        return bool(STEMS[self.stem].pool)

    @property
    def stem_convs(self) -> tuple[Conv, ...]:
        """The convolutions of the stem; where they are not known, one with its channels and stride."""
        row = STEMS[self.stem]
        return row.convs(self) if row.convs else (Conv(self.in_chans, self.stem_channels, 3, row.stride),)

    @property
    def stem_stride_pooled(self) -> int:
        """The stride of the stem, max-pooling included: that of the first stage's input."""
        return math.prod(conv.stride for conv in self.stem_convs) * (2 if self.has_max_pool else 1)

    @property
    def stages(self) -> tuple[tuple[Block, ...], ...]:
        """The blocks of each stage, in order, with strides replaced by dilation beyond `output_stride`."""
        stages, in_chans, index, num_blocks = [], self.stem_channels, 0, sum(self.depths)
        reached, dilation = self.stem_stride_pooled, 1
        for stage, depth in enumerate(self.depths):
            blocks = []
            for position in range(depth):
                word = self.strides[stage] if self.strides else "2" * self.dims if stage > 0 else ""
                strides = {"first": "2" in word and position == 0, "none": False}
                strides["last"] = stage < len(self.depths) - 1 and position == depth - 1
                stride = 2 if strides[self.stage_stride] else 1
                atrous = dilation if reached * stride > self.output_stride else 0
                drop_path = self.drop_path * index / max(1, num_blocks - 1)
                width = self.width * 2 ** min(stage, BLOCKS[self.block].doublings)
                if self.most_width is not None:
                    width = min(self.width * 2**stage, self.most_width)
                block = self._block(in_chans, width, stride, drop_path)
                if still := tuple(axis for axis, digit in enumerate(word) if digit == "1") if stride > 1 else ():
                    convs = tuple(dataclasses.replace(conv, still=still * (conv.stride > 1)) for conv in block.convs)
                    block = dataclasses.replace(block, convs=convs)
                if max(dilation, atrous * stride) > 1:
                    convs = dilated(block.convs, dilation, keep_stride=not atrous)
                    block = dataclasses.replace(block, convs=convs, atrous=atrous)
                blocks.append(block)
                dilation, reached = (dilation * stride, reached) if atrous else (dilation, reached * stride)
                in_chans, index = block.out_chans, index + 1
            stages.append(tuple(blocks))
        return tuple(stages)

    def _block(self, in_chans: int, planes: int, stride: int, drop_path: float) -> Block:
        row = BLOCKS[self.block]
        out_chans, bias = planes * row.expansion, NORMALISATIONS[self.norm].bias
        one = (Conv(in_chans, out_chans, 3, stride, bias=bias),)
        convs = row.convs(self, in_chans, planes, stride) if row.convs else one
        if self.shortcut == "pool" and row.convs:
            convs = tuple(dataclasses.replace(conv, padded=conv.stride == 1) for conv in convs)
        same = stride == 1 and in_chans == out_chans
        late = self.stage_stride == "last" and in_chans == out_chans
        shortcut = {"none": "none", "C": "project"}.get(self.shortcut) or (
            ("norm" if self.shortcut == "norm" else "identity")
            if same
            else "subsample"
            if late and self.shortcut != "pool"
            else RESHAPING[self.shortcut]
        )
        if shortcut in ("pad", "pool_pad") and out_chans < in_chans:
            raise InputError(
                f"shortcut {self.shortcut} pads channels with zeros, but a block narrows {in_chans} to {out_chans}; use B"
            )
        named = (self.block, self.activation)
        return Block(convs, shortcut, self.order, self.norm, self.attention, drop_path, 0, *named)

    @property
    def levels(self) -> tuple[Level, ...]:
        """Name, channels and stride of each output: c1 (the stem, before max-pooling; without one the input), then c2, ... (one
        per stage)."""
        stride = math.prod(conv.stride for conv in self.stem_convs)
        levels = [Level("c1", self.stem_channels, stride)]
        stride = self.stem_stride_pooled
        steps = (stride,) * self.dims
        for number, blocks in enumerate(self.stages, start=2):
            stride *= math.prod(block.stride for block in blocks)
            for block in blocks if self.strides else ():
                steps = tuple(a * b for a, b in zip(steps, block.steps(self.dims), strict=True))
            levels.append(Level(f"c{number}", blocks[-1].out_chans, stride, steps if self.strides else ()))
        return tuple(levels)

    @property
    def num_features(self) -> int:
        """Channels of the last level, which is the length of the pooled feature vector."""
        return self.levels[-1].channels

    @property
    def num_layers(self) -> int:
        """The depth as the number in the name counts it (see `depth_counts`). A deep stem counts as one layer."""
        blocks = [block for stage in self.stages for block in stage]
        branch = (not STEMS[self.stem].empty) + sum(block.num_layers(self.dims) for block in blocks)
        if self.depth_counts == "convs":
            return branch + sum(block.projection is not None for block in blocks)
        return branch + 1

    @property
    def img_size(self) -> int:
        """Side of the input that the published network is trained at, in pixels: 32 and 150 for the small and dlib's stem, and
        of series 150."""
        return STEMS[self.stem].img_size

    @property
    def least_size(self) -> int:
        """Side of the smallest input, in pixels: 1, but where layers are not padded as many as they need."""
        return next(n for n in range(1, MAX_LEAST) if all(math.prod(size) for size in self._sizes((n,) * self.dims)))

    def to_json(self) -> dict[str, object]:
        """What a saved file says of it; without what is usual of those fields that version 0.1.0 does not know."""
        usual = {"most_width": None, "strides": (), "activation": "relu"}
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in usual or value != usual[name]}

    @property
    def num_params(self) -> int:
        return sum(row.num_params for row in self.table())

    def num_macs(self, size: int | tuple[int, ...] | None = None) -> int:
        """Number of multiply-adds of convolutions and classifier for one input of spatial size `size` (default `img_size`)."""
        return sum(row.num_macs for row in self.table(size))

    def table(self, size: int | tuple[int, ...] | None = None) -> tuple[Row, ...]:
        """The network stage by stage, as in the paper's Table 1, for one input of spatial size `size` (default `img_size`)."""
        size = self.img_size if size is None else size
        size = (size,) * self.dims if isinstance(size, int) else tuple(size)
        return tuple(self._rows(size))

    def _rows(self, size: tuple[int, ...]) -> Iterator[Row]:
        times, sizes, dims, norm = "×".join, self._sizes(size), self.dims, NORMALISATIONS[self.norm]
        stem, (out, entry), params, macs = STEMS[self.stem], (next(sizes), next(sizes)), 0, 0
        if stem.convs is None:
            params, macs, _ = stem.counts((self,), (self.in_chans, *size), (self.stem_channels, *out))
        for conv in self.stem_convs if stem.convs else ():
            params, macs, size = params + conv.num_params(dims), macs + conv.num_macs(size), conv.out_size(size)
        normed = self.stem_convs if self.order == "post" else self.stem_convs[:-1]  # "pre" leaves the last to the blocks
        params += sum(norm.num_params(conv.out_chans, dims) for conv in normed)
        words = ", ".join(f"{times([str(c.kernel)] * dims)}, {c.out_chans}" for c in self.stem_convs)
        words = words if stem.convs else f"{self.stem}, {self.stem_channels}"
        stride = math.prod(conv.stride for conv in self.stem_convs)
        words += f", stride {stride}" if stride > 1 else ""
        yield Row("conv1", words or "the input itself", self.stem_channels, out, params, macs)

        size = entry
        for number, blocks in enumerate(self.stages, start=2):
            words = f"{times(['3'] * dims)} max-pool, stride 2; " if number == 2 and self.has_max_pool else ""
            params = macs = 0
            for block in blocks:
                found = block.counts(size)
                params, macs, size = params + found.num_params, macs + found.num_macs, block.out_size(size)
            kinds = [times([str(c.kernel)] * dims) + f", {c.out_chans}" for c in blocks[0].convs]
            if BLOCKS[self.block].convs is None:
                kinds = [f"{self.block}, {blocks[0].out_chans}"]
            if self.groups > 1:
                kinds[1] += f", {self.groups} groups"
            words += f"[{'; '.join(kinds)}] × {len(blocks)}"
            yield Row(f"conv{number}_x", words, blocks[-1].out_chans, size, params, macs)

        pre, params = self.order == "pre", 0
        if pre:  # a norm after the last block
            params = norm.num_params(self.num_features, dims)
        words = "norm, " * (pre and self.norm != "none") + "ReLU, " * pre + "average pool"
        macs = self.num_features * self.num_classes
        if self.num_classes:
            params, words = params + (self.num_features + 1) * self.num_classes, f"{words}, {self.num_classes}-d fc"
        yield Row("head", words, self.num_classes or self.num_features, (1,) * dims, params, macs)

    def _sizes(self, size: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        """The spatial sizes of the stem's output, of the first stage's input, and of each stage's output."""
        for conv in self.stem_convs:
            size = conv.out_size(size)
        yield size
        if pool := STEMS[self.stem].pool:
            size = tuple(shrink(n, 3, 2, padded=pool != "valid") for n in size)
        yield size
        for blocks in self.stages:
            for block in blocks:
                size = block.out_size(size)
            yield size


class SpecFields(TypedDict, total=False):
    """Some of the fields of a `ResNetSpec`, without `name`: a row of the zoo, or what is known of a network."""

    block: str
    depths: tuple[int, ...]
    width: int
    most_width: int | None
    strides: tuple[str, ...]
    stem: str
    stem_width: int | None
    stem_stride: int | None
    shortcut: str
    stride_in: str
    stage_stride: str
    order: str
    norm: str
    activation: str
    groups: int
    group_width: int
    attention: str
    drop_path: float
    dims: int
    in_chans: int
    num_classes: int
    output_stride: int
    zero_init_last: bool
    depth_counts: str
