"""Several processes that train one network: who they are, how they talk, and how they end. `torchrun` starts them.

A run in one process passes through here and nothing happens: `gather` and `first` give back what they were given.
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

from resnets.data.pictures.images import num_processors
from resnets.errors import InputError, Interrupted, ProcessEnded
from resnets.files import write_json
from resnets.models.nn.sync import synchronise

Value = TypeVar("Value")

# A process that dies is noticed at once, by its connections; this is for machines that fall silent.
TIMEOUT = timedelta(minutes=10)
PATIENCE = 3.0  # seconds for the first process to say the same
LOST = ("gloo", "NCCL", "Connection closed", "Connection reset", "Broken pipe")  # in the words of a torn connection
ERROR_KEY = "resnets/error"


@dataclass(frozen=True)
class Processes:
    """This process (`rank`; `local_rank` on its machine) among all (`world`; `local_world` on its machine)."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    local_world: int = 1

    @classmethod
    def from_environment(cls) -> Processes:
        """As torchrun says it, in RANK, WORLD_SIZE, LOCAL_RANK and LOCAL_WORLD_SIZE."""
        world = int(os.environ.get("WORLD_SIZE", "1"))
        if world == 1:
            return cls()
        if not {"RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys():
            raise InputError(f"WORLD_SIZE={world} without RANK and the rest; start by torchrun, or unset WORLD_SIZE")
        local_world = int(os.environ.get("LOCAL_WORLD_SIZE", world))
        return cls(int(os.environ["RANK"]), world, int(os.environ["LOCAL_RANK"]), local_world)

    @property
    def alone(self) -> bool:
        return self.world == 1

    def part(self, num: int) -> slice:
        """Which of `num` things in a row are this process's: all parts together are all, and differ by one at most."""
        return slice(num * self.rank // self.world, num * (self.rank + 1) // self.world)

    def gather(self, value: Value) -> list[Value]:
        """The value of every process, by rank. Of anything that pickles, tensors on the CPU."""
        if self.alone:
            return [value]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value)
        return values

    def gather_numbers(self, numbers: Sequence[int]) -> list[list[int]]:
        """The same of whole numbers, as many everywhere, in one small message."""
        if self.alone:
            return [list(numbers)]
        rows = [torch.empty(len(numbers), dtype=torch.int64) for _ in range(self.world)]
        dist.all_gather(rows, torch.tensor(numbers, dtype=torch.int64))
        return [row.tolist() for row in rows]

    def first(self, make: Callable[[], Value]) -> Value:
        """What `make` gives in the first process, for all of them; its `InputError` too."""
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
        """Let one process of each machine make what the others there will find made."""
        error = None
        if self.local_rank == 0:
            try:
                make()
            except InputError as found:
                error = str(found)
        for text in filter(None, self.gather(error)):
            raise InputError(text)

    def wrap(self, model: nn.Module, nothing: Tensor, *, sync_bn: bool) -> nn.Module:
        """`model`, its gradients the mean over all processes; with `sync_bn` its batch norms are over all, too.

        `nothing` is an input of no picture, where the model is.
        """
        if self.alone:
            return model
        if sync_bn:
            synchronise(model)
        net = nn.parallel.DistributedDataParallel(model, device_ids=[nothing.device] if nothing.is_cuda else None)
        net.broadcast_buffers = False  # at every step; running statistics are the same already, or `share_buffers` sees to it
        # After the first gradient DDP groups them anew, and sums them in another order from then on. That this be before the
        # first step, also of a run that is taken up again, the first gradient is that of no picture.
        net.eval()(nothing).sum().backward()
        net.zero_grad()
        return net.train()

    def share_buffers(self, model: nn.Module) -> None:
        """Give every process the first one's running statistics, which are kept; without `sync_bn` each has its own."""
        for buffer in model.buffers() if not self.alone else ():
            dist.broadcast(buffer, 0)


ALONE = Processes()


@contextmanager
def joined() -> Iterator[Processes]:
    """Inside, the processes that torchrun started can talk; outside of torchrun there is one, which needs not.

    Raises:
        ProcessEnded: where the reason lies in another process, or the first one has given it already.
    """
    processes = Processes.from_environment()
    if processes.alone:
        yield processes
        return
    share_cores(processes)
    store, *_ = next(dist.rendezvous("env://", timeout=TIMEOUT))
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
        store=store,
        rank=processes.rank,
        world_size=processes.world,
        timeout=TIMEOUT,
    )
    try:
        yield processes
    except Interrupted:
        dist.destroy_process_group()
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
            f"rank {processes.rank}: another process ended; its own words, or torchrun's summary below, say which and why"
        ) from None
    else:
        dist.destroy_process_group()


def share_cores(processes: Processes) -> None:
    """An even part of the machine's cores, where nobody else said how many: torchrun then says one thread."""
    launcher = Path(f"/proc/{os.getppid()}/environ")
    asked = launcher.exists() and b"OMP_NUM_THREADS=" in launcher.read_bytes()
    if os.environ.get("OMP_NUM_THREADS", "1") == "1" and not asked:
        torch.set_num_threads(max(1, num_processors() // processes.local_world))


def said(processes: Processes, store: dist.Store, text: str) -> bool:
    """Whether the first process says so for all. What each of them meets, such as a wrong path, is said once."""
    try:
        if processes.rank == 0:
            store.set(ERROR_KEY, text)
            return False
        store.wait([ERROR_KEY], timedelta(seconds=PATIENCE))
        return store.get(ERROR_KEY).decode() == text
    except RuntimeError:  # it has nothing to say, or is gone
        return False


def tell_launcher(text: str) -> None:
    """Leave the reason where torchrun looks for it."""
    if path := os.environ.get("TORCHELASTIC_ERROR_FILE"):
        origin = {"py_callstack": text, "timestamp": str(int(time.time()))}
        write_json(Path(path), {"message": {"message": text, "extraInfo": origin}})
