"""The learning rate schedule: the rate as a pure function of the step, and the length of a run in steps. No torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from resnets.engine.recipe import Recipe

GROWN = 0.65  # fraction of a run after which images have their full size


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The learning rate schedule of a recipe: a warm-up, then "constant", "step", "cosine" or "onecycle" by its `sched`."""

    recipe: Recipe
    steps_per_epoch: int
    grow_from: float = 1.0  # fraction of its side that an input has at first

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
