"""The trainings that items need. The folder of a training follows from its settings, so items share trainings. No torch.

`carry_out` runs what is not finished, each training as a process of `resnets train`, so that its record has a command that a
user can repeat. Finished trainings are not run again, interrupted ones are resumed.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from resnets import tasks
from resnets.engine.orders import stop_signals
from resnets.engine.run import RunDir
from resnets.engine.settings import parse, read_file, show
from resnets.errors import InputError, Interrupted
from resnets.models import zoo
from resnets.models.spec import ResNetSpec
from resnets.paper import protocol
from resnets.paper.scales import Scale

PROGRAM = (sys.executable, "-m", "resnets")
BATCH_SIZE, LARGE_BATCH_SIZE = 128, 256  # of the recipe he2015
Say = Callable[[str], None]

SCHEMA = tasks.settings(tasks.DEFAULT)


@dataclass(frozen=True, kw_only=True)
class Training:
    """One run: a network with `changes` to its spec, trained on `data` at a scale from a seed.

    Args:
        network: a name in the zoo, or another library's network ("torchvision/NAME", "timm/NAME").
        large: whether it is an ImageNet network on a folder of images.
        own: settings in which an item deviates from the protocol.
        purpose: part of the folder's name, for runs with such settings.
        num_macs: multiply-adds per image of another library's network; 0: unknown.
    """

    network: str
    data: str
    scale: Scale
    seed: int
    changes: tuple[tuple[str, Any], ...] = ()
    large: bool = False
    own: tuple[tuple[str, Any], ...] = ()
    purpose: str = ""
    num_macs: int = 0

    @property
    def label(self) -> str:
        """The network's name with its changes: "resnet32_cifar,shortcut=B"."""
        return label(self.network, self.changes)

    @cached_property
    def spec(self) -> ResNetSpec | None:
        """The network's spec; None for another library's network."""
        return None if "/" in self.network else zoo.get(self.network, **dict(self.changes))

    @property
    def settings(self) -> dict[str, Any]:
        """All settings of the run, by name: the arguments of `resnets.train`."""
        num_layers = 0 if self.spec is None else self.spec.num_layers
        chosen = protocol.settings(self.scale, num_layers, data=self.data, seed=self.seed, large=self.large)
        return {**chosen, "model": self.network, **dict(self.changes), **dict(self.own)}

    @property
    def cost(self) -> float:
        """Multiply-adds of the whole training; a step costs three forward passes."""
        settings = self.settings
        macs = self.num_macs if self.spec is None else self.spec.num_macs(settings["img_size"])
        return 3.0 * settings["steps"] * (LARGE_BATCH_SIZE if self.large else BATCH_SIZE) * macs

    def folder(self, out: Path) -> Path:
        """The run directory: out/runs/small/resnet20_cifar/seed0."""
        name = ",".join([self.label.replace("=", "_").replace("/", "_"), *filter(None, [self.purpose])])
        return out / "runs" / scale_folder(self.scale.name, self.data) / name / f"seed{self.seed}"


def label(network: str, changes: Sequence[tuple[str, Any]]) -> str:
    """A network's name with changes to its spec: "resnet32_cifar,shortcut=B"."""
    words = (f"{name}={'.'.join(map(str, value)) if isinstance(value, tuple) else value}" for name, value in changes)
    return ",".join((network, *words))


def scale_folder(scale: str, data: str) -> str:
    """The name of the folder for a scale and data: "small" on CIFAR-10, "small-digits"; for a path with part of its hash."""
    if data == "cifar10":
        return scale
    if not protocol.is_large(data):
        return f"{scale}-{data}"
    name = re.sub(r"[^\w-]+", "_", Path(data).stem)[:40]
    return f"{scale}-{name}-{hashlib.sha256(os.fsencode(Path(data).resolve())).hexdigest()[:8]}"


def is_finished(folder: Path) -> bool:
    """Whether the run is trained and evaluated."""
    run = RunDir(folder)
    return run.evaluation.is_file() and "result" in run.read_provenance()


def check_same(training: Training, folder: Path) -> None:
    """Raise `InputError` where the run in `folder` was made with other settings than `training` has."""
    run = RunDir(folder)
    if not run.recipe.is_file():
        return
    before = read_file(run.recipe)
    changed = [
        f"{name} was {show(parse(SCHEMA, name, before.get(name)))}, not {show(parse(SCHEMA, name, value))}"
        for name, value in training.settings.items()
        if name not in ("recipe", "stall_epochs", "data")
        and parse(SCHEMA, name, value) != parse(SCHEMA, name, before.get(name))
    ]
    if changed:
        raise InputError(f"{folder}: {'; '.join(changed)}; move that run away, or choose another --out")


def command(training: Training, folder: Path, *, data_dir: str | None, device: str) -> list[str]:
    """The arguments of `resnets` that start the run, or resume it."""
    where = ["--out", str(folder)] + (["--data-dir", data_dir] if data_dir else [])
    if RunDir(folder).recipe.is_file():
        return ["train", "--resume", *where]
    settings = {name: value for name, value in training.settings.items() if name != "data"}
    if device != "auto":
        settings["device"] = device
    flags = [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", show(value))]
    return ["train", training.data, *flags, *where]


@dataclass
class Worker:
    """A training that runs in a process of its own."""

    training: Training
    folder: Path
    process: subprocess.Popen[bytes]
    began: float = field(default_factory=time.perf_counter)

    @property
    def log(self) -> Path:
        return log_of(self.folder)


def log_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.log")


def carry_out(
    trainings: Sequence[Training],
    out: Path,
    *,
    jobs: int = 1,
    data_dir: str | None = None,
    device: str = "auto",
    say: Say,
    program: Sequence[str] = PROGRAM,
    pause: float = 0.2,
) -> dict[Training, Path]:
    """Run the trainings that are not finished.

    Args:
        trainings: in this order.
        out: the folder of all runs.
        jobs: number of trainings at the same time; with more than one, each has one thread.
        data_dir, device: as `resnets.train` takes them.
        say: called with a line of progress.
        program: the command before the arguments of `resnets`.
        pause: seconds between looks at the processes.

    Returns:
        The run directory of each training.

    Raises:
        InputError: if a run fails for a reason that the user can correct, or another process trains in its folder.
        RuntimeError: if a run fails for another reason; its log says which.
        Interrupted: after Ctrl-C or SIGTERM, when all runs have saved their state.
    """
    folders = {training: training.folder(out) for training in trainings}
    for training, folder in folders.items():
        check_same(training, folder)
    todo = [training for training, folder in folders.items() if not is_finished(folder)]
    if len(folders) > len(todo):
        say(f"{len(folders) - len(todo)} of {len(folders)} runs are finished already")
    remaining = Remaining(sum(training.cost for training in todo), jobs)
    workers: list[Worker] = []
    with stop_signals() as noted, stopping(workers):
        while todo or workers:
            while todo and len(workers) < jobs:
                training = todo.pop(0)
                words = command(training, folders[training], data_dir=data_dir, device=device)
                workers.append(begin(training, folders[training], [*program, *words], alone=jobs == 1))
            time.sleep(pause)
            if noted:
                stop(workers, noted[0])
                raise Interrupted(noted[0], out, "stopped, and saved; to go on: the same command again")
            for worker in [worker for worker in workers if worker.process.poll() is not None]:
                workers.remove(worker)
                check_ended(worker)
                remaining.note(worker)
                number = len(folders) - len(todo) - len(workers)
                say(f"[{number}/{len(folders)}] {told(worker)}; {remaining.words() if todo or workers else 'all done'}")
    return folders


class Remaining:
    """The remaining time, estimated from the speed of the runs that are done."""

    def __init__(self, cost: float, jobs: int) -> None:
        self.cost, self.jobs, self.done, self.seconds = cost, jobs, 0.0, 0.0

    def note(self, worker: Worker) -> None:
        self.cost -= worker.training.cost
        self.done += worker.training.cost
        self.seconds += time.perf_counter() - worker.began

    def words(self) -> str:
        return f"about {minutes(self.cost * self.seconds / self.done / self.jobs)} left"


def minutes(seconds: float) -> str:
    """A duration, rounded: "40 s", "12 min", "3.5 h"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def told(worker: Worker) -> str:
    """The network, the seed, the error and the duration of a finished run, in words."""
    result = RunDir(worker.folder).read_provenance()["result"]
    error = f"{result['split']} error {100 * (1 - result['top1']):.2f} %"
    return f"{worker.training.label} seed {worker.training.seed}: {error}, {minutes(time.perf_counter() - worker.began)}"


def begin(training: Training, folder: Path, words: Sequence[str], *, alone: bool) -> Worker:
    """Start a run; its output goes to a log beside its folder. `alone`: whether it may use more than one thread."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.is_dir() and not RunDir(folder).recipe.is_file():
        RunDir(folder).remove_halves()  # of a run that was killed at its start
    environment = dict(os.environ) | ({} if alone else {"OMP_NUM_THREADS": "1"})
    with locked(log_of(folder)) as log:
        log.write(f"$ {shlex.join(['resnets', *words[len(words) - words[::-1].index('train') - 1 :]])}\n".encode())
        log.flush()
        # In a new session, so that Ctrl-C reaches this process only, which passes it on once.
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
    return Worker(training, folder, process)


@contextmanager
def locked(path: Path) -> Iterator[IO[bytes]]:
    """The log, open for appending and locked. The lock stays with the process that inherits the file until that ends, whoever
    started it: two processes must not train in one folder.

    Raises:
        InputError: if another process has the lock.
    """
    import fcntl

    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(
                f"{path.with_suffix('')}: another process is training there; wait for it, or choose another --out"
            ) from None
        yield file


def check_ended(worker: Worker) -> None:
    """Raise `InputError` or `RuntimeError` if a run failed; see `carry_out`."""
    code = worker.process.returncode
    if code == 0 and is_finished(worker.folder):
        return
    said = [line.strip() for line in worker.log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    last = said[-1].removeprefix("error: ") if said else "without a message"
    if code < 0:
        name = signal.Signals(-code).name
        raise InputError(
            f"{worker.folder}: was killed by {name} (out of memory?); the same command resumes it; log: {worker.log}"
        )
    if code in (2, 130, 143):
        raise InputError(f"{worker.folder}: {last}")
    raise RuntimeError(f"{worker.folder}: ended with {code}: {last}; log: {worker.log}")


@contextmanager
def stopping(workers: list[Worker]) -> Iterator[None]:
    """Context manager: at its end, all runs are stopped, and each has saved its state."""
    try:
        yield
    finally:
        stop(workers, signal.SIGTERM)


def stop(workers: list[Worker], number: int) -> None:
    """Send the signal `number` to all runs, on which they save their state and end, and wait for that."""
    for worker in workers:
        if worker.process.poll() is None:
            with suppress(ProcessLookupError):
                worker.process.send_signal(number)
    for worker in workers:
        worker.process.wait()
    workers.clear()
