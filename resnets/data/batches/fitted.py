"""Images with a value each (a class index, say) as inputs of floats and of one size: what series and whole volumes share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from resnets.data.batches.image_level import CPU, order_of
from resnets.data.pictures.images import BadPicture
from resnets.data.preprocess import Preprocess
from resnets.data.randomness import seeded
from resnets.data.types import Batch, Part, Read, Split


@dataclass(frozen=True, kw_only=True)
class FittedAugment(ABC):
    """What training does to inputs, a batch at a time (abstract); by default nothing. Jitter, scaling: Um et al. 2017
    (arXiv 1706.00527).

    Args:
        scaling: standard deviation of a factor around 1 on each channel.
        jitter: standard deviation of noise on each value of the normalised input.
        mixup: alpha of the Beta distribution of the mixing weight (arXiv 1710.09412); 0: off.
    """

    scaling: float = 0.0
    jitter: float = 0.0
    mixup: float = 0.0

    @abstractmethod
    def moved(self, x: Tensor, num: int, own: slice) -> Tensor:
        """The part `own` of a batch of `num` inputs, x (N, C, *size), with its values at other places."""

    def batch(self, x: Tensor, targets: Tensor, num_classes: int, *, before: int = 0, after: int = 0) -> tuple[Tensor, Tensor]:
        """Augment a batch. Each input has its own random numbers, from torch's generator on the CPU.

        Args:
            x: normalised inputs (N, C, *size).
            targets: of classes (N,) int64; others are (N, K) float32.
            before, after: of the whole batch, the inputs before and after this part: random numbers are drawn for them too.

        Returns:
            The inputs (N, C, *size), and the targets: (N, num_classes) where classes were mixed.
        """
        num, own = before + len(x) + after, slice(before, before + len(x))
        x = self.moved(x, num, own)
        if self.scaling:
            x = x * (1 + self.scaling * torch.randn(num, x.shape[1], *[1] * (x.ndim - 2))[own].to(x.device))
        if self.jitter:
            x = x + self.jitter * torch.randn(num, *x.shape[1:])[own].to(x.device)
        return mixed(x, targets, self.mixup, num_classes) if self.mixup else (x, targets)


@dataclass(kw_only=True)
class FittedSamples(ABC):
    """Images of a split as inputs of one size (abstract); see `data.types.Samples`, and for the arguments `PictureSamples`."""

    split: Split
    preprocess: Preprocess
    num_classes: int
    augment: FittedAugment | None = None
    seed: int = 0
    balance: bool = False
    repeats: int = 1
    device: torch.device = CPU
    grow_from = 1.0
    sequential = False
    whole_batches = False
    in_memory = False

    def __post_init__(self) -> None:
        self.train, self.size = self.augment is not None, self.preprocess.size

    def __len__(self) -> int:
        return len(self.split)

    def order(self, epoch: int) -> np.ndarray:
        return order_of(self, epoch) if self.train else np.arange(len(self))

    @abstractmethod
    def reader(self, batch_size: int) -> Dataset: ...

    @abstractmethod
    def normalised(self, x: Tensor) -> Tensor:
        """A batch as it was read, as the network takes it."""

    def collate(self) -> Any:
        return partial(collate, axes=len(self.size))

    def gather(self, epoch: int, first: int, positions: np.ndarray) -> Read:
        raise AssertionError("these are read one by one")

    def finish(self, read: Read, part: Part) -> Batch:
        positions = read.positions
        if len(positions) == 0:  # none is ours, or could be read; the consumer counts batches, so it comes all the same
            return Batch(torch.empty(0, self.preprocess.in_chans, *self.size), positions, positions)
        targets = torch.from_numpy(self.split.targets.values)[positions].to(self.device, non_blocking=True)
        if self.augment is None:
            return Batch(read.pixels, targets, positions)
        x = self.normalised(read.pixels.to(self.device, non_blocking=True))
        with seeded(self.seed, part.epoch, part.number, "batch"):
            x, targets = self.augment.batch(x, targets, self.num_classes, before=part.before, after=part.after)
        return Batch(x, targets, positions)


class Reader(Dataset):
    """(epoch, position in its order, index) -> (input, index), or (None, name, reason) where it cannot be read.

    Args:
        images: what has names.
        fitted: index -> the input (C, *size); raises `BadPicture`.
    """

    def __init__(self, images: Any, fitted: Callable[[int], np.ndarray]) -> None:
        self.images, self.fitted = images, fitted

    def __getitem__(self, key: tuple[int, int, int]) -> Any:
        *_, index = key
        try:
            return torch.from_numpy(self.fitted(index)), index
        except BadPicture as bad:
            return None, self.images.name(index), bad.reason


def collate(samples: list[Any], axes: int) -> Read:
    """Inputs (N, C, *size), of `axes` spatial axes, of the samples that could be read."""
    read = [sample for sample in samples if sample[0] is not None]
    positions = torch.tensor([sample[1] for sample in read], dtype=torch.int64)
    pixels = torch.stack([sample[0] for sample in read]) if read else torch.empty(0, 0, *[0] * axes)
    return Read(pixels, None, positions, [sample[1:] for sample in samples if sample[0] is None])


def mixed(x: Tensor, targets: Tensor, alpha: float, num_classes: int) -> tuple[Tensor, Tensor]:
    """Mixup (arXiv 1710.09412): each input of x (N, C, *size) with the one before it, and their targets (N, num_classes)."""
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    soft = targets if targets.is_floating_point() else torch.nn.functional.one_hot(targets, num_classes).to(x.dtype)
    x, targets = (share * part + (1 - share) * part.roll(1, 0) for part in (x, soft))
    return x, targets
