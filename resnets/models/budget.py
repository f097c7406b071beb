"""What a network may need: checked from its spec alone, before memory is allotted or a graph of a file is run. No torch."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from resnets.data.preprocess import Preprocess
from resnets.errors import InputError
from resnets.models.spec import ResNetSpec, Row

FLOAT = 4  # bytes
ROOM = 16  # how many times the values, and the multiply-adds, of its network a graph in a file may have


@cache
def memory() -> int:
    """The machine's memory in bytes, or the container's (cgroup); a tebibyte where it is not known."""
    found = 1 << 40
    with suppress(OSError, ValueError, AttributeError):
        found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError):  # no cgroup, or no limit ("max")
        found = min(found, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return found


def check(spec: ResNetSpec, preprocess: Preprocess | None = None) -> None:
    """Raise `InputError` where the parameters of a network, or the values of one level for one input, exceed the memory."""
    size = spec.img_size if preprocess is None or len(preprocess.size) != spec.dims else preprocess.size
    rows = spec.table(size)
    needs = {
        f"{sum(row.num_params for row in rows):,} parameters": sum(row.num_params for row in rows),
        f"{largest(spec, rows, size):,} values in one level": largest(spec, rows, size),
    }
    for words, num in needs.items():
        if num * FLOAT > memory():
            raise InputError(
                f"{spec.name} would have {words}, {num * FLOAT / 1e9:,.1f} GB, and this machine has {memory() / 1e9:,.1f} GB; "
                "make width, depths, num_classes or the input smaller"
            )


def largest(spec: ResNetSpec, rows: tuple[Row, ...], size: int | tuple[int, ...]) -> int:
    """The most values that the input or the output of a stage has, for one input."""
    sides = (size,) * spec.dims if isinstance(size, int) else size
    return max(spec.in_chans * math.prod(sides), *(row.channels * math.prod(row.size) for row in rows))


@dataclass
class Room:
    """What a graph that a file holds may need: values in one tensor, and multiply-adds, both for one input.

    It is `ROOM` times what the network of its header needs; `work` is what it has so far.
    """

    most_values: int
    most_work: int
    work: int = 0

    @classmethod
    def of(cls, spec: ResNetSpec, preprocess: Preprocess) -> Room:
        rows = spec.table(preprocess.size)
        # Of 8 bits, weights are computed from whole numbers and scales: tensors as large as they are.
        values = largest(spec, rows, preprocess.size) + sum(row.num_params for row in rows)
        return cls(ROOM * values, ROOM * (sum(row.num_macs for row in rows) + values * (spec.num_layers + 10)))

    def add(self, num_values: int, num_terms: int = 1) -> None:
        """Add a tensor, each of whose values adds up `num_terms` others. Raises `ValueError` where that is too much."""
        self.work += num_values * num_terms
        if num_values > self.most_values or self.work > self.most_work:
            raise ValueError("its graph is larger than the network that it describes")
