"""Whole volumes with a value each (a class index, say) as inputs of one size, and what training does to them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample
from torch.utils.data import Dataset

from resnets.data.batches.fitted import FittedAugment, FittedSamples, Reader
from resnets.data.batches.volumes import KEPT_BYTES
from resnets.data.depth import read_as
from resnets.data.pictures.fit_volume import fit_volume
from resnets.data.preprocess import Preprocess
from resnets.data.types import Split


@dataclass(frozen=True, kw_only=True)
class VolumeAugment(FittedAugment):
    """Augmentation of whole volumes in training.

    Args:
        mirror: probability of mirroring along depth, height and width (feet to head, back to front, left to right).
        shift: most by which a volume is moved along each axis, as a fraction of that side.
        rotation: most by which it is turned about each axis, in degrees.
        zoom: most by which it is enlarged or made smaller, as a fraction.
    """

    mirror: tuple[float, float, float] = (0.0, 0.0, 0.0)
    shift: float = 0.0
    rotation: float = 0.0
    zoom: float = 0.0

    def moved(self, x: Tensor, num: int, own: slice) -> Tensor:
        for axis, probability in enumerate(self.mirror, start=2):
            if probability:
                some = (torch.rand(num)[own] < probability).to(x.device)
                x = torch.where(some.view(-1, 1, 1, 1, 1), x.flip(axis), x)
        if self.shift or self.rotation or self.zoom:
            draws = 2 * torch.rand(num, 7)[own] - 1
            angles, sides = math.radians(self.rotation) * draws[:, :3], torch.tensor(x.shape[2:])
            x = turned(x, angles, 1 + self.zoom * draws[:, 3], self.shift * sides * draws[:, 4:])
        return x


def turned(x: Tensor, angles: Tensor, zooms: Tensor, shifts: Tensor) -> Tensor:
    """Each volume of x (N, C, D, H, W) turned about its middle, enlarged and moved, by trilinear interpolation; 0 comes in.

    Args:
        angles: (N, 3) in radians, about the axes of depth, height and width, one after the other.
        zooms: (N,) factors of lengths.
        shifts: (N, 3) in voxels, along the same axes.
    """
    num, sides = len(x), torch.tensor(x.shape[2:], dtype=torch.float32)
    turn = torch.eye(3).repeat(num, 1, 1)
    for axis in range(3):
        first, second = (other for other in range(3) if other != axis)
        about = torch.eye(3).repeat(num, 1, 1)
        about[:, first, first] = about[:, second, second] = angles[:, axis].cos()
        about[:, first, second], about[:, second, first] = -angles[:, axis].sin(), angles[:, axis].sin()
        turn = turn @ about
    # Where each voxel comes from: back through shift, zoom and turn. A grid counts in halves of each side, the width first.
    back = turn.transpose(1, 2) / zooms.view(-1, 1, 1)
    theta = (
        torch.cat([back, -back @ shifts.view(-1, 3, 1)], 2) * torch.cat([sides, torch.full((1,), 2.0)]) / sides.view(1, 3, 1)
    )
    theta = torch.cat([theta[:, :, :3].flip(1, 2), theta[:, :, 3:].flip(1)], 2).to(x.device, x.dtype)
    return grid_sample(x, affine_grid(theta, list(x.shape), align_corners=False), align_corners=False)


@dataclass(kw_only=True)
class WholeVolumes(FittedSamples):
    """The volumes of a split as inputs of one size, normalised. Those that come first stay in memory, up to `KEPT_BYTES`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.split = read_as(self.split, self.preprocess)

    def reader(self, batch_size: int) -> Dataset:
        return Reader(self.split.images, Kept(self.split, self.preprocess))

    def normalised(self, x: Tensor) -> Tensor:
        return x


class Kept:
    """Inputs (C, D, H, W) by the position of their volume. Raises `BadPicture`."""

    def __init__(self, split: Split, preprocess: Preprocess) -> None:
        self.fit = partial(fit_volume, preprocess=preprocess)
        self.images, self.inputs, self.room = split.images, dict[int, np.ndarray](), KEPT_BYTES

    def __call__(self, index: int) -> np.ndarray:
        if index in self.inputs:
            return self.inputs[index]
        pixels = self.fit(self.images[index])
        if pixels.nbytes <= self.room:
            self.inputs[index], self.room = pixels, self.room - pixels.nbytes
        return pixels
