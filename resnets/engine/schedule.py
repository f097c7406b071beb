"""The learning rate schedule: the rate as a pure function of the step, and the length of a run in steps. No torch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from resnets.engine.recipe import Recipe

GROWN = 0.65  # fraction of a run after which images have their full size
LOWER = 1e-4  # by which a training loss has to be lower to count


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The learning rate schedule of a recipe: a warm-up, then by its `sched` "constant", "step", "cosine", "onecycle" or
    "plateau".

    `losses` are the training losses of the epochs so far, by which "plateau" goes: it multiplies the rate by `gamma` after
    `plateau_epochs` without a loss that is lower by `LOWER`, and so on (Keras' ReduceLROnPlateau).
    """

    recipe: Recipe
    steps_per_epoch: int
    grow_from: float = 1.0  # fraction of its side that an input has at first
    losses: tuple[float, ...] = ()

    def after(self, losses: Iterable[float]) -> Self:
        """The schedule once these are known."""
        return dataclasses.replace(self, losses=tuple(losses)) if self.recipe.sched == "plateau" else self

    @cached_property
    def num_plateaus(self) -> int:
        """How often the rate was multiplied."""
        best, waited, num = math.inf, 0, 0
        for loss in self.losses:
            if loss < best - LOWER:
                best, waited = loss, 0
                continue
            waited += 1
            if waited == self.recipe.plateau_epochs:
                waited, num = 0, num + 1
        return num

    @property
    def num_steps(self) -> int | None:
        """Optimiser steps of the whole run; None if `--time` decides."""
        if self.recipe.steps is not None:
            return self.recipe.steps
        return None if self.recipe.epochs is None else self.recipe.epochs * self.steps_per_epoch

    def warmup_steps(self, total: int) -> int:
        recipe = self.recipe
        if recipe.warmup_steps is not None:
            return recipe.warmup_steps
        if recipe.warmup_epochs is not None:
            return round(recipe.warmup_epochs * self.steps_per_epoch)
        return total // 4 if recipe.sched == "onecycle" else 0

    def learning_rate(self, step: int, total: int) -> float:
        """The learning rate of step number `step` (from 0) of `total`."""
        recipe, warm = self.recipe, self.warmup_steps(total)
        if step < warm:
            if recipe.warmup == "constant":
                return recipe.warmup_lr
            return recipe.warmup_lr + (recipe.lr - recipe.warmup_lr) * (step + 1) / warm
        if recipe.sched == "step":
            return recipe.lr * recipe.gamma ** sum(step >= share * total for share in recipe.milestones)
        if recipe.sched == "plateau":
            return max(recipe.min_lr, recipe.lr * recipe.gamma**self.num_plateaus)
        left = 1 - (step - warm) / max(1, total - warm)  # from 1 down to almost 0
        factor = {"constant": 1.0, "onecycle": left, "cosine": (1 - math.cos(math.pi * left)) / 2}[recipe.sched]
        return recipe.min_lr + (recipe.lr - recipe.min_lr) * factor

    def share(self, step: int, total: int) -> float:
        """Side of the inputs at step number `step` (from 0) of `total`, as a fraction of the full side, in (0, 1].

        Early epochs at reduced resolution cost less (progressive resizing, arXiv 2104.00298); `grow_from` is the start.
        """
        start = self.grow_from
        return min(1.0, start + (1 - start) * step / (GROWN * max(1, total)))

    def cost(self, step: int, total: int) -> float:
        """Mean cost of the steps from number `step` to the last, relative to a step with images of full size."""
        rest = [self.share(step + round((total - step) * part / 32), total) ** 2 for part in range(32)]
        return sum(rest) / len(rest)
