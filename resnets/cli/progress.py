"""What commands tell while they work, on stderr; of trainings see `verbs.lines`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from resnets.verbs.lines import Bar, Lines, epoch_line, say, watch

__all__ = ["Bar", "Lines", "counting", "epoch_line", "say", "watch"]


@contextmanager
def counting(text: str, unit: str = "pictures") -> Iterator[Callable[[int, int | None], None] | None]:
    """A bar for so many of so many, on a terminal; None elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    amounts = (DownloadColumn(), TransferSpeedColumn()) if unit == "bytes" else (MofNCompleteColumn(), TextColumn(unit))
    columns = (TextColumn(text), BarColumn(), *amounts, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(text, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
