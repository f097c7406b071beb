"""The learning rate as a pure function of the step, and the length of a run in steps. No torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from resnets.engine.recipe import Recipe

GROWN = 0.65  # share of a run after which pictures have their whole size


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A warm-up, then the course of the recipe, each position counted in optimiser steps."""

    recipe: Recipe
    steps_per_epoch: int
    grow_from: float = 1.0  # fraction of its side that an input has at first

    @property
    def num_steps(self) -> int | None:
        """Steps of the whole run; None where the clock decides."""
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
        """The rate of step number `step` (from 0) of `total`."""
        recipe, warm = self.recipe, self.warmup_steps(total)
        if step < warm:
            if recipe.warmup == "constant":
                return recipe.warmup_lr
            return recipe.warmup_lr + (recipe.lr - recipe.warmup_lr) * (step + 1) / warm
        if recipe.sched == "step":
            return recipe.lr * recipe.gamma ** sum(step >= share * total for share in recipe.milestones)
        left = 1 - (step - warm) / max(1, total - warm)  # from 1 to almost 0
        course = {"constant": 1.0, "onecycle": left, "cosine": (1 - math.cos(math.pi * left)) / 2}[recipe.sched]
        return recipe.min_lr + (recipe.lr - recipe.min_lr) * course

    def share(self, step: int, total: int) -> float:
        """How much of its side an input has at step number `step` (from 0) of `total`: small ones cost less, and will do for
        the beginning (arXiv 2104.00298)."""
        start = self.grow_from
        return min(1.0, start + (1 - start) * step / (GROWN * max(1, total)))

    def cost(self, step: int, total: int) -> float:
        """The mean cost of the steps from number `step` to the last, in steps with pictures of their whole size."""
        rest = [self.share(step + round((total - step) * part / 32), total) ** 2 for part in range(32)]
        return sum(rest) / len(rest)
