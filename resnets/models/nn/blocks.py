"""Residual blocks. Their submodules (conv1 bn1 conv2 bn2 ... downsample se) are named as in torchvision and timm."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnets.models.block import Block
from resnets.models.nn.fused import norm_relu
from resnets.models.nn.layers import CONV, MAX_POOL, activation, convolution, normalisation
from resnets.models.nn.shortcuts import added, shortcut
from resnets.models.parts import ATTENTIONS, Conv, pooled_convs, round_to_8


class DropPath(nn.Module):
    """Stochastic depth (arXiv 1603.09382): in training, set a sample to zero with probability `p` and scale the rest.

    (N, ...) -> the same shape. In evaluation it is the identity.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        keep = 1 - self.p
        mask = torch.empty((len(x),) + (1,) * (x.ndim - 1), dtype=x.dtype, device=x.device).bernoulli_(keep)
        return x * mask.div_(keep)

    def extra_repr(self) -> str:
        return f"p={self.p:.3f}"


class SqueezeExcitation(nn.Module):
    """Scale each channel by a factor in (0, 1) computed from the means of all channels over positions (arXiv 1709.01507).

    (N, C, *spatial) -> the same shape. `squeezed` is the number of channels of the hidden layer.
    """

    def __init__(self, channels: int, squeezed: int, dims: int) -> None:
        super().__init__()
        self.fc1 = CONV[dims](channels, squeezed, 1)
        self.fc2 = CONV[dims](squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(tuple(range(2, x.ndim)), keepdim=True)
        return x * self.fc2(self.fc1(mean).relu()).sigmoid()


def squeeze_excitation(channels: int, dims: int) -> SqueezeExcitation:
    """With reduction 16."""
    return SqueezeExcitation(channels, round_to_8(channels / 16), dims)


class Branch(nn.Module):
    """The layers of a residual branch: convolutions, each with a norm (conv1 bn1 conv2 bn2 ...), and the ReLU between them."""

    def __init__(self, plan: Block, convs: tuple[Conv, ...], dims: int) -> None:
        super().__init__()
        self.pre, self.depth = plan.order == "pre", len(convs)
        for number, conv in enumerate(convs, start=1):
            self.add_module(f"conv{number}", convolution(conv, dims))
            self.add_module(f"bn{number}", normalisation(plan.norm, conv.in_chans if self.pre else conv.out_chans, dims))
        # Without a norm, an in-place ReLU could overwrite the shortcut's input; behind one of a user's, what that has kept.
        self.relu = activation(plan.activation, inplace=plan.norm in ("batch", "instance"))

    def layers(self) -> list[tuple[nn.Module, nn.Module]]:
        """The residual branch as (convolution, norm) pairs, in order."""
        return [(getattr(self, f"conv{n}"), getattr(self, f"bn{n}")) for n in range(1, self.depth + 1)]

    def zero_branch(self) -> None:
        """Initialise the residual branch to zero, so that the block computes its shortcut (arXiv 1706.02677, section 5.1)."""
        conv, norm = self.layers()[-1]
        last = conv if self.pre or not isinstance(getattr(norm, "weight", None), Tensor) else norm
        nn.init.zeros_(last.weight)  # type: ignore[arg-type]


class ResidualBlock(Branch):
    """relu(shortcut(x) + branch(x)) in "post" order; shortcut(x) + branch(x) in "pre".

    (N, plan.in_chans, *spatial) -> (N, plan.out_chans, *plan.out_size(spatial)). In "pre" order an identity or subsampling
    shortcut takes the input itself, any other the input after the first norm and ReLU, as in the authors' code.
    """

    def __init__(self, plan: Block, dims: int) -> None:
        super().__init__(plan, plan.convs, dims)
        self.activated = plan.shortcut != "subsample"  # in "pre" order: the shortcut takes the input after norm and ReLU
        self.plain = plan.shortcut == "none"
        attends = plan.attention != "none"
        if attends:  # whichever it is, it has the name that it has in timm
            self.se = ATTENTIONS[plan.attention].make(plan.out_chans, dims)
        self.downsample = shortcut(plan, dims)
        self.drop_path = DropPath(plan.drop_path) if plan.drop_path else None
        # The last norm's output is added to the shortcut directly, and both have one size.
        self.bare = not (attends or plan.drop_path or plan.shortcut == "pool_pad")

    def forward(self, x: Tensor) -> Tensor:
        return self._forward_pre(x) if self.pre else self._forward_post(x)

    def _forward_post(self, x: Tensor) -> Tensor:
        y = x
        *inner, (conv, norm) = self.layers()
        for inner_conv, inner_norm in inner:
            y = norm_relu(inner_norm, self.relu, inner_conv(y))
        y = conv(y)
        if self.bare:
            return norm_relu(norm, self.relu, y, None if self.plain else self._shortcut(x))
        return self.relu(self._add(norm(y), x))

    def _forward_pre(self, x: Tensor) -> Tensor:
        y = x
        for number, (conv, norm) in enumerate(self.layers(), start=1):
            y = norm_relu(norm, self.relu, y)
            if number == 1 and self.downsample is not None and self.activated:
                x = y
            y = conv(y)
        return self._add(y, x)

    def _add(self, y: Tensor, x: Tensor) -> Tensor:
        if hasattr(self, "se"):
            y = self.se(y)
        if self.plain:
            return y
        if self.drop_path is not None:
            y = self.drop_path(y)
        return added(y, self._shortcut(x))

    def _shortcut(self, x: Tensor) -> Tensor:
        return x if self.downsample is None else self.downsample(x)


class PooledBlock(Branch):
    """A block whose shape max-pooling changes, of `plan.stride` positions, behind a convolution and without a shortcut; where
    the shape stays, a residual branch is added, and nothing follows the addition.

    (N, plan.in_chans, *spatial) -> (N, plan.out_chans, *ceil(spatial / plan.stride)). Where a stride was replaced by dilation,
    the maxima at the positions of the strided pooling are the same.
    """

    def __init__(self, plan: Block, dims: int) -> None:
        super().__init__(plan, pooled_convs(plan), dims)
        self.adds = plan.shortcut == "identity"
        self.pools, self.ahead = plan.stride > 1 or plan.atrous > 0, plan.atrous
        self.pool = MAX_POOL[dims](2, plan.stride, dilation=max(1, plan.atrous), ceil_mode=plan.stride > 1)

    def pooled(self, x: Tensor) -> Tensor:
        if self.ahead:  # the other one of its pooling is so far from a position, where nothing strides
            x = F.pad(x, (0, self.ahead) * (x.ndim - 2), value=-math.inf)
        return self.pool(x) if self.pools else x

    def zero_branch(self) -> None:
        """As that of other blocks; where there is no shortcut, nothing."""
        if self.adds:
            super().zero_branch()


class PageBlock(PooledBlock):
    """A block of David Page's ResNet-9: x + relu(norm(conv(relu(norm(conv(x)))))), or pool(relu(norm(conv(x))))."""

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for conv, norm in self.layers():
            y = norm_relu(norm, self.relu, conv(y))
        return x + y if self.adds else self.pooled(y)


class AirbenchBlock(PooledBlock):
    """A block after Keller Jordan's airbench: x + relu(norm(conv(x))), or relu(norm(pool(conv(x)))), where norm and ReLU have a
    quarter of the positions."""

    def forward(self, x: Tensor) -> Tensor:
        ((conv, norm),) = self.layers()
        y = norm_relu(norm, self.relu, self.pooled(conv(x)))
        return x + y if self.adds else y
