"""Batches of a split, each a pure function of (seed, epoch, position): nothing to remember between a kill and a resume.

Small pictures stay in memory as bytes and are gathered and augmented a batch at a time; others are decoded and augmented one
by one in worker processes. What a picture draws depends on (seed, epoch, its place in the epoch's order), so the number of
workers changes nothing.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from resnets.data.pictures.images import WINDOW, ArrayImages, BadPicture, StoredImages
from resnets.data.pictures.resize import fit_picture
from resnets.data.preprocess import Preprocess
from resnets.data.randomness import mix_seed, seeded
from resnets.data.transforms import Augment, normalise
from resnets.data.types import Batch, Split
from resnets.errors import InputError

CPU = torch.device("cpu")


@dataclass
class BadImages:
    """Pictures that could not be read: skipped, counted, named; more than `most` of them end the run."""

    most: int
    reasons: dict[str, str] = field(default_factory=dict)

    @classmethod
    def allowing(cls, max_bad: int | None, *splits: Split) -> BadImages:
        """As many as were said; else 1 % of the splits' pictures, at least 10."""
        return cls(max(10, sum(len(split.targets) for split in splits) // 100) if max_bad is None else max_bad)

    def add(self, name: str, reason: str) -> None:
        self.reasons[name] = reason
        self.check()

    def check(self) -> None:
        if len(self.reasons) > self.most:
            first = "; ".join(f"{name}: {reason}" for name, reason in list(self.reasons.items())[:3])
            raise InputError(
                f"{len(self.reasons)} pictures cannot be read, and --max-bad allows {self.most} ({first}); "
                "`resnets data check` names them all: mend or remove them, or raise --max-bad"
            )


@dataclass(kw_only=True)
class Loader:
    """Batches of one split.

    Args:
        split: pictures and targets.
        preprocess: how they become inputs.
        batch_size: pictures a batch; the last of an epoch may be smaller.
        part: given the number of pictures in a batch, which of them this process makes; None: all.
        num_classes: length of a mixed target.
        bad: where unreadable pictures are noted.
        augment: what training does to pictures; None: evaluation, in order.
        train_size: (H, W) that training crops to, where it is not `preprocess.size`.
        seed: of order and augmentation.
        balance: draw every class equally often (with repetition) rather than every picture once an epoch.
        repeats: show each picture this many times, differently augmented, in a row, and as many fewer pictures an epoch
            (repeated augmentation, arXiv 1901.09335).
        workers: processes that decode; 0: this one. Not used for what lies in memory.
        raw: leave pictures as uint8 (N, C, H, W), for a consumer that normalises itself; for evaluation only.
        place: the device that normalises and augments batches. What lies in memory lies there from the start, if it fits.
    """

    split: Split
    preprocess: Preprocess
    batch_size: int
    num_classes: int
    bad: BadImages
    part: Callable[[int], slice] | None = None
    augment: Augment | None = None
    train_size: tuple[int, ...] | None = None
    seed: int = 0
    balance: bool = False
    repeats: int = 1
    workers: int = 0
    raw: bool = False
    place: torch.device = CPU
    data_wait: float = 0.0  # seconds that the consumer waited, since it last set this to 0

    def __post_init__(self) -> None:
        assert not (self.raw and self.augment)
        self.train_size = self.train_size or self.preprocess.size
        self._pixels = self._in_memory()
        self._stream: Stream | None = None
        if len(self) == 0:
            raise InputError("the split has no picture to make a batch of")

    def _in_memory(self) -> Tensor | None:
        images = self.split.images
        kept = self.preprocess.resize != "crop" or self.preprocess.crop_pct == 1  # a picture of the input's size stays whole
        fits = isinstance(images, ArrayImages) and images.array.shape[1:3] == self.train_size == self.preprocess.size
        resized = self.augment is not None and self.augment.crop == "resized"
        if not (kept and fits) or resized:
            return None
        pixels = torch.from_numpy(images.array).contiguous()  # type: ignore[attr-defined]
        return pixels.to(self.place) if has_room(self.place, pixels.nbytes) else pixels

    @property
    def num_images(self) -> int:
        return len(self.split.targets)

    def __len__(self) -> int:
        """Batches an epoch. In training a last batch of one is left out: batch norm can make nothing of it."""
        whole, rest = divmod(self.num_images, self.batch_size)
        least = 2 if self.augment is not None and self.num_images > 1 else 1
        return whole + (rest >= least)

    def order(self, epoch: int) -> np.ndarray:
        """The positions (num_images,) that the epoch visits, in order."""
        if self.augment is None:
            return np.arange(self.num_images)
        random = np.random.default_rng(mix_seed(self.seed, epoch, "order"))
        if self.balance:
            counts = np.bincount(self.split.targets, minlength=self.num_classes)
            weights = 1.0 / counts[self.split.targets]
            return random.choice(self.num_images, self.num_images, p=weights / weights.sum())
        order = random.permutation(self.num_images)
        groups = getattr(self.split.images, "groups", None)
        if groups is not None:  # a few files at a time, so that each is fetched about once
            windows = random.permutation(groups.max() + 1)[groups] // WINDOW
            order = order[np.argsort(windows[order], kind="stable")]
        return order[: -(-len(order) // self.repeats)].repeat(self.repeats)[: len(order)]

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from number `start` on. The time spent waiting for them adds up in `data_wait`."""
        batches = self._memory_batches(epoch, start) if self._pixels is not None else self._worker_batches(epoch, start)
        while True:
            began = time.perf_counter()
            batch = next(batches, None)
            self.data_wait += time.perf_counter() - began
            if batch is None:
                return
            yield batch

    def _positions(self, epoch: int, start: int) -> Iterator[tuple[int, np.ndarray]]:
        """For each batch from number `start` on: the place of its first picture in the epoch's order, and the positions."""
        order, size = self.order(epoch), self.batch_size
        for first in range(start * size, len(self) * size, size):
            own = self._own(first)
            yield first + own.start, order[first + own.start : first + own.stop]

    def _own(self, first: int) -> slice:
        """Which pictures of the batch that begins at place `first` are this process's."""
        num = min(self.batch_size, self.num_images - first)
        return slice(0, num) if self.part is None else self.part(num)

    def _memory_batches(self, epoch: int, start: int) -> Iterator[Batch]:
        assert self._pixels is not None
        for number, (first, positions) in enumerate(self._positions(epoch, start), start):
            pixels = self._pixels[torch.from_numpy(positions)].permute(0, 3, 1, 2)
            if self.augment is not None and self.augment.auto_augment != "none":
                augmented = [self._augmented(picture, place, epoch) for place, picture in enumerate(pixels, first)]
                pixels = torch.stack(augmented) if augmented else pixels
            yield self._finish(pixels, torch.from_numpy(positions), epoch, number)

    def _augmented(self, pixels: Tensor, place: int, epoch: int) -> Tensor:
        assert self.augment is not None
        with seeded(self.seed, epoch, place):
            return self.augment.colours(pixels)

    def _worker_batches(self, epoch: int, start: int) -> Iterator[Batch]:
        self._stream = self._stream or Stream(_Pictures(self), _collate, self)
        for number, (pixels, positions, bad) in enumerate(self._stream.epoch(epoch, self._positions(epoch, start)), start):
            for name, reason in bad:
                self.bad.add(name, reason)
            yield self._finish(pixels, positions, epoch, number)

    def _finish(self, pixels: Tensor, positions: Tensor, epoch: int, number: int) -> Batch:
        if len(positions) == 0:  # none is ours, or could be read; the consumer counts batches, so it comes all the same
            return Batch(
                torch.empty(0, self.preprocess.in_chans, *(self.train_size or self.preprocess.size)), positions, positions
            )
        x = pixels if self.raw else normalise(pixels.to(self.place, non_blocking=True), self.preprocess)
        targets = torch.from_numpy(self.split.targets)[positions].to(self.place, non_blocking=True)
        if self.augment is not None:
            first = number * self.batch_size
            own, num = self._own(first), min(self.batch_size, self.num_images - first)
            with seeded(self.seed, epoch, number, "batch"):
                x, targets = self.augment.batch(x, targets, self.num_classes, before=own.start, after=num - own.stop)
        return Batch(x, targets, positions)


def has_room(place: torch.device, num_bytes: int) -> bool:
    """Whether so much leaves the device most of its memory."""
    return place.type != "cuda" or 4 * num_bytes <= torch.cuda.mem_get_info(place)[0]


Read = tuple[Tensor, Tensor, list[tuple[str, str]]]  # pixels (N, C, H, W), positions (N,), unreadable (name, reason)


class Stream:
    """Decoding in workers, which live on from epoch to epoch.

    Args:
        pictures: (epoch, place in its order, index) -> a sample.
        collate: samples -> what `epoch` yields for a batch.
        loader: whose workers and place these are.

    Nothing here refers back to the `Loader`. In a circle, which only the garbage collector frees, the queues would be closed
    before the workers are told to end, and each of them be waited for five seconds.
    """

    def __init__(self, pictures: Dataset, collate: Callable[[list[Any]], Any], loader: Any) -> None:
        self.todo = _Todo()
        self.batches = DataLoader(
            pictures,
            batch_sampler=self.todo,
            num_workers=loader.workers,
            persistent_workers=loader.workers > 0,
            prefetch_factor=4 if loader.workers else None,
            collate_fn=collate,
            pin_memory=loader.place.type == "cuda",
            worker_init_fn=leave_signals,
            generator=torch.Generator(),  # its own, so that starting workers does not draw from the one of the network
        )

    def epoch(self, epoch: int, batches: Iterator[tuple[int, np.ndarray]]) -> Iterator[Any]:
        # As a list, for a generator that is left in the middle refers to its `Loader`.
        self.todo.epoch, self.todo.batches = epoch, iter(list(batches))
        return iter(self.batches)


class _Todo:
    """What to decode next, batch by batch: keys of `_Pictures`."""

    def __init__(self) -> None:
        self.epoch = 0
        self.batches: Iterator[tuple[int, np.ndarray]] = iter(())

    def __iter__(self) -> Iterator[list[tuple[int, int, int]]]:
        epoch = self.epoch
        return (
            [(epoch, place, index) for place, index in enumerate(positions.tolist(), first)]
            for first, positions in self.batches
        )


class _Pictures(Dataset):
    """(epoch, place in its order, index) -> (pixels, index), or (None, name, reason) where the picture cannot be read."""

    def __init__(self, loader: Loader) -> None:
        images = loader.split.images
        self.images = images.quickly() if loader.augment and isinstance(images, StoredImages) else images
        self.preprocess = loader.preprocess
        self.augment, self.seed = loader.augment, loader.seed
        self.train_size = loader.train_size or loader.preprocess.size

    def __getitem__(self, key: tuple[int, int, int]) -> Any:
        epoch, place, index = key
        try:
            picture = self.images[index]
        except BadPicture as bad:
            return None, self.images.name(index), bad.reason
        if self.augment is None:
            return torch.from_numpy(fit_picture(picture, self.preprocess)), index
        random = Random(mix_seed(self.seed, epoch, place))
        pixels = self.augment.picture(picture, self.preprocess, self.train_size, random)
        if self.augment.auto_augment != "none":
            with seeded(self.seed, epoch, place):  # dear: a tenth of the time to decode a photograph
                pixels = self.augment.colours(pixels)
        return pixels, index


def leave_signals(worker: int) -> None:
    """Ctrl-C reaches every process of a terminal, and torchrun's SIGTERM those that its processes started; what it means is
    for them to say."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL if os.environ.get("WORLD_SIZE", "1") == "1" else signal.SIG_IGN)


def _collate(samples: list[Any]) -> Read:
    read = [sample for sample in samples if sample[0] is not None]
    # Stacked as they lie in memory, channels last; NumPy does it in half of torch's time.
    pixels = np.stack([sample[0].permute(1, 2, 0).numpy() for sample in read]) if read else np.empty((0, 0, 0, 0))
    positions = torch.tensor([sample[1] for sample in read], dtype=torch.int64)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2), positions, [sample[1:] for sample in samples if sample[0] is None]


def statistics(split: Any, preprocess: Preprocess, bad: BadImages, *, per_pixel: bool = False, most: int = 2000) -> Preprocess:
    """`preprocess` with the mean and deviation of the split's pictures in [0, 1].

    Every picture in memory counts; of files, `most`, evenly spread, as the network will see them. `per_pixel`: a mean for each
    position and a deviation of 1, for the paper subtracts and does not divide (He et al. 2015, section 4.2).
    """
    images = split.images
    total = np.zeros((preprocess.in_chans, *preprocess.size) if per_pixel else (preprocess.in_chans, 1, 1))
    squares, count = np.zeros(preprocess.in_chans), 0
    chosen = images.sample(most) if isinstance(images, StoredImages) else np.arange(len(images))
    for index in chosen.tolist():
        try:
            picture = images[index]
        except BadPicture as fault:
            bad.add(images.name(index), fault.reason)
            continue
        pixels = fit_picture(picture, preprocess) / 255
        total += pixels if per_pixel else pixels.mean((1, 2), keepdims=True)
        squares, count = squares + (pixels**2).mean((1, 2)), count + 1
    if not count:
        raise InputError("no picture of the training split can be read; `resnets data check` says why")
    mean = (total / count).mean((1, 2))
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    std[(std < 1e-4) | per_pixel] = 1.0  # the former: a channel without contrast
    centre = (total / count).ravel() if per_pixel else mean
    return dataclasses.replace(preprocess, mean=tuple(np.round(centre, 6).tolist()), std=tuple(np.round(std, 6).tolist()))
