"""What commands tell while they work, on stderr; of trainings see `verbs.lines`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from resnets.verbs.lines import Bar, Lines, epoch_line, say, watch

__all__ = ["Bar", "Lines", "counting", "epoch_line", "say", "watch"]


@contextmanager
def counting(text: str, unit: str = "pictures") -> Iterator[Callable[[int, int | None], None] | None]:
    """A bar for so many of so many, on a terminal; None elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich import progress as bars
    from rich.console import Console

    of_bytes = bars.DownloadColumn(), bars.TransferSpeedColumn()
    amounts = of_bytes if unit == "bytes" else (bars.MofNCompleteColumn(), bars.TextColumn(unit))
    columns = (bars.TextColumn(text), bars.BarColumn(), *amounts, bars.TimeRemainingColumn())
    with bars.Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(text, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
