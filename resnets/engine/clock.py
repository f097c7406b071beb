"""Measures the time of a run, and with `--time` the number of steps that fit into it."""

from __future__ import annotations

import math
import time

from resnets.engine.job import Fit
from resnets.engine.resume import Position

# What follows the last validation, on a machine without other load, as measured: the time of drawing and of the report, and
# that of an answer as a multiple of what it took in validation; by whether images go through the network one by one.
DRAWING_SECONDS = {False: 2.5, True: 4.0}
ANSWERS = {False: 2.0, True: 1.1}
MOST_LOAD = 10.0
COLD = 1  # steps before those that are timed: caches and allocators are cold
TRAINING = 0.25  # of the time that training has at least, but for one epoch, however long all else takes
WORTH = 0.25  # of the time of a validation that the steps before it must take, to be worth it


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
        self.wait_seconds = 0.0  # of these steps, for images
        self.busy_seconds = self.cpu_seconds = 0.0  # of all that was timed: not waiting for images; of it, on a processor
        self.last_cpu, self.last_wait = time.thread_time(), 0.0
        self.val_seconds: float | None = None  # of a validation: the last one, before it what its first images say
        self.doubted = False  # whether it is known if the time is enough
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
        if self.num_steps > COLD:
            self.step_seconds += now - self.last
            self.wait_seconds += wait - self.last_wait
            self.add_work(now - self.last - (wait - self.last_wait), cpu - self.last_cpu)
            self.work += self.job.schedule.share(self.at.step - 1, self.at.total_steps) ** 2
        self.last, self.last_cpu, self.last_wait = now, cpu, wait

    def add_work(self, busy: float, cpu: float) -> None:
        """Count work that took so many seconds, of which so many on a processor."""
        self.busy_seconds, self.cpu_seconds = self.busy_seconds + busy, self.cpu_seconds + cpu

    def load(self) -> float:
        """How many times longer work takes here than alone on the machine: its time over that on a processor."""
        return min(max(1.0, self.busy_seconds / self.cpu_seconds), MOST_LOAD) if self.cpu_seconds else 1.0

    def since_save(self) -> float:
        """Seconds since the state was last saved."""
        return time.perf_counter() - self.saved

    def stamp(self) -> None:
        """Write the durations of the run and of the epoch so far into the position, before it is saved."""
        self.at.seconds = self.seconds()
        self.read_epoch()
        if not self.at.batch:
            self.at.epoch_seconds = self.at.epoch_wait = 0.0

    def fit_steps(self, steps_per_epoch: int, *, validated: bool = False) -> int:
        """The total number of steps with which the run ends in time, at the speed measured so far.

        Time for the validations on the way and for what follows the last step (`after`) is subtracted. Where too little is
        left, training has `least` all the same: the run then ends late, and has learnt something.

        Args:
            validated: an epoch has just been validated, which is not to be done again if the run ends here.
        """
        at, asked = self.at, self.job.recipe.seconds or 0.0
        val = self.validation()
        left = asked - self.seconds() - self.after() + val * validated
        if not self.work:
            ends = left <= 0 and self.last - self.epoch_began >= TRAINING * asked  # a first step that was most of the time
            return at.step if ends else max(at.total_steps, at.step + steps_per_epoch)
        step, least = self.step(), round(self.least() / self.step()) - at.step
        step *= self.job.schedule.cost(at.step, at.total_steps)
        return at.step + max(0, least, num_fitting(left, step, val, steps_per_epoch - at.batch, steps_per_epoch))

    def step(self) -> float:
        """Seconds of a step with images of full size; infinite before one was timed."""
        return self.step_seconds / self.work if self.work else math.inf

    def least(self) -> float:
        """Seconds that training has at least."""
        return min(TRAINING * (self.job.recipe.seconds or 0.0), self.step() * self.job.schedule.steps_per_epoch)

    def validation(self) -> float:
        """Seconds of a validation. Until one was timed, or some of its images, an image is assumed to be waited for as long as
        one in training, and then to take a third of its time; 0 where that is not known either."""
        if self.val_seconds is not None or not self.work:
            return self.val_seconds or 0.0
        recipe, step = self.job.recipe, (self.step_seconds + 2 * self.wait_seconds) / 3 / self.work
        return step / (recipe.batch_size * recipe.accumulate) * self.job.val.num_images

    def after(self) -> float:
        """Seconds of what follows the last step: validation, all answers to it and to the test split, by the first process
        alone, and drawing, which takes longer beside what else the machine does."""
        val, num_val, one_by_one = self.validation(), self.job.val.num_images, self.job.task.own_size
        num_answers = self.job.processes.world * num_val + self.job.num_test
        return val + ANSWERS[one_by_one] * val / num_val * num_answers + DRAWING_SECONDS[one_by_one] * self.load()

    def doubt(self) -> str | None:
        """Once, as soon as it can be known: a line that says so where the time is not enough."""
        asked = self.job.recipe.seconds
        if self.doubted or asked is None or (self.val_seconds is None and not self.work):
            return None
        self.doubted = True
        before, least, after = self.seconds(), self.least(), self.after()
        if (end := before + least + after) <= asked:
            return None
        remedy = f"give --time {math.ceil(2 * end / 60)}m or more, or a smaller --img-size or --model"
        rest = f"what follows the last step (validation, all answers, drawing) takes about {after:.0f}"
        words = f"{before:.0f} s are gone, and {rest}; training gets {least:.0f}, until {end:.0f} s"
        return f"time     {self.job.recipe.time} is short here: {words}; {remedy}"


def num_fitting(left: float, step: float, val: float, rest: int, per_epoch: int) -> int:
    """How many steps fit into a time with the validations between them; the one after the last step is not counted.

    Args:
        left: seconds; step, val: those of a step and of a validation.
        rest: steps until the next validation; per_epoch: those from one to the next.
    """
    if left <= rest * step:
        return max(0, round(left / step))
    num_epochs, left = divmod(left - rest * step, per_epoch * step + val)
    more = left - val if left - val >= WORTH * val else 0.0
    return rest + int(num_epochs) * per_epoch + round(more / step)
