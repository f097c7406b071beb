"""What is to follow a step, and the signals that decide on it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType


@dataclass
class Orders:
    """What is to follow a step. One process decides as it goes; several agree on it, a step later (see `agree`)."""

    noted: list[int] = field(default_factory=list)  # signals that reached this process
    wish: tuple[bool, int] = (False, 0)  # of this process: save now, and the steps of the run
    stop: int = 0  # the signal that ends the run
    save: bool = False


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Inside, the first SIGINT or SIGTERM is only noted (in the list), for the loop to stop where its state is whole; the
    second stops at once."""
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if noted:
            raise KeyboardInterrupt
        noted.append(number)

    if threading.current_thread() is not threading.main_thread():  # only there can signals be caught
        yield noted
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
