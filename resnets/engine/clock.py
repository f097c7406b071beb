"""The time a run takes, and what of it is left."""

from __future__ import annotations

import time

from resnets.engine.job import Fit
from resnets.engine.resume import Position

DRAWING_SECONDS = 2.5


class Clock:
    """Time over all sessions of a run; and with `--time`, the number of steps that it leaves."""

    def __init__(self, job: Fit, at: Position) -> None:
        self.job, self.at, self.before = job, at, at.seconds
        self.saved = self.last = time.perf_counter()
        self.epoch_before, self.wait_before = at.epoch_seconds, at.epoch_wait
        self.num_steps, self.step_seconds, self.work = 0, 0.0, 0.0  # work: in steps with pictures of their whole size
        self.val_seconds: float | None = None

    def seconds(self) -> float:
        """Of the run so far, in all its sessions."""
        return self.before + time.perf_counter() - self.job.began

    def start_epoch(self) -> None:
        self.epoch_began = self.last = time.perf_counter()
        self.job.train.data_wait = 0.0

    def read_epoch(self) -> None:
        self.at.epoch_seconds = self.epoch_before + time.perf_counter() - self.epoch_began
        self.at.epoch_wait = self.wait_before + self.job.train.data_wait

    def stop_epoch(self) -> None:
        self.read_epoch()
        self.epoch_before = self.wait_before = 0.0

    def count_step(self) -> None:
        now = time.perf_counter()
        self.num_steps += 1
        if self.num_steps > 3:  # the first ones warm up caches and allocators
            self.step_seconds += now - self.last
            self.work += self.job.schedule.share(self.at.step - 1, self.at.total_steps) ** 2
        self.last = now

    def since_save(self) -> float:
        return time.perf_counter() - self.saved

    def stamp(self) -> None:
        """Note in the position how long run and epoch took so far, for its being saved."""
        self.at.seconds = self.seconds()
        self.read_epoch()
        if not self.at.batch:
            self.at.epoch_seconds = self.at.epoch_wait = 0.0

    def fit_steps(self, steps_per_epoch: int) -> int:
        """The steps of a run that shall end when its time does, at the speed measured so far.

        What comes after the last step (validation, the test split, drawing) is set aside. Until validation has been timed, a
        picture of it is taken to cost a third of a training picture.
        """
        if self.num_steps <= 3:
            return max(self.at.total_steps, self.at.step + steps_per_epoch)
        step = self.step_seconds / self.work
        num_val = self.job.val.num_images
        val = self.val_seconds or step / self.job.recipe.batch_size / 3 * num_val
        after = val + 2 * val / num_val * self.job.num_test + DRAWING_SECONDS
        left = (self.job.recipe.seconds or 0.0) - self.seconds() - after
        step *= self.job.schedule.cost(self.at.step, self.at.total_steps)
        return self.at.step + max(0, round(left / (step + val / steps_per_epoch)))
