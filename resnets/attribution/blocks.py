"""What a residual block adds to what it is given, and the network without it, or with two blocks exchanged.

For networks with shortcuts: y = x + F(x), where x is what the shortcut gives and F the residual branch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from resnets.models.nn.blocks import ResidualBlock


class Place(NamedTuple):
    """A block: its name ("layer2.0"), its stage and its position there."""

    name: str
    stage: nn.Sequential
    position: int

    @property
    def block(self) -> Any:
        return self.stage[self.position]

    @property
    def changes_shape(self) -> bool:
        """Whether its shortcut is more than the identity."""
        return self.block.downsample is not None


def places(model: Any) -> list[Place]:
    """The blocks of a network that have a shortcut, in order."""
    found = [
        Place(f"layer{number}.{position}", stage, position)
        for number, stage in enumerate(model.stages, start=1)
        for position in range(len(stage))
    ]
    return [place for place in found if isinstance(place.block, ResidualBlock) and not place.block.plain]


def pairs(model: Any) -> list[tuple[Place, Place]]:
    """Neighbours that can change places: both of one shape."""
    found = places(model)
    return [(a, b) for a, b in pairwise(found) if a.stage is b.stage and not (a.changes_shape or b.changes_shape)]


def branch_end(block: Any) -> nn.Module:
    """The module whose output is F(x), or what F(x) is scaled from."""
    conv, norm = block.layers()[-1]
    return getattr(block, "se", conv if block.pre else norm)


@contextmanager
def without(place: Place) -> Iterator[None]:
    """Inside, the block is its shortcut alone: F(x) is 0 (Veit et al. 2016, arXiv 1605.06431, section 4.1)."""
    handle = branch_end(place.block).register_forward_hook(lambda module, inputs, output: torch.zeros_like(output))
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def exchanged(one: Place, other: Place) -> Iterator[None]:
    """Inside, two blocks of a stage have changed places (the same paper, section 4.3)."""
    stage, (a, b) = one.stage, (one.block, other.block)
    stage[one.position], stage[other.position] = b, a
    try:
        yield
    finally:
        stage[one.position], stage[other.position] = a, b


@contextmanager
def norms(model: Any) -> Iterator[dict[str, list[tuple[float, float]]]]:
    """Inside, forward passes note of each block the norms of F(x) and of x, a pair for each input: {name: [(F, x), ...]}."""
    found: dict[str, list[tuple[float, float]]] = {place.name: [] for place in places(model)}
    handles, held = [], {}

    def lengths(values: Tensor) -> list[float]:
        return values.detach().flatten(1).float().norm(dim=1).tolist()

    for place in places(model):
        block = place.block

        def given(module: Any, inputs: Any, name: str = place.name) -> None:
            held[name] = {"x": lengths(inputs[0])}

        def shortened(module: Any, inputs: Any, output: Tensor, name: str = place.name) -> None:
            held[name]["x"] = lengths(output)

        def added(module: Any, inputs: Any, output: Tensor, name: str = place.name) -> None:
            held[name]["f"] = lengths(output)

        def done(module: Any, inputs: Any, output: Tensor, name: str = place.name) -> None:
            found[name] += zip(held[name]["f"], held[name]["x"], strict=True)

        handles += [
            block.register_forward_pre_hook(given),
            branch_end(block).register_forward_hook(added),
            block.register_forward_hook(done),
        ]
        if block.downsample is not None:
            handles.append(block.downsample.register_forward_hook(shortened))
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
