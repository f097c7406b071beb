"""Batches of pictures with boxes or masks, and of volumes with labels; as in `loaders`, of (seed, epoch, position) alone.

Training: pictures changed by the augmentation, in one batch with what is around the smaller ones at its mean. Targets are int64
(N, *size) class indices with `IGNORE` there, or for boxes a dict a picture: "size" (2,) int64, its height and width, and the
fields of `Boxes` as tensors. Evaluation: one picture a batch, of the size that `Preprocess` says, with its `Truth`. Of volumes
training has patches, evaluation the whole.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from resnets.data.geometry import pad_batch, pad_indices
from resnets.data.loaders import CPU, BadImages, Stream
from resnets.data.patches import Cases, collate
from resnets.data.pictures.images import BadPicture
from resnets.data.pictures.resize import fit_picture, mean_array
from resnets.data.pictures.volumes import Volumes
from resnets.data.preprocess import Preprocess
from resnets.data.randomness import mix_seed
from resnets.data.readers.names import DenseSplit
from resnets.data.targets import Boxes, Truth
from resnets.data.transforms import normalise
from resnets.data.types import Batch
from resnets.errors import InputError

# (picture, target, seed, epoch, index) -> pixels and the target that fits: `geometry.DenseAugment`, or `patches.Patches`.
Augmentation = Callable[..., tuple[Tensor, Any]]


@dataclass(kw_only=True)
class DenseLoader:
    """Batches of one split; what has a name of `loaders.Loader` means the same.

    Args:
        augment: what training does to a picture and its target; None: evaluation, in order; `batch_size` is then one for each
            process, so that no picture is padded.
        train_size: (H, W), or (D, H, W), of every training input, where it is known beforehand.
        repeats: pictures are seen so many times an epoch, each time differently changed; for sets of few pictures.
    """

    split: DenseSplit
    preprocess: Preprocess
    batch_size: int
    bad: BadImages
    part: Callable[[int], slice] | None = None
    augment: Augmentation | None = None
    train_size: tuple[int, ...] | None = None
    seed: int = 0
    repeats: int = 1
    workers: int = 0
    place: torch.device = CPU
    data_wait: float = 0.0

    def __post_init__(self) -> None:
        self.stream: Stream | None = None
        if self.augment is None and isinstance(self.split.images, Volumes):
            self.workers = 0  # which would read several whole volumes ahead
        if self.num_images == 0:
            raise InputError("the split has no picture to make a batch of")

    @property
    def num_images(self) -> int:
        return len(self.split) * (1 if self.augment is None else self.repeats)

    def __len__(self) -> int:
        """Batches an epoch. In training a last batch of one is left out: batch norm can make nothing of it."""
        whole, rest = divmod(self.num_images, self.batch_size)
        if self.augment is not None and self.part is not None:
            return max(1, whole)  # no process without pictures
        return whole + (rest >= (2 if self.augment is not None and self.num_images > 1 else 1))

    def order(self, epoch: int) -> np.ndarray:
        """The positions (num_images,) that the epoch visits, in order."""
        if self.augment is None:
            return np.arange(self.num_images)
        rounds = [np.random.default_rng(mix_seed(self.seed, epoch, n, "order")) for n in range(self.repeats)]
        return np.concatenate([random.permutation(len(self.split)) for random in rounds])

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from number `start` on. The time spent waiting for them adds up in `data_wait`."""
        self.stream = self.stream or Stream(*self._reading(), self)
        batches = self.stream.epoch(epoch, self._positions(epoch, start))
        while True:
            began = time.perf_counter()
            read = next(batches, None)
            self.data_wait += time.perf_counter() - began
            if read is None:
                return
            pixels, targets, positions, bad = read
            for name, reason in bad:
                self.bad.add(name, reason)
            if len(pixels):  # of nothing, what several processes take through the network all the same
                pixels = pixels.to(self.place)
                pixels = normalise(pixels, self.preprocess) if pixels.dtype == torch.uint8 else pixels
            yield Batch(pixels, targets, positions)

    def _reading(self) -> tuple[Dataset, Callable[[list[Any]], Any]]:
        """What reads a sample, and what makes a batch of them."""
        if isinstance(self.split.images, Volumes):
            shape = (self.preprocess.in_chans, *self.preprocess.size)
            return Cases(self.split, self.augment, self.seed), partial(collate, shape=shape)  # type: ignore[arg-type]
        return _Labelled(self), partial(_collate, fill=fill_of(self.preprocess))

    def _positions(self, epoch: int, start: int) -> Iterator[tuple[int, np.ndarray]]:
        order, size = self.order(epoch), self.batch_size
        for first in range(start * size, len(self) * size, size):
            num = min(size, self.num_images - first)
            own = slice(0, num) if self.part is None else self.part(num)
            yield first + own.start, order[first + own.start : first + own.stop]


def fill_of(preprocess: Preprocess) -> tuple[int, ...]:
    """The mean colour, which is 0 once it is normalised, one value a channel from 0 to 255."""
    return tuple(round(255 * float(value)) for value in mean_array(preprocess).mean((1, 2)))


class _Labelled(Dataset):
    """(epoch, place in its order, index) -> (pixels, target, index), or (None, name, reason) where it cannot be read."""

    def __init__(self, loader: DenseLoader) -> None:
        self.split, self.preprocess = loader.split, loader.preprocess
        self.augment, self.seed, self.batch_size = loader.augment, loader.seed, loader.batch_size

    def __getitem__(self, key: tuple[int, int, int]) -> Any:
        epoch, place, index = key
        try:
            picture, target = self.split[index]
        except BadPicture as bad:
            return None, self.split.images.name(index), bad.reason
        if self.augment is None:
            return torch.from_numpy(fit_picture(picture, self.preprocess)), Truth(index, picture.shape[:2], target), index
        # A picture that comes twice in an epoch is changed in two ways: its place counts, not its index.
        place_of = {"seed": self.seed, "epoch": epoch, "index": place, "batch": place // self.batch_size}
        pixels, target = self.augment(picture, target, **place_of)
        return pixels, target, index


Read = tuple[Tensor, Any, Tensor, list[tuple[str, str]]]  # pixels (N, C, H, W), targets, positions (N,), unreadable


def _collate(samples: list[Any], fill: Sequence[int]) -> Read:
    read = [sample for sample in samples if sample[0] is not None]
    bad = [sample[1:] for sample in samples if sample[0] is None]
    positions = torch.tensor([index for *_, index in read], dtype=torch.int64)
    if not read:
        nothing = torch.empty(0, len(fill), 1, 1)  # one of several processes may have nothing, and takes the step all the same
        return nothing, torch.empty(0, 1, 1, dtype=torch.int64), positions, bad
    pixels, sizes = pad_batch([pixels for pixels, *_ in read], multiple=1, fill=fill)
    targets = [target for _, target, _ in read]
    if isinstance(targets[0], Boxes):
        return pixels, [as_tensors(target, size) for target, size in zip(targets, sizes, strict=True)], positions, bad
    if isinstance(targets[0], Truth):
        return pixels, targets, positions, bad
    return pixels, pad_indices(targets, (pixels.shape[-2], pixels.shape[-1])), positions, bad


def as_tensors(boxes: Boxes, size: Tensor) -> dict[str, Tensor]:
    """A detector's target. `size` (2,): height and width of the picture in the batch."""
    given = {field.name: getattr(boxes, field.name) for field in dataclasses.fields(Boxes)}
    return {"size": size} | {name: torch.from_numpy(value) for name, value in given.items() if value is not None}


def class_counts(split: DenseSplit, num_classes: int, most: int = 200) -> np.ndarray:
    """How often each class is there, (num_classes,) int64: objects, or pixels, in up to `most` pictures, evenly spread."""
    counts = np.zeros(num_classes, np.int64)
    for index in np.unique(np.linspace(0, len(split) - 1, min(most, len(split))).round().astype(int)).tolist():
        try:
            _, target = split[index]
        except BadPicture:
            continue
        values = target.labels if isinstance(target, Boxes) else target[target < num_classes]
        counts += np.bincount(values.astype(np.int64).reshape(-1), minlength=num_classes)
    return counts
