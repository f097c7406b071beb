"""The engine without other processes: one item after the other, in this one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Self

from resnets.data.machine import default_workers
from resnets.errors import InputError
from resnets.fleet.engines import Item, Result, Say, Tell


class Local:
    """See `Engine`."""

    def __init__(self, num_workers: int | None, gpus: bool, say: Say) -> None:
        if num_workers not in (None, 1):
            raise InputError("--num-workers is for --engine ray; one machine trains in several processes by torchrun")
        self.num_workers, self.cores = 1, default_workers()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def each(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[tuple[Item, Result]]:
        return ((item, work(item)) for item in items)

    def together(self, work: Callable[[Tell], Result], listen: Tell, folder: Path) -> Result:
        return work(listen)
