"""The engine of a Ray cluster: that of RAY_ADDRESS, else one that runs on this machine, else one that is started here.

Items are plain tasks, not a pipeline of Ray Data: an item says which images it is of and its worker writes the result, so that
nothing flows through the cluster which there would be to order or to hold back. What counts is how an item ends when its worker
does, and a task's end says that. Ray itself tries nothing again: it would do so for ever where memory runs out.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Self

from resnets.errors import InputError
from resnets.files import short
from resnets.fleet.engines import RETRIES, Item, Lost, Result, Say, Tell
from resnets.fleet.worker import DONE, REFUSED, Driver, call

MOST_CORES = 8  # of a worker: more than one model and its decoding do not use
STORE_BYTES = 200 << 20  # of the object store of a cluster that is started here; what is sent is small
REACH_SECONDS = 10.0  # in which the address of a cluster has to answer
LISTEN_SECONDS = 0.5
TIMEOUT_SECONDS = 600  # of a group's messages, as in torch's own groups


class Ray:
    """See `Engine`."""

    def __init__(self, num_workers: int | None, gpus: bool, say: Say) -> None:
        for name in ("RAY_USAGE_STATS_ENABLED", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"):  # the second: no warning of CPU workers
            os.environ.setdefault(name, "0")
        try:
            import ray
        except ImportError as error:
            raise InputError(f"ray is not installed: pip install 'resnets[ray]' ({error})") from None
        self.ray, self.asked, self.say, self.want_gpus = ray, num_workers, say, gpus
        self.num_workers, self.cores, self.num_gpus, self.ours = 1, 1, 0, False

    def __enter__(self) -> Self:
        self.ours = not self.ray.is_initialized()
        if self.ours:
            connect(self.ray)
        try:
            nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
            gpus = int(sum(node.get("GPU", 0) for node in nodes)) if self.want_gpus else 0
            self.num_workers, self.num_gpus = self.asked or gpus or len(nodes), int(gpus > 0)
            if self.num_gpus and self.num_workers > gpus:
                raise InputError(
                    f"--num-workers {self.num_workers}: the cluster has {gpus} GPUs, one for each; give fewer, or --device cpu"
                )
            self.cores = share(self.num_workers, [node.get("CPU", 0) for node in nodes])
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        if self.ours:
            self.ray.shutdown()

    # --- many items ---

    def each(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[tuple[Item, Result | Lost]]:
        ray = self.ray
        start = ray.remote(num_cpus=self.cores, num_gpus=self.num_gpus, max_retries=0)(call).remote
        shared, waiting, again = ray.put((Driver(), work)), iter(items), deque[tuple[Item, int]]()
        running: dict[Any, tuple[Item, int]] = {}
        try:
            while True:
                while len(running) < self.num_workers:
                    if not again:
                        again.extend((item, 0) for item in islice(waiting, 1))
                    if not again:
                        break
                    item, tries = again.popleft()
                    running[start(shared, item)] = item, tries
                if not running:
                    return
                (done,), _ = ray.wait(list(running), num_returns=1)
                item, tries = running.pop(done)
                found = self._found(done)
                if isinstance(found, Lost) and tries < RETRIES:
                    self.say(f"lost     {item}: {found.reason}; again, {tries + 1} of {RETRIES}")
                    again.append((item, tries + 1))
                else:
                    yield item, found
        finally:
            for ref in running:
                ray.cancel(ref, force=True)

    def _found(self, ref: Any) -> Any:
        """The result of a task, or `Lost`. Raises what the work raised."""
        try:
            state, value = self.ray.get(ref)
        except (self.ray.exceptions.RayTaskError, self.ray.exceptions.RuntimeEnvSetupError) as error:
            raise refused(error) or error from None
        except self.ray.exceptions.RayError as error:
            return Lost(reason_of(error))
        if state == REFUSED:
            raise InputError(value)
        return value if state == DONE else Lost(value)

    # --- a group ---

    def together(self, work: Callable[[Tell], Result], listen: Tell, folder: Path) -> Result:
        from ray.train import RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer

        board = self.ray.remote(num_cpus=0)(Board).remote()
        resources = {"CPU": self.cores} | ({"GPU": 1} if self.num_gpus else {})
        for tries in range(RETRIES + 1):
            trainer = TorchTrainer(
                partial(member, board, (Driver(), work)),
                torch_config=TorchConfig("cpu:gloo,cuda:nccl" if self.num_gpus else "gloo", timeout_s=TIMEOUT_SECONDS),
                scaling_config=ScalingConfig(
                    num_workers=self.num_workers, use_gpu=bool(self.num_gpus), resources_per_worker=resources
                ),
                run_config=RunConfig(name=f"try{tries}", storage_path=str(folder.absolute())),
            )
            done, error = self._fit(trainer, board, listen)
            if error is None:
                return done
            if text := self.ray.get(board.refusal.remote()):
                raise InputError(text)
            reason = lost_of(error)
            if tries < RETRIES:
                self.say(f"lost     {reason}; all begin again from what was saved last, {tries + 1} of {RETRIES}")
        raise InputError(f"the workers were lost {RETRIES + 1} times, at last so: {reason}; mend that, and go on by --resume")

    def _fit(self, trainer: Any, board: Any, listen: Tell) -> tuple[Any, Exception | None]:
        """What the first process returned, or what ended the group. It is waited for in a thread: in the main one Ray would
        take over Ctrl-C, and end with exit code 0."""
        from ray.train.v2.api.exceptions import TrainingFailedError

        found: list[Any] = []

        def fit() -> None:
            try:
                found[:] = trainer.fit().return_value, None
            except BaseException as error:
                found[:] = None, error

        thread = threading.Thread(target=fit, daemon=True)
        thread.start()
        alive = True
        while alive:  # once more after the end, for what was told last
            thread.join(LISTEN_SECONDS)
            alive = thread.is_alive()
            for name, values in self.ray.get(board.take.remote()):
                listen(name, *values)
        done, error = found
        if not isinstance(error, TrainingFailedError | None):
            raise error
        return done, error


class Board:
    """What processes of a group tell, until it is taken; and why they refuse to work, if they do."""

    def __init__(self) -> None:
        self.told: list[tuple[str, tuple[Any, ...]]] = []
        self.refused = ""

    def tell(self, name: str, values: tuple[Any, ...]) -> None:
        self.told.append((name, values))

    def take(self) -> list[tuple[str, tuple[Any, ...]]]:
        told, self.told = self.told, []
        return told

    def refuse(self, text: str) -> None:
        self.refused = self.refused or text

    def refusal(self) -> str:
        return self.refused


def member(board: Any, shared: tuple[Driver, Callable[[Tell], Any]]) -> Any:
    """What each process of a group does; what the work returns. All that it tells is on the board before it ends."""
    import ray

    last: list[Any] = []

    def tell(name: str, *values: Any) -> None:
        last[:] = [board.tell.remote(name, values)]  # calls of one process arrive in their order

    try:
        state, value = call(shared, tell)
    finally:
        ray.get(last)
    if state != DONE:
        ray.get(board.refuse.remote(value))
        raise RuntimeError(value)  # which ends the others too
    return value


# --- the cluster ---


def connect(ray: Any) -> None:
    """Connect to a cluster, or start one.

    Raises:
        InputError: where there is none at RAY_ADDRESS, or it has another version of Ray or Python.
    """
    address = os.environ.get("RAY_ADDRESS", "")
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if found := re.fullmatch(r"(?:ray://)?\[?([^\]/]+?)\]?:(\d+)", address):
        try:
            socket.create_connection((found[1], int(found[2])), REACH_SECONDS).close()  # Ray itself asks for minutes
        except OSError as error:
            raise no_cluster(address, error) from None
    try:
        if address != "local":
            try:
                ray.init(address=address or "auto", **quiet)
                return
            except ConnectionError as error:
                if address:
                    raise no_cluster(address, error) from None
        ray.init(address="local", include_dashboard=False, object_store_memory=STORE_BYTES, **quiet)
    except InputError:
        raise
    except Exception as error:  # Ray raises a plain one where a cluster does not start in time
        raise InputError(
            f"Ray: {short(error)}; give in RAY_ADDRESS the address of a running cluster, whose Ray and Python are those of "
            "this process"
        ) from error


def no_cluster(address: str, error: Exception) -> InputError:
    return InputError(
        f"no Ray cluster answers at {address} ({short(error)}); start one there by `ray start --head`, correct RAY_ADDRESS, or "
        "unset it to use the cores of this machine"
    )


def share(num_workers: int, cores: Sequence[float]) -> int:
    """The cores that each worker can have, of machines with these. Raises `InputError` where there are not enough."""
    for each in range(MOST_CORES, 0, -1):
        if sum(int(own // each) for own in cores) >= num_workers:
            return each
    raise InputError(
        f"--num-workers {num_workers}: the cluster has {sum(map(int, cores))} cores on {len(cores)} machines now, and each "
        "needs one; give fewer, or add machines first"
    )


# --- errors ---


def refused(error: Exception) -> InputError | None:
    """Where workers cannot load what they are to do, that; else None."""
    if found := re.search(r"No module named '?([\w.]+)", str(error)):
        return InputError(
            f"a worker has no package {found[1]}; install on every machine of the cluster what is installed here, as by one "
            "container image"
        )
    return None


def reason_of(error: Exception) -> str:
    """How a worker was lost, in few words."""
    kinds = {
        "OutOfMemoryError": "its machine ran out of memory; fewer --num-workers or a smaller --batch-size help",
        "WorkerCrashedError": "its worker died",
        "NodeDiedError": "its machine is gone",
        "WorkerHealthCheckFailedError": "its process died, or its machine is gone",  # of a group
    }
    return kinds.get(type(error).__name__, f"{type(error).__name__} ({short(error)})")


def lost_of(error: Any) -> str:
    """Which process of a group ended it, and why: those that only noticed it come last."""
    failures = getattr(error, "worker_failures", None) or {"": error}
    by_cause = sorted(failures.items(), key=lambda item: "another process ended" in str(item[1]))
    rank, first = by_cause[0]
    return f"rank {rank}: {reason_of(first)}" if rank != "" else short(first)
