"""Checks that end a run before its last step: losses and weights that are no numbers, no learning, and early stopping."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from resnets.engine.job import Fit
from resnets.engine.resume import Position
from resnets.engine.run import BRING_BACK, Row
from resnets.engine.schedule import Schedule
from resnets.errors import InputError
from resnets.models import weights
from resnets.models.model import Model


def is_patient(rows: Sequence[Row], metric: str, patience: int | None) -> bool:
    """Early stopping: whether one of the last `patience` epochs is better in `metric` than all epochs before them.

    Always true if `patience` is None, or nothing can be scored.
    """
    scores = [row[metric] for row in rows]
    if any(map(math.isnan, scores)):
        return True
    return patience is None or len(scores) - 1 - scores.index(max(scores)) < patience


def check_seen(job: Fit, num_images: int) -> None:
    """Raise `InputError` where an epoch has learnt from no picture."""
    if num_images:
        return
    images = job.train.samples.split.images
    if any(images.name(index) not in job.bad.reasons for index in range(len(images))):
        raise InputError(
            "no batch has two training pictures that can be read, which batch norm needs; `resnets data check` names those "
            "that cannot"
        )
    raise InputError("no picture of the training split can be read; `resnets data check` says why")


def check_resumed(job: Fit, at: Position, rows: Sequence[Row]) -> None:
    """Raise `InputError` where the saved position and metrics.csv are not of the same run, or not of this one."""
    steps = job.schedule.steps_per_epoch
    if at.batch > steps or at.step > at.epoch * steps + at.batch or (at.finished and not at.epoch):
        raise InputError(
            f"{job.run.resume_tensors}: stands at step {at.step} of epoch {at.epoch + 1}, which has {steps}; {BRING_BACK}"
        )
    columns = {"step", "train_loss", "images_per_second", f"val_{job.task.scores[0].key}"}
    if [row["epoch"] for row in rows] != list(range(1, at.epoch + 1)) or any(columns - row.keys() for row in rows):
        raise InputError(
            f"{job.run.metrics}: has not the rows and columns of the {at.epoch} epochs that were trained; {BRING_BACK}"
        )


def check_finite(loss: Tensor, at: Position, schedule: Schedule) -> None:
    """Raise `InputError` if `loss` () is NaN or infinite."""
    if not math.isfinite(loss.item()):
        raise diverged(f"the loss is {loss.item()}", at, schedule)


def check_weights(model: Model, at: Position, schedule: Schedule) -> None:
    """Raise `InputError` if weights are NaN or infinite: the last step of an epoch can make them so, and no loss follows it."""
    if (name := weights.not_finite(model.state_dict())) is not None:
        raise diverged(f"{name} holds NaN or infinite values", at, schedule)


def diverged(found: str, at: Position, schedule: Schedule) -> InputError:
    lr = schedule.learning_rate(max(0, at.step - 1), at.total_steps)
    return InputError(
        f"{found} at step {at.step} (learning rate {lr:.4g}): the run has diverged; start again with a "
        f"lower --lr (say {schedule.recipe.lr / 10:.2g}), longer --warmup-epochs or --clip-grad 1, and not --precision float16"
    )


def check_learning(rows: list[Row], job: Fit) -> None:
    """Raise `InputError` if after `stall_epochs` epochs the training loss is still that of guessing by class frequency."""
    patience, guessing = job.recipe.stall_epochs, job.task.guessing_loss(job.recipe, job.class_counts)
    if not patience or guessing is None or len(rows) != patience or rows[-1]["step"] < 100:
        return
    if min(row["train_loss"] for row in rows) > 0.99 * guessing:
        raise InputError(
            f"after {patience} epochs the training loss is {rows[-1]['train_loss']:.3f}, and guessing gives {guessing:.3f}: "
            f"the likely cause is the learning rate ({job.recipe.lr:g}; try {job.recipe.lr / 10:g}) or weight decay "
            f"({job.recipe.weight_decay:g}), then labels that do not match the images (`resnets data preview`); "
            "--stall-epochs 0 lets it go on"
        )
