"""Engines: where work is done. Each calls a function for many items, in any order, or in processes that train together.

What an engine is handed must be picklable where it has other processes: functions of modules, and `functools.partial` of them.
No torch; an engine's own package is imported when it is opened.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol, Self, TypeVar

from resnets.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")
Say = Callable[[str], None]
Tell = Callable[..., None]  # (what has happened, its values) from a process of a group to who watches it

RETRIES = 3  # how often an item, or a group, is tried again after its worker was lost


class Lost(NamedTuple):
    """Instead of a result: the workers of an item were lost in every try. `reason` is that of the last."""

    reason: str


class Engine(Protocol):
    """A context; at its end nothing of it is left running.

    Args:
        num_workers: how many items it works at in the same time.
        cores: of the processor, that a worker has to itself: as many threads are its share.
    """

    num_workers: int
    cores: int

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...

    def each(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[tuple[Item, Result | Lost]]:
        """Call `work` for every item. Items are taken when a worker is free, and come back when they are done.

        Raises:
            InputError: that `work` raised anywhere; the rest is given up.
        """
        ...

    def together(self, work: Callable[[Tell], Result], listen: Tell, folder: Path) -> Result:
        """Call `work` in `num_workers` processes at once, which torch.distributed joins; what it returns in the first of them.
        Where one is lost, all begin again. `listen` is called with what `work` tells.

        Args:
            folder: on a disk that all machines share, for records of the engine's own; to be removed afterwards.

        Raises:
            InputError: that `work` raised; and where processes were lost too often.
        """
        ...


ENGINES = {"local": "resnets.fleet.local.Local", "ray": "resnets.fleet.on_ray.Ray"}


def engine(name: str, *, num_workers: int | None = None, device: str | None = None, say: Say = lambda text: None) -> Engine:
    """The engine called `name`, to be entered.

    Args:
        num_workers: None: as many as suit the machines.
        device: as the user asked for it; where that may be a GPU, workers get one each, if machines have some.
        say: called with what the user should know, such as that a worker was lost.

    Raises:
        InputError: where there is no such engine, or its package is not installed.
    """
    if name not in ENGINES:
        raise InputError(f"there is no engine {name!r}; use one of: {', '.join(ENGINES)}")
    module, _, made = ENGINES[name].rpartition(".")
    return getattr(importlib.import_module(module), made)(num_workers, device in (None, "auto", "cuda"), say)
