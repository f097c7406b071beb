"""One residual block as plain data (`Block`), and what follows from it: its size, stride and counts. No torch."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from resnets.errors import InputError
from resnets.models.parts import ATTENTIONS, BLOCKS, NORMALISATIONS, Conv, Counts


@dataclass(frozen=True, slots=True)
class Block:
    """One residual block: the convolutions of its residual branch, and the kind of its shortcut.

    Of a block that is not built from convolutions known here, a single one has its channels, stride and dilation.
    """

    convs: tuple[Conv, ...]
    shortcut: str  # identity | norm | pad | subsample | project | pool_project | pool_pad | none
    order: str
    norm: str = "batch"
    attention: str = "none"
    drop_path: float = 0.0  # probability of skipping the branch in training
    atrous: int = 0  # if the stride was replaced by dilation: the dilation at the block's input; 0: the stride is kept
    block: str = "basic"
    activation: str = "relu"

    @property
    def in_chans(self) -> int:
        return self.convs[0].in_chans

    @property
    def out_chans(self) -> int:
        return self.convs[-1].out_chans

    @property
    def stride(self) -> int:
        return math.prod(conv.stride for conv in self.convs)

    def steps(self, dims: int) -> tuple[int, ...]:
        """The stride along each axis."""
        return tuple(math.prod(steps) for steps in zip(*(conv.steps(dims) for conv in self.convs), strict=True))

    @property
    def dilation(self) -> int:
        """Of the last convolution."""
        return self.convs[-1].dilation

    @property
    def projection(self) -> Conv | None:
        """The 1x1 convolution of the shortcut, or None. In shortcut D the average pooling strides and this has stride 1."""
        if self.shortcut not in ("project", "pool_project"):
            return None
        stride = self.stride if self.shortcut == "project" else 1
        still = next((conv.still for conv in self.convs if conv.still), ())
        return Conv(self.in_chans, self.out_chans, 1, stride, bias=self.convs[0].bias, still=still)

    def out_size(self, size: tuple[int, ...]) -> tuple[int, ...]:
        branch = size
        for conv in self.convs:
            branch = conv.out_size(branch)
        if self.shortcut != "pool_pad" or 0 in branch:
            return branch
        return tuple(max(n, m // self.stride) for n, m in zip(branch, size, strict=True))  # zeros are added to the shorter

    def counts(self, size: tuple[int, ...]) -> Counts:
        """The counts for an input of spatial size `size`; as layers those of the residual branch."""
        row, dims, out = BLOCKS[self.block], len(size), self.out_size(size)
        if row.convs is None:
            return row.counts((self, dims), (self.in_chans, *size), (self.out_chans, *out))
        # Norms follow each convolution ("post") or precede it ("pre"); only in "post" does a projection have its own.
        normed = [conv.in_chans if self.order == "pre" else conv.out_chans for conv in self.convs]
        attention = ATTENTIONS[self.attention].counts((self.out_chans, dims), *[(self.out_chans, *out)] * 2)
        params, macs = attention.num_params, attention.num_macs
        if self.projection:
            normed += [self.out_chans] * (self.order == "post")
            params += self.projection.num_params(dims)
            macs += self.projection.num_weights(dims) * math.prod(out)
        normed += [self.out_chans] * (self.shortcut == "norm")
        for conv in self.convs:
            params, macs, size = params + conv.num_params(dims), macs + conv.num_macs(size), conv.out_size(size)
        params += sum(NORMALISATIONS[self.norm].num_params(channels, dims) for channels in normed)
        return Counts(params, macs, len(self.convs))

    def num_params(self, dims: int) -> int:
        return self.counts((16,) * dims).num_params

    def num_layers(self, dims: int) -> int:
        """Convolutions of the residual branch; of a block that is counted on its module, all convolutions and linear layers."""
        return len(self.convs) if BLOCKS[self.block].convs else self.counts((16,) * dims).num_layers

    def num_macs(self, size: tuple[int, ...]) -> int:
        return self.counts(size).num_macs


def dilated(convs: tuple[Conv, ...], dilation: int, *, keep_stride: bool) -> tuple[Conv, ...]:
    """The convolutions of a block, dilated.

    Args:
        dilation: distance, at the block's input, between positions that were neighbours before strides were replaced.
        keep_stride: whether strides stay; otherwise they become 1, and each multiplies the dilation of the ones after it.

    Raises:
        InputError: for a convolution that is not padded.
    """
    if not all(conv.padded for conv in convs):
        raise InputError(
            "output_stride: the strided convolutions of shortcut='pool' are not padded, and dilation cannot replace their "
            "strides; give a larger output_stride, or shortcut='D'"
        )
    found = []
    for conv in convs:
        own = dilation if conv.kernel > 1 else 1
        found.append(dataclasses.replace(conv, stride=conv.stride if keep_stride else 1, dilation=own))
        dilation *= 1 if keep_stride else conv.stride
    return tuple(found)
