"""How many threads compute: one for each processor that other programs leave free.

Threads of one computation wait for each other. Where another program has one of the processors, all wait for the thread that
was to run there, and one thread is then several times faster than two (docs/lab.md).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import psutil
import torch

from resnets.data import machine

CLEAR = 0.75  # of a processor that others must take, or leave, before the number of threads changes
LOOK_SECONDS = 0.5  # how long to look at the start, where the machine has not been idle
EPOCH_SECONDS = 30.0  # of training between two looks, at least


class Used(NamedTuple):
    """Seconds of processors so far, of those that this process may use."""

    at: float
    by_all: float
    by_own: float


def used() -> Used:
    """What has been computed by now. Programs that give way to others ("nice") do not count, as they are no hindrance."""
    times = psutil.cpu_times(percpu=True)
    mine = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(len(times))
    by_all = sum(each.user + each.system for number, each in enumerate(times) if number in mine)
    me = psutil.Process()
    by_own = 0.0
    for process in (me, *me.children(recursive=True)):  # those that decode images
        try:
            spent = process.cpu_times()
        except psutil.Error:  # it has just ended
            continue
        by_own += spent.user + spent.system
    return Used(time.perf_counter(), by_all, by_own)


def by_others(before: Used, now: Used) -> float:
    """How many processors other programs used between two looks, on average; 0 where no time has passed."""
    seconds = now.at - before.at
    return max(0.0, now.by_all - before.by_all - (now.by_own - before.by_own)) / seconds if seconds > 0 else 0.0


def fitting(num: int, others: float, most: int) -> int:
    """The number of threads in place of `num`, where other programs use so many processors of `most`."""
    free = most - others
    return num if abs(free - num) < CLEAR else min(max(1, round(free)), most)


def most() -> int:
    """The threads of this process where nothing else runs: as torch has it, within the limit of the container."""
    return max(1, min(torch.get_num_threads(), int(machine.num_usable())))


def asked() -> bool:
    """Whether the number of threads is decided: by OMP_NUM_THREADS, or because torchrun's processes divide the cores."""
    return "OMP_NUM_THREADS" in os.environ or "LOCAL_WORLD_SIZE" in os.environ


def choose() -> int:
    """The number of threads for work that begins now."""
    num, load = most(), machine.load()
    if num == 1 or asked() or load is None or load < CLEAR:
        return num
    before = used()
    time.sleep(LOOK_SECONDS)
    return fitting(num, by_others(before, used()), num)


@contextmanager
def use(num: int | None) -> Iterator[None]:
    """Inside, so many threads compute; None: as many as before."""
    before = torch.get_num_threads()
    try:
        if num is not None:
            torch.set_num_threads(num)
        yield
    finally:
        torch.set_num_threads(before)


class Adapting:
    """Keeps the number of threads at what the machine has free, from epoch to epoch.

    Args:
        most: threads, at most; None: the number does not change.
    """

    def __init__(self, most: int | None = None) -> None:
        self.most = None if most == 1 or asked() else most
        self.seen = None if self.most is None else used()

    def after_epoch(self) -> tuple[int, float] | None:
        """The number of threads from here on, and how many processors others used; None where nothing changes."""
        if self.most is None or self.seen is None or time.perf_counter() - self.seen.at < EPOCH_SECONDS:
            return None
        before, self.seen = self.seen, used()
        others, num = by_others(before, self.seen), torch.get_num_threads()
        fit = fitting(num, others, self.most)
        if fit == num:
            return None
        torch.set_num_threads(fit)
        return fit, others
