"""The models of a server, with their queues: pictures in, outcomes out. All of it is of one event loop, but for the queues'
threads."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from starlette.requests import Request

from resnets.verbs.serve.batching import Batcher, Full, Ticket
from resnets.verbs.serve.limits import Limits
from resnets.verbs.serve.monitor import Monitor, Watch
from resnets.verbs.serve.receive import Bodies, Refused
from resnets.verbs.serve.served import Outcome, Served, Work, stamp_of

log = logging.getLogger("resnets.serve")
LOOK_S = 1.0  # between two looks at the models' files
FRESH_S = 10.0  # a model that has answered a picture since is ready
TRY_S = 5.0  # for the picture that is tried otherwise


class Entry:
    """A model with its queue."""

    def __init__(self, served: Served, limits: Limits, bodies: Bodies, monitor: Monitor) -> None:
        self.served = served
        self.watch = Watch(served.name, monitor, lambda: served.opened.expected)
        self.batcher: Batcher[Work] = Batcher(
            served.answer,
            name=f"serve-{served.name}",
            num_threads=served.num_threads,
            batch_size=1 if served.opened.task.own_size else limits.batch_size,
            max_delay_s=limits.max_delay_ms / 1000,
            capacity=limits.queue,
            max_wait_s=limits.timeout_s / 2,
            coming=lambda: bodies.num_coming,
            watch=self.watch.timed,
        )
        self.answered_at = time.monotonic()  # one was tried when it was opened
        self.trying = asyncio.Lock()

    @property
    def name(self) -> str:
        return self.served.name

    async def ready(self) -> bool:
        """Whether a picture goes through: one has just now, or one that is tried does."""
        async with self.trying:
            if time.monotonic() - self.answered_at < FRESH_S:
                return self.batcher.alive
            try:
                ticket = self.batcher.submit([self.served.opened.example()], time.monotonic() + TRY_S)
            except Full:
                return False  # and nothing has come out for as long
            with suppress(TimeoutError):
                outcome = (await asyncio.wait_for(ticket.done, TRY_S))[0]
                if isinstance(outcome, Outcome) and not outcome.failed:
                    self.answered_at = time.monotonic()
                    return True
            return False


class Service:
    """All of a server but its addresses.

    Args:
        models: opened, at least one; the first answers where no name is given.
    """

    def __init__(self, models: Sequence[Served], limits: Limits) -> None:
        self.limits, self.monitor, self.bodies = limits, Monitor(), Bodies(limits)
        self.models = models
        self.entries: dict[str, Entry] = {}
        self.draining = False

    async def start(self) -> None:
        self.entries = {model.name: Entry(model, self.limits, self.bodies, self.monitor) for model in self.models}
        self.watcher = asyncio.create_task(self._watch_files())

    async def stop(self) -> None:
        """Finish what waits."""
        self.watcher.cancel()
        for entry in self.entries.values():
            await asyncio.to_thread(entry.batcher.stop)

    def entry(self, name: str | None) -> Entry:
        """The model of that name. Raises `Refused` where there is none."""
        if name is None:
            return next(iter(self.entries.values()))
        if name not in self.entries:
            raise Refused(404, f"there is no model {name[:80]!r}; there is: {', '.join(self.entries)}", reason="unknown")
        return self.entries[name]

    async def ready(self) -> bool:
        return not self.draining and all([await entry.ready() for entry in self.entries.values()])

    def admit(self, entry: Entry, num: int = 1) -> None:
        """Raises `Refused` where there is no room for as many pictures, before a body is read."""
        if self.draining:
            raise Refused(503, "the server is stopping; try another one, or again", reason="stopping", retry_s=1)
        if (wait_s := entry.batcher.full(num)) is not None:
            raise busy(wait_s)

    async def answer(self, request: Request, entry: Entry, works: Sequence[Work]) -> list[Outcome]:
        """The outcomes of the pictures of a request, in order.

        Raises:
            Refused: where the queue is full, or it takes too long.
        """
        if len(works) > self.limits.max_pictures:
            text = f"{len(works)} pictures, and a request may have {self.limits.max_pictures}; send them in several"
            raise Refused(413, text, reason="large")
        try:
            ticket = entry.batcher.submit(works, time.monotonic() + self.limits.timeout_s)
        except Full as full:
            raise busy(full.wait_s) from None
        results = await self._results(request, ticket)
        if faults := [result for result in results if isinstance(result, BaseException)]:
            entry.watch.count("failed", len(works))
            log.error("model %s: failed on a batch", entry.name, exc_info=faults[0])
            raise Refused(500, "the model failed; the server's log says why", reason="failed")
        rows = entry.served.opened.task.rows
        for outcome in results:
            if outcome.failed:
                entry.watch.count("unreadable")
            else:
                entry.watch.note(rows.noted(outcome.row))
                entry.answered_at = time.monotonic()
        return results

    async def _results(self, request: Request, ticket: Ticket[Work]) -> list[Any]:
        """Outcomes, or exceptions."""
        gone = asyncio.ensure_future(_gone(request))
        either: set[asyncio.Future[Any]] = {ticket.done, gone}
        try:
            await asyncio.wait(either, timeout=self.limits.timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            ticket.dropped = not ticket.done.done()
        if ticket.done.done():
            return ticket.done.result()
        if gone.done() and not gone.cancelled():
            raise Refused(499, "the other side has gone", reason="gone")
        text = f"not answered within {self.limits.timeout_s:g} s; try again"
        raise Refused(503, text, reason="late", retry_s=1)

    def told(self) -> bytes:
        """The metrics."""
        self.monitor.held.set(self.bodies.num_bytes)
        for entry in self.entries.values():
            self.monitor.waiting.labels(entry.name).set(len(entry.batcher.waiting))
            self.monitor.loaded.labels(entry.name).set(entry.served.loaded_at)
            self.monitor.reloads.labels(entry.name, "opened").set(entry.served.num_reloads)
            self.monitor.reloads.labels(entry.name, "failed").set(entry.served.num_failed_reloads)
        return self.monitor.told()

    async def _watch_files(self) -> None:
        """Open a model anew whose file has changed, once it does not change any more."""
        seen = {name: entry.served.stamp for name, entry in self.entries.items()}
        while True:
            await asyncio.sleep(LOOK_S)
            for name, entry in self.entries.items():
                stamp = await asyncio.to_thread(stamp_of, entry.served.path)
                changed = bool(stamp) and stamp != entry.served.stamp and stamp == seen[name]
                if changed and await asyncio.to_thread(entry.served.reload, stamp):
                    entry.watch.forget()
                seen[name] = stamp


def busy(wait_s: float) -> Refused:
    return Refused(429, f"too many pictures wait; try again in {wait_s:.0f} s", reason="full", retry_s=wait_s)


async def _gone(request: Request) -> None:
    """Returns once the other side has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
