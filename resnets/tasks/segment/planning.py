"""What a network for volumes and its patches are planned to be, from the volumes and the machine, by the rules of nnU-Net
(Isensee et al. 2021, Nature Methods 18; of residual encoders 2024, arXiv 2404.09556). No torch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from resnets.models import zoo
from resnets.models.parts import Conv
from resnets.models.spec import ResNetSpec
from resnets.tasks.segment.settings import PLANNED as NETWORK

LEAST = 4  # voxels of the smallest level along an axis
UNLIKE = 2  # times the finest spacing, from which on an axis is not halved
WIDTHS = (32, 24, 16, 12, 8)
MOST_BATCH = 16
SMALLEST = 16**3  # voxels of a patch, below which it is not made smaller for the multiply-adds' sake
EVEN = 8  # what sides of patches that are cut from larger volumes are multiples of


@dataclass(frozen=True)
class Budget:
    """What a machine can do in training.

    Args:
        patch: most voxels of a patch.
        batch: voxels of a batch, of two patches at least.
        num_macs: most multiply-adds of a forward pass of one patch.
    """

    patch: int
    batch: int
    num_macs: float

    @classmethod
    def of(cls, kind: str, processors: int, memory: int) -> Budget:
        """Of a device, "cpu" or another, with so many processors, or bytes of memory.

        A processor core trains about 14 billion multiply-adds a second (forward, with the backward pass in that time; 2.8 GHz,
        AVX-512), so that two cores take about three patches a second. On other devices 128 x 128 x 128 voxels twice at the
        full width take about 10 GB.
        """
        if kind == "cpu":
            return cls(64**3, 2 * 40**3, 5e9 * processors)
        return cls(min(128**3, int(128**3 * memory / 10e9)), int(2 * 128**3 * memory / 10e9), math.inf)


@dataclass(frozen=True)
class Planned:
    """Patches of `size` (D, H, W), `batch` of them a step, and what the network's spec is changed to."""

    size: tuple[int, ...]
    batch: int
    depths: tuple[int, ...]
    strides: tuple[str, ...]
    width: int

    @property
    def changes(self) -> dict[str, Any]:
        return {"depths": self.depths, "strides": self.strides, "width": self.width}

    def num_macs(self, **changes: Any) -> int:
        """Of a forward pass of one patch, with `changes` to the spec beside the plan's."""
        return num_macs(zoo.get(NETWORK, **changes, **self.changes), self.size)


def plan(shape: Sequence[float], spacing: Sequence[float], budget: Budget, asked: Mapping[str, Any], **changes: Any) -> Planned:
    """The plan for volumes of a median `shape` (D, H, W) in voxels of `spacing` mm.

    Args:
        asked: the user's depths, strides, width, train_size and batch_size, as far as they were given, which the rest is
            planned around.
        changes: to the spec, beside the plan's: channels and classes.
    """
    given = tuple(asked.get("train_size") or ())
    size = fitting(shape, spacing, budget.patch)
    size = size if not given else given if len(given) > 1 else tuple(min(given[0], math.ceil(length)) for length in shape)
    depths = asked.get("depths")
    strides = asked.get("strides") or halvings(size, spacing, len(depths) if depths else None)
    full = zoo.get(NETWORK).depths
    depths = depths or tuple(full[min(stage, len(full) - 1)] for stage in range(len(strides)))
    batch = asked.get("batch_size") or max(2, min(MOST_BATCH, budget.batch // math.prod(size)))
    planned = [Planned(size, batch, depths, strides, width) for width in ([asked["width"]] if asked.get("width") else WIDTHS)]
    affordable = (one for one in planned if one.num_macs(**changes) <= budget.num_macs)
    found = next(affordable, planned[-1])
    if found.num_macs(**changes) > budget.num_macs and not given and budget.patch > SMALLEST:
        return plan(shape, spacing, dataclasses.replace(budget, patch=int(budget.patch * 0.9)), asked, **changes)
    return found


def fitting(shape: Sequence[float], spacing: Sequence[float], most: int) -> tuple[int, ...]:
    """The median shape, or where that has more than `most` voxels, as near to a cube in mm as it allows, of so many voxels;
    sides that are cut are multiples of `EVEN`."""
    lengths = [math.ceil(length) for length in shape]
    low, high = 0.0, max(length * mm for length, mm in zip(lengths, spacing, strict=True))
    for _ in range(40):  # the largest cube, in mm, of which no more than `most` voxels are in the volume
        side = (low + high) / 2
        cut = [max(1, min(length, int(side / mm))) for length, mm in zip(lengths, spacing, strict=True)]
        low, high = (side, high) if math.prod(cut) <= most else (low, side)
    if math.prod(lengths) <= most:
        return tuple(lengths)
    cut = [max(1, min(length, int(low / mm))) for length, mm in zip(lengths, spacing, strict=True)]
    return tuple(
        side if side in (length, side % EVEN) else side // EVEN * EVEN for side, length in zip(cut, lengths, strict=True)
    )


def halvings(size: Sequence[int], spacing: Sequence[float], num_stages: int | None = None) -> tuple[str, ...]:
    """The strides of each stage: every axis is halved whose spacing is less than `UNLIKE` times the finest, and of which at
    least `LEAST` voxels are left; so thick slices are kept until the other axes are as coarse.

    `num_stages`: as many, even if less is left; None: as long as an axis can be halved, at most seven.
    """
    lengths, coarse, strides = list(size), list(spacing), ["1" * len(size)]
    while len(strides) < (num_stages or 7):
        able = [axis for axis, length in enumerate(lengths) if length >= 2 * LEAST]
        if not able and num_stages is None:
            break
        able = able or list(range(len(size)))
        finest = min(coarse[axis] for axis in able)
        able = [axis for axis in able if coarse[axis] < UNLIKE * finest]
        for axis in able:
            lengths[axis], coarse[axis] = -(-lengths[axis] // 2), coarse[axis] * 2
        strides.append("".join("2" if axis in able else "1" for axis in range(len(size))))
    return tuple(strides)


def num_macs(spec: ResNetSpec, size: tuple[int, ...]) -> int:
    """Multiply-adds of the encoder and of the head `deep_unet` for one patch."""
    rows = dataclasses.replace(spec, num_classes=0).table(size)
    total = sum(row.num_macs for row in rows)
    for level, below in pairwise(rows[1:-1]):
        total += below.channels * level.channels * math.prod(level.size)
        total += Conv(2 * level.channels, level.channels, 3).num_macs(level.size)
    return total
