"""The bounded queue of a model: threads take what waits, in batches, and hand the answers to the event loop.

A thread decodes its batch and takes it through the network, as in `resnets predict`: while one is in the network, another
decodes. What waits is shared among the threads, so that a batch never leaves a thread idle.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Work = TypeVar("Work")
SMOOTHING = 0.1  # weight of the newest batch in the mean time that a picture takes


class Full(Exception):
    """There is no room in the queue, or what waits there would take too long. `wait_s`: seconds after which to try again."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"busy: try again in {wait_s:.0f} s")
        self.wait_s = wait_s


class Ticket(Generic[Work]):
    """Some pictures of one request, and their results once all are there; of the event loop alone, but for `works`.

    Args:
        works: what to do for each.
        until: `time.monotonic()` after which nobody waits for it.
    """

    def __init__(self, works: Sequence[Work], until: float) -> None:
        self.works, self.until = works, until
        self.results: list[Any] = [None] * len(works)
        self.left = len(works)
        self.done: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self.dropped = False  # nobody waits

    def put(self, position: int, result: Any) -> None:
        self.results[position] = result
        self.left -= 1
        if not self.left and not self.done.done():
            self.done.set_result(self.results)


@dataclass(frozen=True)
class Timing:
    """A batch: how many pictures, seconds that each had waited, and seconds that the batch took."""

    size: int
    waited_s: Sequence[float]
    took_s: float


class Batcher(Generic[Work]):
    """The queue and its threads.

    Args:
        answer: the results of a batch, from any of the threads; an exception is the result of each of them.
        num_threads: how many.
        batch_size: pictures in a batch, at most.
        max_delay_s: how long the first of a batch waits for others, while some are on their way.
        capacity: pictures that wait, at most.
        max_wait_s: a request that would wait longer than this is refused too.
        coming: how many requests are on their way.
        watch: told the timing of each batch, by the event loop.
    """

    def __init__(
        self,
        answer: Callable[[list[Work]], Sequence[Any]],
        *,
        name: str,
        num_threads: int,
        batch_size: int,
        max_delay_s: float,
        capacity: int,
        max_wait_s: float,
        coming: Callable[[], int] = lambda: 0,
        watch: Callable[[Timing], None] = lambda timing: None,
    ) -> None:
        self.answer, self.coming, self.watch = answer, coming, watch
        self.batch_size, self.max_delay_s, self.capacity, self.max_wait_s = batch_size, max_delay_s, capacity, max_wait_s
        self.waiting: deque[tuple[Ticket[Work], int, float]] = deque()  # the ticket, the position there, when it came
        self.changed = threading.Condition()
        self.stopped = False
        self.picture_s = 0.0  # seconds a picture takes, all threads together
        self.loop = asyncio.get_running_loop()
        self.threads = [threading.Thread(target=self._work, name=f"{name}-{n}", daemon=True) for n in range(num_threads)]
        for thread in self.threads:
            thread.start()

    def submit(self, works: Sequence[Work], until: float) -> Ticket[Work]:
        """Queue the pictures of a request, all or none. Raises `Full` where there is no room for all of them."""
        ticket, now = Ticket(works, until), time.monotonic()
        with self.changed:
            if (wait_s := self.full(len(works))) is not None:
                raise Full(wait_s)
            self.waiting.extend((ticket, position, now) for position in range(len(works)))
            self.changed.notify(len(works))
        return ticket

    def full(self, num: int) -> float | None:
        """Seconds after which to try again, where there is no room for `num` pictures now; else None."""
        wait_s = len(self.waiting) * self.picture_s
        if len(self.waiting) + num <= self.capacity and wait_s <= self.max_wait_s:
            return None
        return float(max(1, math.ceil(wait_s)))

    def stop(self) -> None:
        """Finish what waits, and end the threads."""
        with self.changed:
            self.stopped = True
            self.changed.notify_all()
        for thread in self.threads:
            thread.join()

    @property
    def alive(self) -> bool:
        return all(thread.is_alive() for thread in self.threads)

    # --- in the threads ---

    def _work(self) -> None:
        while self._batch():  # which keeps nothing of a batch while it waits for the next
            pass

    def _batch(self) -> bool:
        """Take a batch and hand on its results; False when all is done."""
        if not (batch := self._take()):
            return False
        began = time.monotonic()
        works = [ticket.works[position] for ticket, position, _ in batch]
        try:
            results = self.answer(works)
        except BaseException as error:  # the thread goes on whatever happens
            results = [error] * len(batch)
        took_s = time.monotonic() - began
        timing = Timing(len(batch), [began - came for _, _, came in batch], took_s)
        each_s = took_s / len(batch) / len(self.threads)
        self.picture_s += (each_s - self.picture_s) * (SMOOTHING if self.picture_s else 1)
        with suppress(RuntimeError):  # the loop has ended, and with it all who wait
            self.loop.call_soon_threadsafe(self._deliver, batch, results, timing)
        return True

    def _take(self) -> list[tuple[Ticket[Work], int, float]]:
        """The next batch; empty when all is done. Pictures that nobody waits for any more are left out."""
        with self.changed:
            while True:
                while self.waiting and (self.waiting[0][0].dropped or self.waiting[0][0].until < time.monotonic()):
                    self.waiting.popleft()
                if not self.waiting:
                    if self.stopped:
                        return []
                    self.changed.wait()
                    continue
                late_s = time.monotonic() - self.waiting[0][2]
                if len(self.waiting) >= self.batch_size or late_s >= self.max_delay_s or self.stopped or not self.coming():
                    break
                self.changed.wait(self.max_delay_s - late_s)
            share = -(-len(self.waiting) // len(self.threads))
            return [self.waiting.popleft() for _ in range(min(self.batch_size, share))]

    # --- in the event loop ---

    def _deliver(self, batch: list[tuple[Ticket[Work], int, float]], results: Sequence[Any], timing: Timing) -> None:
        for (ticket, position, _), result in zip(batch, results, strict=True):
            ticket.put(position, result)
        self.watch(timing)
