"""Learning rate range test (Smith 2017, arXiv 1506.01186): short training with a rising learning rate until the loss diverges.

The suggested rate is a tenth of the rate at which the smoothed loss is lowest. There the loss still falls quickly, and the
margin allows for rates that look stable in so short a test.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from dataclasses import dataclass
from itertools import chain, count
from typing import TYPE_CHECKING, Any

from resnets.draw import curves
from resnets.engine.job import Fit
from resnets.engine.loop import start, take_step, usable
from resnets.engine.orders import Orders
from resnets.engine.schedule import Schedule
from resnets.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NUM_STEPS, FEWEST = 100, 20
SECONDS = 60.0  # limit of the test's duration; slow steps reduce their number to `FEWEST` at least
NUM_TIMED = 3  # steps at the lowest rate; the last of them is timed, to choose the number of steps
LOWEST, HIGHEST = 1e-3, 1e2  # the range, as multiples of the recipe's rate
SMOOTHING = 0.9  # of the exponential moving average of the losses
DIVERGED = 3.0  # the test ends where the smoothed loss exceeds its minimum by this factor
BELOW = 10.0  # the rate of the lowest loss is divided by this


@dataclass(frozen=True, kw_only=True)
class Sweep(Schedule):
    """A learning rate that is the lowest for `NUM_TIMED` steps, and then rises exponentially to the highest."""

    length: int = NUM_STEPS

    def learning_rate(self, step: int, total: int) -> float:
        share = max(0, step - NUM_TIMED) / (self.length - 1)
        return self.recipe.lr * LOWEST * (HIGHEST / LOWEST) ** share

    def share(self, step: int, total: int) -> float:
        return 1.0  # images of full size


@dataclass(frozen=True)
class Found:
    """The result of a range test: learning rates, the smoothed loss at each, and the suggested rate."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggestion: float


def find(job: Fit) -> Found:
    """Run the range test around the recipe's rate and draw plots/lr.png. The network and the data are not changed.

    Raises:
        InputError: if the loss does not fall at any rate.
    """
    before = {name: tensor.detach().clone() for name, tensor in job.model.state_dict().items()}
    try:
        rates, losses = sweep(job)
    finally:
        job.model.load_state_dict(before)
    found = Found(tuple(rates), tuple(losses), suggest(rates, losses))
    if not job.processes.rank:
        curves.range_test(found.rates, found.losses, found.suggestion, job.run.plots / "lr.png")
    return found


def sweep(job: Fit) -> tuple[list[float], list[float]]:
    """Learning rates and smoothed losses, up to where the loss diverges."""
    testing: Any = copy.copy(job)  # the same network, with another schedule and optimiser
    testing.recipe, testing.orders = dataclasses.replace(job.recipe, ema=None), Orders()
    testing.schedule = Sweep(recipe=testing.recipe, steps_per_epoch=job.schedule.steps_per_epoch)
    testing.begin(0)
    state = start(testing)
    rates: list[float] = []
    losses: list[float] = []
    mean, began = 0.0, time.perf_counter()
    for group in batches(testing):
        at, began = state.at.step, time.perf_counter() if state.at.step < NUM_TIMED else began
        loss = sum(job.processes.gather(float(take_step(testing, state, group))))
        if at + 1 == NUM_TIMED:
            seconds = max(job.processes.gather(time.perf_counter() - began))
            length = max(FEWEST, min(NUM_STEPS, int(SECONDS / seconds)))
            testing.schedule = dataclasses.replace(testing.schedule, length=length)
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        smoothed = mean / (1 - SMOOTHING ** (at + 1))
        if not math.isfinite(loss) or (losses and smoothed > DIVERGED * min(losses)):
            break
        if at >= NUM_TIMED:
            rates.append(testing.schedule.learning_rate(at, 0))
            losses.append(smoothed)
        if len(losses) == testing.schedule.length:
            break
    return rates, losses


def batches(job: Fit) -> Iterator[list[Any]]:
    """The batches of the test, over as many epochs as needed."""
    for batch in chain.from_iterable(job.train.epoch(epoch) for epoch in count()):
        if group := usable(job, [batch]):
            yield group


def suggest(rates: Sequence[float], losses: Sequence[float]) -> float:
    """The rate at which the loss is lowest, divided by `BELOW`, with two significant digits. Raises as `find`."""
    lowest = min(range(len(losses)), key=losses.__getitem__) if losses else 0
    if lowest == 0:
        raise InputError(
            "the range test finds no learning rate at which the loss falls; give --lr, or check the data by "
            "`resnets data preview`"
        )
    return float(f"{rates[lowest] / BELOW:.2g}")
