"""What workers do in the tests: functions that they can import."""

import os
import signal
from pathlib import Path

from resnets.errors import InputError


def double(item):
    return 2 * item


def die_once(folder, item):
    """The process of the item 2 is killed at the first try."""
    mark = Path(folder, f"tried{item}")
    tries = int(mark.read_text()) if mark.exists() else 0
    mark.write_text(str(tries + 1))
    if item == 2 and not tries:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def die(item):
    if item == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def refuse(item):
    raise InputError(f"{item}: cannot be")


def starve(item):
    raise MemoryError("too much")


def fail(item):
    raise KeyError(item)
