"""Series with a value each (a class index, say) as inputs of one length, in memory or read by workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from resnets.data.batches.image_level import CPU, has_room, order_of
from resnets.data.pictures.images import BadPicture
from resnets.data.preprocess import Preprocess
from resnets.data.randomness import seeded
from resnets.data.series.series import ArraySeries, fit_series
from resnets.data.transforms import normalise_series
from resnets.data.types import Batch, Part, Read, Split

WARPED = 0.1  # part of a series that window warping takes (Le Guennec et al. 2016, section 3)
SPEEDS = (0.5, 2.0)


@dataclass(frozen=True, kw_only=True)
class SeriesAugment:
    """Augmentation of series in training, a batch at a time; by default none. Jitter, scaling: Um et al. 2017 (1706.00527).

    Args:
        jitter: standard deviation of noise on each value of the normalised input.
        scaling: standard deviation of a factor around 1 on each channel.
        window_warp: probability that a tenth of a series, anywhere, is played at half or twice its speed; the whole then has
            its length again (Le Guennec, Malinowski and Tavenard 2016).
        hflip: probability of reversing time.
        mixup: alpha of the Beta distribution of the mixing weight (arXiv 1710.09412); 0: off.
    """

    jitter: float = 0.0
    scaling: float = 0.0
    window_warp: float = 0.0
    hflip: float = 0.0
    mixup: float = 0.0

    def batch(self, x: Tensor, targets: Tensor, num_classes: int, *, before: int = 0, after: int = 0) -> tuple[Tensor, Tensor]:
        """Augment a batch. Each series has its own random numbers, from torch's generator on the CPU.

        Args:
            x: normalised series (N, C, L).
            targets: of classes (N,) int64; others are (N, K) float32.
            before, after: of the whole batch, the series before and after this part: random numbers are drawn for them too.

        Returns:
            The series (N, C, L), and the targets: (N, num_classes) where classes were mixed.
        """
        num, own = before + len(x) + after, slice(before, before + len(x))
        chans, length = x.shape[1:]
        if self.window_warp:
            draws = torch.rand(num, 3)[own]
            some = draws[:, 0] < self.window_warp
            x = torch.where(some.to(x.device)[:, None, None], warped(x, draws[:, 1], draws[:, 2] < 0.5), x)
        if self.hflip:
            x = torch.where((torch.rand(num)[own] < self.hflip).to(x.device)[:, None, None], x.flip(2), x)
        if self.scaling:
            x = x * (1 + self.scaling * torch.randn(num, chans, 1)[own].to(x.device))
        if self.jitter:
            x = x + self.jitter * torch.randn(num, chans, length)[own].to(x.device)
        if self.mixup:
            share = float(torch.distributions.Beta(self.mixup, self.mixup).sample())
            soft = targets if targets.is_floating_point() else torch.nn.functional.one_hot(targets, num_classes).to(x.dtype)
            x, targets = (share * part + (1 - share) * part.roll(1, 0) for part in (x, soft))
        return x, targets


def warped(x: Tensor, where: Tensor, slow: Tensor) -> Tensor:
    """Each series of x (N, C, L) with a window at half or twice its speed, by linear interpolation.

    Args:
        where: (N,) where the window begins, from 0 to 1 of what is possible.
        slow: (N,) bool.
    """
    length = x.shape[2]
    width = max(1, round(WARPED * length))
    start = where * (length - width)  # (N,)
    played = torch.where(slow, width / SPEEDS[0], width / SPEEDS[1])  # how long the window lasts then
    times = torch.arange(length) * ((length - width + played)[:, None] - 1) / max(1, length - 1)  # (N, L), as it is played
    inside = (times - start[:, None]).clamp(min=0).minimum(played[:, None])
    at = times - inside + inside * (width / played)[:, None]  # in the series itself
    low = at.floor().clamp(0, length - 1)
    share = (at - low).to(x.device)[:, None]
    index = low.long().to(x.device)[:, None].expand(-1, x.shape[1], -1)
    return (1 - share) * x.gather(2, index) + share * x.gather(2, (index + 1).clamp(max=length - 1))


@dataclass(kw_only=True)
class SeriesSamples:
    """The series of a split as inputs of one length; see `data.types.Samples`. The arguments are those of `PictureSamples`."""

    split: Split
    preprocess: Preprocess
    num_classes: int
    augment: SeriesAugment | None = None
    seed: int = 0
    balance: bool = False
    repeats: int = 1
    device: torch.device = CPU
    grow_from = 1.0
    sequential = False
    whole_batches = False

    def __post_init__(self) -> None:
        self.train, self.size = self.augment is not None, self.preprocess.size
        images = self.split.images
        self.in_memory = isinstance(images, ArraySeries)
        if self.in_memory:
            fitted = torch.from_numpy(np.stack([fit_series(series, self.preprocess) for series in images.values]))
            self._fitted = fitted.to(self.device) if has_room(self.device, fitted.nbytes) else fitted

    def __len__(self) -> int:
        return len(self.split)

    def order(self, epoch: int) -> np.ndarray:
        return order_of(self, epoch) if self.train else np.arange(len(self))

    def reader(self, batch_size: int) -> Dataset:
        return _Series(self.split.images, self.preprocess)

    def collate(self) -> Any:
        return collate

    def gather(self, epoch: int, first: int, positions: np.ndarray) -> Read:
        chosen = torch.from_numpy(positions)
        return Read(self._fitted[chosen.to(self._fitted.device)], None, chosen)

    def finish(self, read: Read, part: Part) -> Batch:
        positions = read.positions
        if len(positions) == 0:  # none is ours, or could be read; the consumer counts batches, so it comes all the same
            return Batch(torch.empty(0, self.preprocess.in_chans, *self.size), positions, positions)
        targets = torch.from_numpy(self.split.targets.values)[positions].to(self.device, non_blocking=True)
        if self.augment is None:
            return Batch(read.pixels, targets, positions)
        x = normalise_series(read.pixels.to(self.device, non_blocking=True), self.preprocess)
        with seeded(self.seed, part.epoch, part.number, "batch"):
            x, targets = self.augment.batch(x, targets, self.num_classes, before=part.before, after=part.after)
        return Batch(x, targets, positions)


class _Series(Dataset):
    """(epoch, position in its order, index) -> (series, index), or (None, name, reason) where it cannot be read."""

    def __init__(self, images: Any, preprocess: Preprocess) -> None:
        self.images, self.preprocess = images, preprocess

    def __getitem__(self, key: tuple[int, int, int]) -> Any:
        *_, index = key
        try:
            return torch.from_numpy(fit_series(self.images[index], self.preprocess)), index
        except BadPicture as bad:
            return None, self.images.name(index), bad.reason


def collate(samples: list[Any]) -> Read:
    """Series (N, C, L) of the samples that could be read."""
    read = [sample for sample in samples if sample[0] is not None]
    positions = torch.tensor([sample[1] for sample in read], dtype=torch.int64)
    pixels = torch.stack([sample[0] for sample in read]) if read else torch.empty(0, 0, 0)
    return Read(pixels, None, positions, [sample[1:] for sample in samples if sample[0] is None])
