"""What workers do in the tests: functions that they can import."""

import os
import signal
import time
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


def telling(tell):
    for text in ("first", "last"):
        tell("say", text)
    return "done"


def arrive_late(folder, name, values):
    time.sleep(0.5)
    Path(folder, "-".join((name, *values))).touch()


def troubled(mark, trouble, *given):
    """`together.process`, with what befalls one process in one step, as `tests.engine.launched` has it, at the first try; the
    state is saved after the sixth step."""
    from resnets.engine import clock
    from resnets.verbs import together
    from tests.engine.launched import befall

    since = clock.Clock.since_save
    clock.Clock.since_save = lambda self: 1e12 if self.at.step == 5 else since(self)
    if os.environ["RANK"] == trouble[0] and not Path(mark).exists():
        Path(mark).touch()
        befall(*trouble.split(":"))
    return together.process(*given)
