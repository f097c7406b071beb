"""Assembly: settings -> data, model, loaders, run directory -> `fit` -> the score on the test split -> the report."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from resnets import evaluate, hub, report, tasks, weights, zoo
from resnets import plots as drawing
from resnets.data import sources
from resnets.data.loaders import BadImages, Loader, default_workers, statistics
from resnets.data.sources import Source
from resnets.data.transforms import Augment
from resnets.engine import device as devices
from resnets.engine import recipes
from resnets.engine.device import Device
from resnets.engine.loop import Fit, Reporter, fit
from resnets.engine.recipe import FIELDS, Recipe, check_names, parse, read_file, resolve
from resnets.engine.recipes import Facts
from resnets.files import write_text
from resnets.model import Model
from resnets.run import RunDir, now, provenance
from resnets.spec import IMAGENET_MEAN, IMAGENET_STD, InputError, Preprocess, ResNetSpec


class Silent:
    """A reporter that says nothing."""

    def say(self, text: str) -> None: ...

    def step(self, *of: Any) -> None: ...

    def epoch(self, *of: Any) -> None: ...


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run: its folder, the model whose weights were selected, and the result {"split", "top1", ...}."""

    path: Path
    model: Model
    result: dict[str, Any]


def train(
    data: str | None = None,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    data_dir: str | Path | None = None,
    began: float | None = None,
    reporter: Reporter | None = None,
    **settings: Any,
) -> Run:
    """Train a network and keep what belongs to it in a run directory. `resnets train` is this function.

    Args:
        data: a known set ("digits", "cifar10", "cifar100") or a path whose layout is recognised.
        out: the run directory, new or empty; None: the next free runs/<task>/trainN.
        resume: go on with the run in `out` (None: the newest). Settings that are given must be those of the run.
        data_dir: where known sets lie.
        began: `time.perf_counter()` at which the clock of `time="10m"` starts; None: now.
        reporter: who is told of progress; None: nobody.
        settings: any field of `Recipe`: model, epochs, steps, time, lr, batch_size, seed, ...

    Raises:
        InputError: for unknown settings, data that cannot be learnt from, and runs that fail for a reason the user can mend.
        resnets.engine.loop.Interrupted: after Ctrl-C or SIGTERM; the state is saved.
    """
    began = time.perf_counter() if began is None else began
    reporter = reporter or Silent()
    given = {name: value for name, value in ({"data": data} | settings).items() if value is not None}
    check_names(given, "settings")
    if resume:
        run = RunDir(out) if out is not None else RunDir.latest(str(given.get("task", "classify")))
        recipe, origins = continued(run, given)
    else:
        run, recipe, origins = None, None, {}

    layers = {"flag": given} if recipe is None else {run.recipe.name: dataclasses.asdict(recipe)}  # type: ignore[union-attr]
    asked = parse_layer(next(iter(layers.values())))
    source = sources.open_source(asked.get("data", "digits"), data_dir=data_dir, in_chans=asked.get("in_chans"))
    return Run(Path(), None, {})  # type: ignore[arg-type]
