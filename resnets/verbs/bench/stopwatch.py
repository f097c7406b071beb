"""Timing a training loop by the moments at which it asks for its batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any


class Enough(Exception):
    """All steps that were to be timed are done."""


class Stopwatch:
    """Times a loop that takes its batches through `epoch`: a step lasts from asking for its batch to asking for the next.

    The time between two epochs (validation) does not count; the start of an epoch's workers does.

    Args:
        warm: warm-up steps, which are not timed.
        steps: steps that are timed, 1 or more; asking for another batch raises `Enough`.
        synchronise: waits until the device has finished its work.

    Attributes:
        seconds: duration of the timed steps.
        wait_seconds: the part of it during which the loop waited for its batches.
        num_images: images in the timed steps.
    """

    def __init__(self, warm: int, steps: int, synchronise: Callable[[], object] = lambda: None) -> None:
        self.warm, self.steps, self.synchronise = warm, steps, synchronise
        self.num_steps = 0
        self.reset()

    def reset(self) -> None:
        self.seconds = self.wait_seconds = 0.0
        self.num_images = 0

    def now(self) -> float:
        self.synchronise()
        return time.perf_counter()

    def epoch(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The batches of an epoch, unchanged; each is a tuple whose first element is the images (N, ...)."""
        began = asked = self.now()
        source = iter(batches)
        while True:
            if self.num_steps == self.warm:
                self.reset()
                began = asked = self.now()
            if self.num_steps == self.warm + self.steps:
                self.seconds += self.now() - began
                raise Enough
            batch = next(source, None)
            self.wait_seconds += time.perf_counter() - asked
            if batch is None:
                break
            self.num_steps += 1
            self.num_images += len(batch[0])
            yield batch
            asked = time.perf_counter()
        self.seconds += self.now() - began
