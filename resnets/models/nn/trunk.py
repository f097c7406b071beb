"""The trunk: everything before the head. It returns the levels c1 ... c5, whose channels and strides `ResNetSpec` states."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from resnets.errors import InputError, SmallInput
from resnets.models.nn.fused import norm_relu
from resnets.models.nn.layers import CONVS, MAX_POOL, NORMS, ZERO_PAD, Features, activation, convolution, normalisation
from resnets.models.parts import BLOCKS, NORMALISATIONS, STEMS
from resnets.models.spec import ResNetSpec

# The pooling behind a stem, by `Stem.pool`.
POOLS: dict[str, Callable[[int], nn.Module]] = {
    "": lambda dims: nn.Identity(),
    "max": lambda dims: MAX_POOL[dims](3, 2, 1),
    "zeros": lambda dims: nn.Sequential(ZERO_PAD[dims](1, 0.0), MAX_POOL[dims](3, 2)),
    "valid": lambda dims: MAX_POOL[dims](3, 2),
}


def stem(spec: ResNetSpec) -> nn.Module:
    """The stem's convolutions with norm and ReLU between them."""
    convs, dims = spec.stem_convs, spec.dims
    layers: list[nn.Module] = [convolution(convs[0], dims)]
    for before, conv in pairwise(convs):
        layers += [normalisation(spec.norm, before.out_chans, dims), relu(spec), convolution(conv, dims)]
    return layers[0] if len(layers) == 1 else nn.Sequential(*layers)


def no_stem(spec: ResNetSpec) -> nn.Module:
    return nn.Identity()


def relu(spec: ResNetSpec) -> nn.Module:
    """The activation of `spec`; not in place behind a user's norm, which may need its output in the backward pass."""
    return activation(spec.activation, inplace=NORMALISATIONS[spec.norm].file is None)


class Trunk(nn.Module):
    """The stem and the stages of `spec`, named as in torchvision: conv1 bn1 layer1 ... layer4. `levels` are the spec's.

    In "pre" order the stem has no norm, and the last stage is followed by a norm (`norm`) and a ReLU, which are part of the
    last level. Convolutions are initialised from a normal distribution with variance 2 / fan-out (arXiv 1502.01852).
    """

    def __init__(self, spec: ResNetSpec) -> None:
        super().__init__()
        self.spec, self.levels, self.least_size = spec, spec.levels, spec.least_size
        self.told = False  # that inputs are small
        self.checkpoint_activations = False
        """Activation checkpointing: discard activations inside groups of blocks, and recompute them in the backward pass."""

        dims, row = spec.dims, STEMS[spec.stem]
        self.conv1 = row.make(spec)
        if spec.order == "post" and spec.stem_convs:
            self.bn1 = normalisation(spec.norm, spec.stem_channels, dims)
        self.relu = relu(spec)
        self.maxpool = POOLS[row.pool](dims)
        for number, blocks in enumerate(spec.stages, start=1):
            self.add_module(f"layer{number}", nn.Sequential(*[BLOCKS[spec.block].make(block, dims) for block in blocks]))
        if spec.order == "pre":
            self.norm = normalisation(spec.norm, spec.num_features, dims)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, CONVS) and not module.weight.is_meta:  # to draw no numbers, torch would import its compiler
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for block in itertools.chain(*self.stages) if self.spec.zero_init_last else ():
            zero_branch: Any = getattr(block, "zero_branch", None)
            if zero_branch is None:
                raise InputError(f"zero_init_last: the block {self.spec.block!r} has no method zero_branch; leave it out")
            zero_branch()

    @property
    def stages(self) -> list[nn.Sequential]:
        return [getattr(self, f"layer{number}") for number in range(1, len(self.spec.depths) + 1)]

    def map_layers(self) -> dict[str, int]:
        """The modules whose outputs are the levels c2, c3, ..., by their names, with their strides."""
        names = [f"layer{number}" for number in range(1, len(self.stages) + 1)]
        if self.spec.order == "pre":
            names[-1] = "norm"  # and the ReLU that follows, which changes its output in place
        return {name: level.stride for name, level in zip(names, self.levels[1:], strict=True)}

    def features(self, x: Tensor, last: str | None = None) -> Features:
        """The levels of x (N, in_chans, *spatial), normalised: {"c1": (N, C, *spatial / stride), ...}.

        Args:
            last: name of the last level to compute; default (None): all levels.

        Raises:
            InputError: if x has another number of channels or axes.
        """
        self._check(x)
        x = self.conv1(x)
        if self.spec.order == "post" and self.spec.stem_convs:
            x = norm_relu(self.bn1, self.relu, x)
        features = {"c1": x}
        x = self.maxpool(x)
        for level, stage in zip(self.levels[1:], self.stages, strict=True):
            if last in features:
                break
            x = features[level.name] = self.last_stage(x) if stage is self.stages[-1] else self._run(stage, x)
        return features

    def last_stage(self, x: Tensor) -> Tensor:
        """The last level from the one before it. Detectors with a C4 head apply it to each region (arXiv 1506.01497)."""
        x = self._run(self.stages[-1], x)
        return norm_relu(self.norm, self.relu, x) if self.spec.order == "pre" else x

    def _run(self, stage: nn.Sequential, x: Tensor) -> Tensor:
        if not (self.checkpoint_activations and torch.is_grad_enabled()):
            return stage(x)
        length = math.ceil(math.sqrt(len(stage)))  # n groups of n blocks keep 2n activations of n * n (arXiv 1604.06174)
        for start in range(0, len(stage), length):
            part = stage[start : start + length]
            x = checkpoint(part, x, use_reentrant=False, context_fn=partial(recomputing, part))
        return x

    def _check(self, x: Tensor) -> None:
        if torch.compiler.is_compiling():
            return
        if x.ndim != self.spec.dims + 2 or x.shape[1] != self.spec.in_chans:
            axes = ", ".join(["N", str(self.spec.in_chans), *"DHW"[3 - self.spec.dims :]])
            raise InputError(f"{self.spec.name} takes input of shape ({axes}), not {tuple(x.shape)}; change in_chans or dims")
        if min(x.shape[2:]) < self.least_size:
            raise too_small(self.spec, self.least_size, tuple(x.shape[2:]))
        if self.spec.has_max_pool and min(x.shape[2:]) <= 64 and not self.told:
            self.told = True  # once: volumes and series each have a size of their own
            smallest = max(1, min(x.shape[2:]) // self.levels[-1].stride)
            warnings.warn(
                f"{self.spec.name} shrinks {min(x.shape[2:])} pixels to {smallest}: its stem is made for "
                "224; for small images use a *_cifar network, stem='small' (--stem small), or a larger --img-size",
                SmallInput,
                stacklevel=4,
            )


def too_small(spec: ResNetSpec, least: int, size: tuple[int, ...]) -> InputError:
    """The error for an input of which layers without padding leave nothing."""
    return InputError(f"{spec.name} takes input of at least {least} pixels along each axis, and not {size}; resize it")


def recomputing(part: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """The context managers for the first forward pass and for the recomputation of a checkpointed part."""
    return nullcontext(), frozen_statistics(part)


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Inside, batch norms do not update their running statistics, because recomputation sees the same batch again."""
    norms = [(norm, norm.momentum, norm.num_batches_tracked) for norm in module.modules() if isinstance(norm, NORMS)]
    for norm, _, _ in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, momentum, num_batches in norms:
            norm.momentum, norm.num_batches_tracked = momentum, num_batches
