"""Distributed data-parallel training: the processes that `torchrun` starts, their communication, and how they end.

In a run with one process all of this does nothing: `gather` returns [value], `first` calls its function.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from resnets.data.machine import num_processors
from resnets.errors import InputError, Interrupted, ProcessEnded
from resnets.files import write_json
from resnets.models.nn.sync import synchronise

Value = TypeVar("Value")

# A process that dies is noticed at once because its connections close; this is for machines that stop responding.
TIMEOUT = timedelta(minutes=10)
PATIENCE = 3.0  # seconds to wait for rank 0 to report the same error
LOST = ("gloo", "NCCL", "Connection closed", "Connection reset", "Broken pipe")  # in messages of broken connections
ERROR_KEY = "resnets/error"


@dataclass(frozen=True)
class Processes:
    """The rank of this process (`local_rank` on its machine) and the number of processes (`local_world` on its machine)."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    local_world: int = 1

    @classmethod
    def from_environment(cls) -> Processes:
        """From the variables that torchrun sets: RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE.

        Raises:
            InputError: if WORLD_SIZE is above 1 and others are missing.
        """
        world = int(os.environ.get("WORLD_SIZE", "1"))
        if world == 1:
            return cls()
        if not {"RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys():
            raise InputError(f"WORLD_SIZE={world} without RANK and the other variables; start by torchrun, or unset WORLD_SIZE")
        local_world = int(os.environ.get("LOCAL_WORLD_SIZE", world))
        return cls(int(os.environ["RANK"]), world, int(os.environ["LOCAL_RANK"]), local_world)

    @property
    def alone(self) -> bool:
        """Whether this is the only process."""
        return self.world == 1

    def part(self, num: int) -> slice:
        """This process's contiguous part of `num` items. The parts of all processes are disjoint, and differ in length by 1."""
        return slice(num * self.rank // self.world, num * (self.rank + 1) // self.world)

    def gather(self, value: Value) -> list[Value]:
        """The values of all processes, in order of rank. A value is anything that can be pickled; tensors are on the CPU."""
        if self.alone:
            return [value]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value)
        return values

    def gather_numbers(self, numbers: Sequence[int]) -> list[list[int]]:
        """As `gather` for integers, the same number in every process, in one small message."""
        if self.alone:
            return [list(numbers)]
        rows = [torch.empty(len(numbers), dtype=torch.int64) for _ in range(self.world)]
        dist.all_gather(rows, torch.tensor(numbers, dtype=torch.int64))
        return [row.tolist() for row in rows]

    def first(self, make: Callable[[], Value]) -> Value:
        """Call `make` in rank 0 and return its result in all processes; an `InputError` is raised in all of them too."""
        if self.alone:
            return make()
        found: list[Any] = [None, None]
        if self.rank == 0:
            try:
                found[0] = make()
            except InputError as error:
                found[1] = str(error)
        dist.broadcast_object_list(found)
        if found[1] is not None:
            raise InputError(found[1])
        return found[0]

    def ahead(self, make: Callable[[], object]) -> None:
        """Call `make` in one process of each machine while the others wait, such as for a download.

        Raises:
            InputError: in all processes, if one of them raised it.
        """
        error = None
        if self.local_rank == 0:
            try:
                make()
            except InputError as found:
                error = str(found)
        for text in filter(None, self.gather(error)):
            raise InputError(text)

    def wrap(self, model: nn.Module, nothing: Tensor, *, sync_bn: bool) -> nn.Module:
        """`model` in `DistributedDataParallel`: gradients are averaged over all processes.

        Args:
            nothing: an empty batch, on the model's device.
            sync_bn: whether batch norms take their statistics over all processes (`resnets.models.nn.sync`).
        """
        if self.alone:
            return model
        if sync_bn:
            synchronise(model)
        net = nn.parallel.DistributedDataParallel(model, device_ids=[nothing.device] if nothing.is_cuda else None)
        net.broadcast_buffers = False  # in every step; running statistics are equal already, or `share_buffers` is called
        # After its first backward pass DDP regroups gradients, and so sums them in another order. An empty batch goes first, so
        # that the order is the same in all steps, also of a resumed run.
        net.eval()(nothing).sum().backward()
        net.zero_grad()
        return net.train()

    def share_buffers(self, model: nn.Module) -> None:
        """Copy the running statistics of rank 0, which are saved, to all processes; without `sync_bn` they differ."""
        for buffer in model.buffers() if not self.alone else ():
            dist.broadcast(buffer, 0)


ALONE = Processes()


@contextmanager
def joined() -> Iterator[Processes]:
    """Context manager that initialises the process group if torchrun started this process, and reports errors once. A group
    that is there already, as an engine's, is used, and left as it is.

    Raises:
        ProcessEnded: if the cause is in another process, or rank 0 has already reported the same error.
    """
    processes = Processes.from_environment()
    if processes.alone:
        yield processes
        return
    share_cores(processes)
    store, leave = (dist.distributed_c10d._get_default_store(), lambda: None) if dist.is_initialized() else join(processes)
    try:
        yield processes
    except Interrupted:
        leave()
        raise
    except InputError as error:
        if not said(processes, store, str(error)):
            tell_launcher(f"rank {processes.rank}: {error}")
            raise
        raise ProcessEnded("") from None
    except Exception as error:
        if not isinstance(error, dist.DistError) and not any(word in str(error) for word in LOST):
            tell_launcher(traceback.format_exc())
            raise
        raise ProcessEnded(
            f"rank {processes.rank}: another process ended; its message, or torchrun's summary below, says which and why"
        ) from None
    else:
        leave()


def join(processes: Processes) -> tuple[dist.Store, Callable[[], object]]:
    """Initialise the process group: its store, and what ends it."""
    store, *_ = next(dist.rendezvous("env://", timeout=TIMEOUT))
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
        store=store,
        rank=processes.rank,
        world_size=processes.world,
        timeout=TIMEOUT,
    )
    return store, dist.destroy_process_group


def share_cores(processes: Processes) -> None:
    """Divide the machine's cores evenly, unless the user set OMP_NUM_THREADS (torchrun itself sets it to 1)."""
    launcher = Path(f"/proc/{os.getppid()}/environ")
    asked = launcher.exists() and b"OMP_NUM_THREADS=" in launcher.read_bytes()
    if os.environ.get("OMP_NUM_THREADS", "1") == "1" and not asked:
        torch.set_num_threads(max(1, num_processors() // processes.local_world))


def said(processes: Processes, store: dist.Store, text: str) -> bool:
    """Whether rank 0 has reported the error `text`, so that an error in all processes is printed once."""
    try:
        if processes.rank == 0:
            store.set(ERROR_KEY, text)
            return False
        store.wait([ERROR_KEY], timedelta(seconds=PATIENCE))
        return store.get(ERROR_KEY).decode() == text
    except RuntimeError:  # rank 0 reported nothing, or has ended
        return False


def tell_launcher(text: str) -> None:
    """Write the cause to the file that torchrun reads for its summary."""
    if path := os.environ.get("TORCHELASTIC_ERROR_FILE"):
        origin = {"py_callstack": text, "timestamp": str(int(time.time()))}
        write_json(Path(path), {"message": {"message": text, "extraInfo": origin}})
