"""What a training works with: `Fit`, and who watches it: `Reporter`."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from resnets.data.loader import Loader
from resnets.data.machine import keep_memory
from resnets.data.workers import BadImages
from resnets.engine import freeze
from resnets.engine.contract import Meter, Task
from resnets.engine.device import Device
from resnets.engine.distributed import ALONE, Processes
from resnets.engine.orders import Orders
from resnets.engine.recipe import Recipe
from resnets.engine.resume import Position
from resnets.engine.run import Row, RunDir
from resnets.engine.schedule import Schedule
from resnets.engine.threads import Adapting
from resnets.engine.values import Criterion
from resnets.engine.whitening import whiten
from resnets.files import write_text
from resnets.models.model import Model
from resnets.models.nn import fused


class Reporter(Protocol):
    """Who watches a run."""

    def say(self, text: str) -> None: ...

    def step(self, at: Position, steps_per_epoch: int, loss: float) -> None: ...

    def epoch(self, row: Row, at: Position, seconds: float) -> None:
        """An epoch has ended, whose training took so many seconds."""
        ...


@dataclass(kw_only=True)
class Fit:
    """Everything that `fit` works with.

    `load` opens the weights that the run saves; `began`: `time.perf_counter()` when the command began, for `--time`.
    """

    task: Task
    model: Model
    load: Callable[[Path], Model]
    train: Loader
    val: Loader
    recipe: Recipe
    device: Device
    run: RunDir
    bad: BadImages
    report: Reporter
    class_counts: np.ndarray
    num_test: int = 0
    began: float = field(default_factory=time.perf_counter)
    processes: Processes = ALONE
    threads: Adapting = field(default_factory=Adapting)

    def __post_init__(self) -> None:
        if self.recipe.stem_init == "whitening" and not self.recipe.weights:  # before all processes take the first one's
            whiten(self.model, self.train.epoch(0))
        self.model.to(self.device.torch_device)
        if self.device.channels_last and (order := fused.LAYOUTS.get(self.model.spec.dims + 2)):
            self.model.to(memory_format=order)
        self.model.checkpoint_activations = self.recipe.checkpoint_activations
        fused.enable(self.model, self.device.fused)
        if self.device.allocator == "keep":
            keep_memory()
        self.net: Any = None
        self.num_frozen = -1
        self.begin(0)
        self.criterion = self.task.criterion(self.recipe, self.class_counts)
        self.plain: Criterion = self.task.criterion(self.recipe.plain(), self.class_counts)  # of validation
        steps_per_epoch = math.ceil(len(self.train) / self.recipe.accumulate)
        grow_from = self.train.samples.grow_from
        self.schedule = Schedule(recipe=self.recipe, steps_per_epoch=steps_per_epoch, grow_from=grow_from)
        self.orders = Orders()

    def meter(self) -> Meter:
        """A new quick meter, for training or validation."""
        return self.task.meter(self.model.labels, self.model.head_config, quick=self.plain)

    def adapt(self) -> None:
        """Between two epochs: as many threads as the machine has free now. A resumed run begins with the last number."""
        if (changed := self.threads.after_epoch()) is None:
            return
        num, others = changed
        self.recipe = dataclasses.replace(self.recipe, threads=num)
        write_text(self.run.recipe, self.recipe.to_yaml())
        taken = f"other programs use {others:.1f} of {self.threads.most} processors"
        self.report.say(f"threads  {num} from here on: {taken}; --threads N keeps N")

    def begin(self, epoch: int) -> None:
        """Put the network into training as it is in `epoch`.

        Where that lets other parts learn than before, `net` is made anew: processes exchange the gradients of what had any when
        they were joined.
        """
        before, self.num_frozen = self.num_frozen, freeze.num_frozen(self.recipe, freeze.num_stages(self.model), epoch)
        freeze.set_training(self.model, self.recipe, epoch)
        if self.net is None or (before != self.num_frozen and not self.processes.alone):
            nothing = torch.empty(0, self.model.spec.in_chans, *self.train.samples.size, device=self.device.torch_device)
            net = self.processes.wrap(self.model, nothing, sync_bn=self.recipe.sync_bn)
            self.net = torch.compile(net) if self.device.compile else net
            freeze.set_training(self.model, self.recipe, epoch)
