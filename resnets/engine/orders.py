"""Decisions after a training step (save, stop), and the signals that cause them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType


@dataclass
class Orders:
    """What to do after a step. In distributed training the processes agree on it, and act one step later (see `agree`)."""

    noted: list[int] = field(default_factory=list)  # signals received by this process
    wish: tuple[bool, int] = (False, 0)  # of this process: whether to save now, and the total number of steps
    stop: int = 0  # the signal number that ends the run; 0: none
    save: bool = False


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Inside, the first SIGINT or SIGTERM is only appended to the list, so that the loop can stop after a complete step.

    The second raises KeyboardInterrupt at once.
    """
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if noted:
            raise KeyboardInterrupt
        noted.append(number)

    if threading.current_thread() is not threading.main_thread():  # only the main thread can handle signals
        yield noted
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
