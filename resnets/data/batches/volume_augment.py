"""Changes of training's patches of volumes: turned and scaled as they are cut, other intensities after that.

The changes, their ranges and probabilities are those of nnU-Net (Isensee et al. 2021, supplementary note 4), on torch tensors
on the processor: a patch takes some ten milliseconds. All is drawn from the generators that are given.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from resnets.data.targets import IGNORE

Box = tuple[slice, ...]  # (D, H, W) of a volume
WARPED = 0.2  # probability that a patch is turned, and that it is scaled


@dataclass(frozen=True)
class Warp:
    """Where the voxels of a patch lie in its volume.

    Args:
        matrix: (3, 3), from a voxel's place in the patch, from its middle, to its place in the volume, from `middle`.
        middle: (D, H, W) of the patch's middle in the volume, in voxels.
        size: (D, H, W) of the patch.
    """

    matrix: np.ndarray
    middle: np.ndarray
    size: tuple[int, ...]

    def box(self, shape: Sequence[int]) -> Box:
        """The part of a volume of `shape` that the patch is computed from; of one voxel at least."""
        ends = [((length - 1) / -2, (length - 1) / 2) for length in self.size]
        corners = np.array(list(itertools.product(*ends))) @ self.matrix.T + self.middle
        low = np.clip(np.floor(corners.min(0)), 0, np.array(shape) - 1).astype(int)
        high = np.clip(np.ceil(corners.max(0)), low, np.array(shape) - 1).astype(int)
        return tuple(slice(first, last + 1) for first, last in zip(low.tolist(), high.tolist(), strict=True))

    def __call__(self, pixels: np.ndarray, labels: np.ndarray, box: Box) -> tuple[np.ndarray, np.ndarray]:
        """The patch of pixels float32 (C, D, H, W), linear between voxels, 0 outside, and of class indices uint8 (D, H, W), the
        nearest, `IGNORE` outside; both are those of `box`."""
        axes = [torch.arange(length, dtype=torch.float32) - (length - 1) / 2 for length in self.size]
        grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1) @ torch.tensor(self.matrix.T, dtype=torch.float32)
        grid += torch.tensor(self.middle - [part.start for part in box], dtype=torch.float32)
        lengths = torch.tensor(labels.shape)
        whole = (2 * grid / (lengths - 1).clamp(min=1) - 1).flip(-1)[None]  # from -1 to 1, W first, as grid_sample takes it
        patch = F.grid_sample(torch.from_numpy(pixels)[None], whole, align_corners=True)[0]
        nearest = grid.round().long()
        inside = ((nearest >= 0) & (nearest < lengths)).all(-1)
        depth, row, column = nearest.clamp(min=0).minimum(lengths - 1).unbind(-1)
        return patch.numpy(), torch.from_numpy(labels)[depth, row, column].where(inside, IGNORE).numpy()


def warp(
    random: Random,
    corner: Sequence[int],
    size: tuple[int, ...],
    spacing: Sequence[float],
    *,
    rotation: float,
    zoom: float,
) -> Warp | None:
    """How a patch at `corner` of a volume with voxels of `spacing` mm is turned and scaled; None: not at all.

    Args:
        rotation: largest angle about each axis, in degrees.
        zoom: largest change of size: from 1 - zoom to 1 / (1 - zoom).
    """
    turns, scales = random.random() < WARPED and rotation > 0, random.random() < WARPED and zoom > 0
    angles = [math.radians(rotation) * random.uniform(-1, 1) * turns for _ in range(3)]
    factor = (1 - zoom) ** (random.uniform(-1, 1) * scales)
    if not (turns or scales):
        return None
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        turn, (a, b) = np.eye(3), [other for other in range(3) if other != axis]
        turn[[a, a, b, b], [a, b, a, b]] = math.cos(angle), -math.sin(angle), math.sin(angle), math.cos(angle)
        matrix = matrix @ turn
    mm = np.asarray(spacing, np.float64)
    middle = np.asarray(corner) + (np.asarray(size) - 1) / 2
    return Warp(matrix * mm / mm[:, None] / factor, middle, size)


# --- intensities ------------------------------------------------------------------------------------------------------------


def noise(x: Tensor, random: Random) -> Tensor:
    """Gaussian noise of a variance up to 0.1."""
    generator = torch.Generator().manual_seed(random.getrandbits(63))
    return x + torch.randn(x.shape, generator=generator) * math.sqrt(random.uniform(0, 0.1))


def blur(x: Tensor, random: Random) -> Tensor:
    """A Gaussian of a standard deviation of 0.5 to 1 voxels along each axis."""
    places = torch.arange(-3, 4, dtype=torch.float32) / random.uniform(0.5, 1)
    weights = torch.softmax(-(places**2) / 2, 0)
    x = x[:, None]
    for axis in range(3):
        shape, pad = [1, 1, 1, 1, 1], [0] * 6
        shape[axis + 2], pad[4 - 2 * axis], pad[5 - 2 * axis] = 7, 3, 3
        x = F.conv3d(F.pad(x, pad, mode="replicate"), weights.view(shape))
    return x[:, 0]


def brightness(x: Tensor, random: Random) -> Tensor:
    return x * random.uniform(0.75, 1.25)


def contrast(x: Tensor, random: Random) -> Tensor:
    """About each channel's mean, within its range."""
    mean, (low, high) = x.mean((1, 2, 3), keepdim=True), extremes(x)
    return ((x - mean) * random.uniform(0.75, 1.25) + mean).clamp(low, high)


def low_resolution(x: Tensor, random: Random) -> Tensor:
    """As if it had been seen at 0.5 to 1 of its resolution."""
    factor = random.uniform(0.5, 1)
    small = [max(1, round(length * factor)) for length in x.shape[1:]]
    return F.interpolate(F.interpolate(x[None], small, mode="nearest-exact"), x.shape[1:], mode="trilinear")[0]


def gamma(x: Tensor, random: Random) -> Tensor:
    """Each channel, from 0 to 1, to a power of 0.7 to 1.5, brought back to its mean and standard deviation."""
    power, (low, high) = random.uniform(0.7, 1.5), extremes(x)
    y = ((x - low) / (high - low).clamp(min=1e-7)).pow(power)
    deviation, mean = torch.std_mean(x, (1, 2, 3), keepdim=True)
    own, middle = torch.std_mean(y, (1, 2, 3), keepdim=True)
    return (y - middle) * (deviation / own.clamp(min=1e-7)) + mean


def inverted_gamma(x: Tensor, random: Random) -> Tensor:
    return -gamma(-x, random)


def extremes(x: Tensor) -> tuple[Tensor, Tensor]:
    """The least and the greatest value of each channel, (C, 1, 1, 1)."""
    return x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)


# What may happen to a patch, in this order, with its probability.
CHANGES: dict[Callable[[Tensor, Random], Tensor], float] = {
    noise: 0.1,
    blur: 0.2,
    brightness: 0.15,
    contrast: 0.15,
    low_resolution: 0.25,
    inverted_gamma: 0.1,
    gamma: 0.3,
}


def changed(x: Tensor, random: Random, share: float = 1.0) -> Tensor:
    """A patch float32 (C, D, H, W) with other intensities; `share` is a factor on the probabilities of `CHANGES`."""
    for change, probability in CHANGES.items():
        if random.random() < share * probability:
            x = change(x, random)
    return x
