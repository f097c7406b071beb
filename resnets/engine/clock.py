"""Measures the time of a run, and with `--time` the number of steps that fit into it."""

from __future__ import annotations

import time

from resnets.engine.job import Fit
from resnets.engine.resume import Position

# What follows the last validation, on a machine without other load, as measured: the time of drawing and of the report, and
# that of an answer as a multiple of what it took in validation; by whether images go through the network one by one.
DRAWING_SECONDS = {False: 2.5, True: 4.0}
ANSWERS = {False: 2.0, True: 1.1}
MOST_LOAD = 10.0


class Clock:
    """Times a run over all its sessions (it may be resumed), and with `--time` says how many steps the run has.

    Args:
        job: the run.
        at: its position, whose times this class keeps up to date.
    """

    def __init__(self, job: Fit, at: Position) -> None:
        self.job, self.at, self.before = job, at, at.seconds
        self.saved = self.last = time.perf_counter()
        self.epoch_before, self.wait_before = at.epoch_seconds, at.epoch_wait
        self.num_steps, self.step_seconds, self.work = 0, 0.0, 0.0  # work: in units of a step with full-size images
        self.cpu_seconds = self.wait_seconds = 0.0  # of these steps: on a processor, and waiting for images
        self.last_cpu, self.last_wait = time.thread_time(), 0.0
        self.val_seconds: float | None = None
        self.last_epoch = 0.0  # seconds of training in the last whole epoch

    def seconds(self) -> float:
        """Duration of the run so far, over all its sessions, in seconds."""
        return self.before + time.perf_counter() - self.job.began

    def start_epoch(self) -> None:
        self.epoch_began = self.last = time.perf_counter()
        self.last_cpu = time.thread_time()
        self.job.train.data_wait = self.last_wait = 0.0

    def read_epoch(self) -> None:
        self.at.epoch_seconds = self.epoch_before + time.perf_counter() - self.epoch_began
        self.at.epoch_wait = self.wait_before + self.job.train.data_wait

    def stop_epoch(self) -> None:
        self.read_epoch()
        self.last_epoch = self.at.epoch_seconds
        self.epoch_before = self.wait_before = 0.0

    def count_step(self) -> None:
        now, cpu, wait = time.perf_counter(), time.thread_time(), self.job.train.data_wait
        self.num_steps += 1
        if self.num_steps > 3:  # the first steps are slower: caches and allocators are cold
            self.step_seconds += now - self.last
            self.cpu_seconds += cpu - self.last_cpu
            self.wait_seconds += wait - self.last_wait
            self.work += self.job.schedule.share(self.at.step - 1, self.at.total_steps) ** 2
        self.last, self.last_cpu, self.last_wait = now, cpu, wait

    def load(self) -> float:
        """How many times longer work takes here than alone on the machine: the time of the steps over that on a processor."""
        busy = self.step_seconds - self.wait_seconds
        return min(max(1.0, busy / self.cpu_seconds), MOST_LOAD) if self.cpu_seconds else 1.0

    def since_save(self) -> float:
        """Seconds since the state was last saved."""
        return time.perf_counter() - self.saved

    def stamp(self) -> None:
        """Write the durations of the run and of the epoch so far into the position, before it is saved."""
        self.at.seconds = self.seconds()
        self.read_epoch()
        if not self.at.batch:
            self.at.epoch_seconds = self.at.epoch_wait = 0.0

    def fit_steps(self, steps_per_epoch: int) -> int:
        """The total number of steps with which the run ends in time, at the speed measured so far.

        Time for what follows the last step (validation, all answers to it and to the test split, drawing) is subtracted; that
        of drawing grows with what else the machine does. Until validation has been timed, an image in validation is assumed to
        take a third of the time of an image in training.
        """
        if self.num_steps <= 3:
            return max(self.at.total_steps, self.at.step + steps_per_epoch)
        step = self.step_seconds / self.work
        num_val = self.job.val.num_images
        val = self.val_seconds or step / self.job.recipe.batch_size / 3 * num_val
        num_answers = self.job.processes.world * num_val + self.job.num_test  # by the first process alone
        one_by_one = self.job.task.own_size
        after = val + ANSWERS[one_by_one] * val / num_val * num_answers + DRAWING_SECONDS[one_by_one] * self.load()
        left = (self.job.recipe.seconds or 0.0) - self.seconds() - after
        step *= self.job.schedule.cost(self.at.step, self.at.total_steps)
        return self.at.step + max(0, round(left / (step + val / steps_per_epoch)))
