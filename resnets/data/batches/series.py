"""Series with a value each (a class index, say) as inputs of one length, in memory or read by workers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from resnets.data.batches.fitted import FittedAugment, FittedSamples, Reader
from resnets.data.batches.image_level import has_room
from resnets.data.series.series import ArraySeries, fit_series
from resnets.data.transforms import normalise_series
from resnets.data.types import Read

WARPED = 0.1  # part of a series that window warping takes (Le Guennec et al. 2016, section 3)
SPEEDS = (0.5, 2.0)


@dataclass(frozen=True, kw_only=True)
class SeriesAugment(FittedAugment):
    """Augmentation of series in training.

    Args:
        window_warp: probability that a tenth of a series, anywhere, is played at half or twice its speed; the whole then has
            its length again (Le Guennec, Malinowski and Tavenard 2016).
        hflip: probability of reversing time.
    """

    window_warp: float = 0.0
    hflip: float = 0.0

    def moved(self, x: Tensor, num: int, own: slice) -> Tensor:
        if self.window_warp:
            draws = torch.rand(num, 3)[own]
            some = draws[:, 0] < self.window_warp
            x = torch.where(some.to(x.device)[:, None, None], warped(x, draws[:, 1], draws[:, 2] < 0.5), x)
        if self.hflip:
            x = torch.where((torch.rand(num)[own] < self.hflip).to(x.device)[:, None, None], x.flip(2), x)
        return x


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
class SeriesSamples(FittedSamples):
    """The series of a split as inputs of one length, in memory where they are."""

    def __post_init__(self) -> None:
        super().__post_init__()
        images = self.split.images
        self.in_memory = isinstance(images, ArraySeries)
        if self.in_memory:
            fitted = torch.from_numpy(np.stack([fit_series(series, self.preprocess) for series in images.values]))
            self._fitted = fitted.to(self.device) if has_room(self.device, fitted.nbytes) else fitted

    def reader(self, batch_size: int) -> Dataset:
        return Reader(self.split.images, self.fit)

    def fit(self, index: int) -> np.ndarray:
        return fit_series(self.split.images[index], self.preprocess)

    def normalised(self, x: Tensor) -> Tensor:
        return normalise_series(x, self.preprocess)

    def gather(self, epoch: int, first: int, positions: np.ndarray) -> Read:
        chosen = torch.from_numpy(positions)
        return Read(self._fitted[chosen.to(self._fitted.device)], None, chosen)
