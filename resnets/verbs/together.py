"""`resnets train` by an engine: one run in several processes of a cluster, in the run directory that all of them see. Where one
is lost all begin again from the state that was saved last, and so end with the bits of a run that lost none.
"""

from __future__ import annotations

import shlex
import shutil
import signal
from functools import partial
from pathlib import Path
from typing import Any

from resnets.data.readers import memory
from resnets.engine.job import Reporter
from resnets.engine.run import RunDir, claiming
from resnets.errors import InputError, Interrupted
from resnets.fleet.engines import Tell
from resnets.fleet.engines import engine as opened
from resnets.ship import external, hub
from resnets.verbs import train as training
from resnets.verbs.watching import Silent

TOLD = ("say", "step", "epoch")  # what a reporter is told


class Telling:
    """A `Reporter` that passes on what it is told."""

    def __init__(self, tell: Tell) -> None:
        self.say, self.step, self.epoch = (partial(tell, name) for name in TOLD)


def train(
    data: Any = None,
    *,
    engine: str,
    num_workers: int | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    data_dir: str | Path | None = None,
    reporter: Reporter | None = None,
    **settings: Any,
) -> training.Run:
    """Train a network in `num_workers` processes; the other arguments are those of `train.train`.

    Raises:
        InputError: as `train.train` and the engine; for data and networks in memory.
        resnets.errors.Interrupted: after Ctrl-C; what was saved last is there.
    """
    check_names(data, settings)
    reporter = reporter or Silent()
    with claiming():  # the first process claims it for itself
        run, _, task = training.layers_of(data, settings, out, resume=resume)
        run = run or RunDir.create(out, task.name)
    path = run.path.absolute()
    work = partial(process, data, str(path), resume, data_dir, settings)
    records = path.with_name(f".{path.name}.{engine}")
    try:
        with opened(engine, num_workers=num_workers, device=settings.get("device"), say=reporter.say) as working:
            result = working.together(work, partial(told, reporter), records)
    except KeyboardInterrupt:
        again = f"resnets train --resume --engine {engine} --out {shlex.quote(str(run.path))}"
        text = f"stopped; what was saved last is kept; to go on, with as many workers: {again}"
        raise Interrupted(signal.SIGINT, run.path, text) from None
    finally:
        shutil.rmtree(records, ignore_errors=True)
    return training.Run(run.path, hub.load(run.path), result)


def process(
    data: Any, out: str, resume: bool, data_dir: str | Path | None, settings: dict[str, Any], tell: Tell
) -> dict[str, Any]:
    """What each process of the group does; the score of the run. No process writes to it before all have come here."""
    begun = RunDir(out).recipe.is_file()
    if begun and not resume:  # the group begins again; the run itself says with which data and settings
        data, settings = None, {}
    return training.train(data, out=out, resume=begun or resume, data_dir=data_dir, reporter=Telling(tell), **settings).result


def told(reporter: Reporter, name: str, *values: Any) -> None:
    assert name in TOLD, name
    getattr(reporter, name)(*values)


def check_names(data: Any, settings: dict[str, Any]) -> None:
    """Raise `InputError` for data or a network in memory: workers open theirs by a name or a path."""
    if memory.in_memory(data) or external.own(settings)[1] is not None:
        raise InputError("data and networks in memory are not sent to workers; give the data's path and the network's name")
