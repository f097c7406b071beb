"""A learning rate from a range test (Smith 2017, arXiv 1506.01186): a short training whose rate rises until the loss does.

The rate that is suggested is a tenth of the one at which the smoothed loss is lowest: there it still falls quickly, and rates
that the test, short as it is, makes look harmless stay away.
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
SECONDS = 60.0  # into which the steps have to fit, down to the fewest
NUM_TIMED = 3  # steps at the lowest rate, by the last of which the rest are timed
LOWEST, HIGHEST = 1e-3, 1e2  # the range, in rates of the recipe
SMOOTHING = 0.9  # weight of the past in the mean of the losses
DIVERGED = 3.0  # times the lowest smoothed loss
BELOW = 10.0  # the suggestion is the rate of the lowest loss divided by this


@dataclass(frozen=True, kw_only=True)
class Sweep(Schedule):
    """A rate that stays at the lowest for `NUM_TIMED` steps, and then rises by the same factor from step to step."""

    length: int = NUM_STEPS

    def learning_rate(self, step: int, total: int) -> float:
        share = max(0, step - NUM_TIMED) / (self.length - 1)
        return self.recipe.lr * LOWEST * (HIGHEST / LOWEST) ** share

    def share(self, step: int, total: int) -> float:
        return 1.0  # pictures have their whole size


@dataclass(frozen=True)
class Found:
    """A range test: rates, smoothed losses, and the rate that they suggest."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggestion: float


def find(job: Fit) -> Found:
    """Test the range about the recipe's rate, draw plots/lr.png, and leave network and data as they were.

    Raises:
        InputError: where the loss falls nowhere.
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
    """Rates and smoothed losses, up to where the loss diverges."""
    testing: Any = copy.copy(job)  # the same network, optimised by another schedule
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
    """What the steps are taken on: epoch after epoch, as often as the data is short."""
    for batch in chain.from_iterable(job.train.epoch(epoch) for epoch in count()):
        if group := usable(job, [batch]):
            yield group


def suggest(rates: Sequence[float], losses: Sequence[float]) -> float:
    """A `BELOW`th of the rate at which the loss is lowest, two digits."""
    lowest = min(range(len(losses)), key=losses.__getitem__) if losses else 0
    if lowest == 0:
        raise InputError(
            "the range test finds no learning rate at which the loss falls; give --lr, or look at the data by "
            "`resnets data preview`"
        )
    return float(f"{rates[lowest] / BELOW:.2g}")
