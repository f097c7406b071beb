"""What commands tell while they work, on stderr; of trainings see `verbs.lines`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from resnets.verbs.lines import QUIET_SECONDS, Bar, Lines, epoch_line, say, watch

__all__ = ["Bar", "Lines", "counting", "epoch_line", "say", "watch"]

Count = Callable[[float, int | None], None]  # how many are done, and of how many, if that is known


@contextmanager
def counting(text: str, unit: str = "pictures") -> Iterator[Count]:
    """So many of so many: on a terminal a bar, elsewhere a line a minute."""
    if not sys.stderr.isatty():
        yield minutely(text, unit)
        return
    from rich import progress as bars
    from rich.console import Console

    of_bytes = bars.DownloadColumn(), bars.TransferSpeedColumn()
    amounts = of_bytes if unit == "bytes" else (bars.MofNCompleteColumn(), bars.TextColumn(unit))
    columns = (bars.TextColumn(text), bars.BarColumn(), *amounts, bars.TimeRemainingColumn())
    with bars.Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(text, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def minutely(text: str, unit: str) -> Count:
    """What says how much is done, if it has not said so within a minute."""
    told = time.perf_counter()

    def tell(done: float, total: int | None) -> None:
        nonlocal told
        if time.perf_counter() - told > QUIET_SECONDS:
            told = time.perf_counter()
            say(f"{text}  {int(done):,}{f' of {total:,}' if total else ''} {unit}")

    return tell
