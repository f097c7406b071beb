"""Decoding in worker processes, and what could not be decoded."""

from __future__ import annotations

import functools
import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from resnets.data.types import Split
from resnets.data.words import PICTURES, called
from resnets.errors import InputError


@dataclass
class BadImages:
    """Images, called `images`, that could not be read: skipped, counted, named; more than `most` of them end the run."""

    most: int
    reasons: dict[str, str] = field(default_factory=dict)
    images: str = PICTURES

    @classmethod
    def allowing(cls, max_bad: int | None, *splits: Split) -> BadImages:
        """As many as were said; else 1 % of the splits' images, at least 10."""
        most = max(10, sum(map(len, splits)) // 100) if max_bad is None else max_bad
        return cls(most, images=called(splits[0].images))

    def add(self, name: str, reason: str) -> None:
        self.reasons[name] = reason
        self.check()

    def check(self) -> None:
        if len(self.reasons) > self.most:
            first = "; ".join(f"{name}: {reason}" for name, reason in list(self.reasons.items())[:3])
            raise InputError(
                f"{len(self.reasons)} {self.images} cannot be read, and --max-bad allows {self.most} ({first}); "
                "`resnets data check` names them all: mend or remove them, or raise --max-bad"
            )


@functools.cache
def check_spawning() -> None:
    """Raise `InputError` where worker processes cannot start, for the program trains as soon as it is imported.

    Where processes are not forked (macOS, Windows, Python 3.14), each imports the main program anew. Without
    `if __name__ == "__main__"` it would begin a training of its own, in which Python lets no process be started. One process
    is tried, once; what it comes to is seen here before any worker, or a run directory, is there.
    """
    words = (
        'worker processes import this program anew, and it trains as it is imported; put what it does under `if __name__ == "'
        '__main__":`, or give workers=0'
    )
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # this is such a process, and imports
        sys.exit(1)
    if multiprocessing.get_start_method() == "fork" or not hasattr(sys.modules["__main__"], "__file__"):
        return
    tried = multiprocessing.Process(target=int)  # which is there at once, whatever the program imports
    try:
        tried.start()
        tried.join()
    except (EOFError, OSError):  # the server that was to start it ended, for the same reason
        raise InputError(words) from None
    if tried.exitcode:
        raise InputError(words)


class Stream:
    """Samples from worker processes, which live on from epoch to epoch.

    Args:
        reader: (epoch, position in its order, index) -> a sample.
        collate: samples -> what `epoch` yields for a batch.
        workers: processes; 0: this one.
        pin_memory: keep batches where a GPU fetches them faster.

    Nothing here refers back to the `Loader`. In a circle, which only the garbage collector frees, the queues would be closed
    before the workers are told to end, and each of them be waited for five seconds.
    """

    def __init__(self, reader: Dataset, collate: Callable[[list[Any]], Any], *, workers: int, pin_memory: bool) -> None:
        if workers:
            check_spawning()
        self.todo = _Todo()
        self.batches = DataLoader(
            reader,
            batch_sampler=self.todo,
            num_workers=workers,
            persistent_workers=workers > 0,
            prefetch_factor=4 if workers else None,
            collate_fn=collate,
            pin_memory=pin_memory,
            worker_init_fn=leave_signals,
            generator=torch.Generator(),  # its own, so that starting workers does not draw from the one of the network
        )

    def epoch(self, epoch: int, batches: Iterator[tuple[int, np.ndarray]]) -> Iterator[Any]:
        # As a list, for a generator that is left in the middle refers to its `Loader`.
        self.todo.epoch, self.todo.batches = epoch, iter(list(batches))
        return iter(self.batches)


class _Todo:
    """What to decode next, batch by batch: keys of the reader."""

    def __init__(self) -> None:
        self.epoch = 0
        self.batches: Iterator[tuple[int, np.ndarray]] = iter(())

    def __iter__(self) -> Iterator[list[tuple[int, int, int]]]:
        epoch = self.epoch
        return (
            [(epoch, position, index) for position, index in enumerate(positions.tolist(), first)]
            for first, positions in self.batches
        )


def leave_signals(worker: int) -> None:
    """Workers ignore SIGINT, which a terminal sends to all processes, and SIGTERM, which torchrun, Slurm and systemd do; the
    parent handles both, and ends its workers, which end by themselves where it is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
