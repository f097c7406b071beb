"""Batches of a split, each a pure function of (seed, epoch, position): nothing to remember between a kill and a resume.

What lies in memory is gathered and augmented a batch at a time; other images are decoded and augmented one by one in worker
processes. What an image draws depends on (seed, epoch, its position in the epoch's order), so the number of workers changes
nothing. What the images are, and what becomes of them, is for the `Samples` to say.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from resnets.data.types import Batch, Part, Read, Samples
from resnets.data.workers import BadImages, Stream, check_spawning
from resnets.errors import InputError


@dataclass(kw_only=True)
class Loader:
    """Batches of one split.

    Args:
        samples: the images, and how they become inputs.
        batch_size: images per batch, of all processes together; the last of an epoch may be smaller.
        bad: where unreadable images are noted.
        part: given the number of images in a batch, which of them this process makes; None: all.
        workers: processes that decode; 0: this one. Not used for what lies in memory.
        pin_memory: keep batches where a GPU fetches them faster.
    """

    samples: Samples
    batch_size: int
    bad: BadImages
    part: Callable[[int], slice] | None = None
    workers: int = 0
    pin_memory: bool = False
    data_wait: float = 0.0  # seconds that the consumer waited, since it last set this to 0

    def __post_init__(self) -> None:
        self._stream: Stream | None = None
        if len(self) == 0:
            raise InputError("the split has no picture to make a batch of")
        if self.workers and not (self.samples.in_memory or self.samples.sequential):
            check_spawning()

    @property
    def num_images(self) -> int:
        return len(self.samples)

    def __len__(self) -> int:
        """Batches per epoch. In training a last batch of one is left out: batch norm can make nothing of it."""
        whole, rest = divmod(self.num_images, self.batch_size)
        if self.samples.whole_batches and self.part is not None:
            return max(1, whole)
        return whole + (rest >= (2 if self.samples.train and self.num_images > 1 else 1))

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from number `start` on. The time spent waiting for them adds up in `data_wait`."""
        batches = self._batches(epoch, start)
        while True:
            began = time.perf_counter()
            batch = next(batches, None)
            self.data_wait += time.perf_counter() - began
            if batch is None:
                return
            yield batch

    def _batches(self, epoch: int, start: int) -> Iterator[Batch]:
        for number, read in enumerate(self._reads(epoch, start), start):
            for name, reason in read.bad:
                self.bad.add(name, reason)
            first = number * self.batch_size
            own, num = self._own(first), min(self.batch_size, self.num_images - first)
            yield self.samples.finish(read, Part(epoch, number, before=own.start, after=num - own.stop))

    def _reads(self, epoch: int, start: int) -> Iterator[Read]:
        positions = self._positions(epoch, start)
        if self.samples.in_memory:
            return (self.samples.gather(epoch, first, some) for first, some in positions)
        if self._stream is None:
            workers = 0 if self.samples.sequential else self.workers
            self._stream = Stream(
                self.samples.reader(self.batch_size), self.samples.collate(), workers=workers, pin_memory=self.pin_memory
            )
        return self._stream.epoch(epoch, positions)

    def _positions(self, epoch: int, start: int) -> Iterator[tuple[int, np.ndarray]]:
        """For each batch from number `start` on: where its first image stands in the epoch's order, and the positions."""
        order, size = self.samples.order(epoch), self.batch_size
        for first in range(start * size, len(self) * size, size):
            own = self._own(first)
            yield first + own.start, order[first + own.start : first + own.stop]

    def _own(self, first: int) -> slice:
        """Which images of the batch that begins at `first` are this process's."""
        num = min(self.batch_size, self.num_images - first)
        return slice(0, num) if self.part is None else self.part(num)
