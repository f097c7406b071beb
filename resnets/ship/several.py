"""Several answers as one: of the models in a folder of folds or seeds (an ensemble), and of mirrored inputs (test-time
augmentation). What is averaged are probabilities, by `Task.averaged`, an output at a time: of these two are in memory, however
many models and mirrors there are."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resnets import tasks
from resnets.data.preprocess import Preprocess
from resnets.engine.contract import Task
from resnets.engine.run import BRING_BACK
from resnets.errors import InputError
from resnets.files import read_json
from resnets.models.header import Header
from resnets.ship.sessions import Session, open_session, read_header
from resnets.stores import copied

SUMMARIES = ("folds.json", "seeds.json")  # what a folder of several runs has, as `verbs.repeats` writes it
# The settings by which training mirrors its images, with the axis of inputs (N, C, [D, [H,]] W) that each reverses.
MIRRORS = {"hflip": -1, "vflip": -2, "dflip": -3}
ANY_RANGE = (-1.0, 1.0, 0.0, 1.0)  # stands for any, where two rules are compared but for their numbers


def open_one_or_several(model: Any, *, tta: bool = False, **options: Any) -> Session:
    """`open_session`, of a folder of folds or seeds with all their models, whose probabilities are averaged.

    Args:
        tta: average over mirrored inputs too, along every axis that training mirrored.

    Raises:
        InputError: as `open_session`; for models that take different inputs, and answers that are not averaged.
    """
    runs = members(model)
    session = ensemble([open_session(run, **options) for run in runs]) if runs else open_session(model, **options)
    return mirrored(session) if tta else session


def members(model: Any) -> list[Path]:
    """The run directories in a folder of several finished runs; none where it is no such folder."""
    folder = copied(model) if isinstance(model, str | Path) else None
    summary = None if folder is None else next((folder / name for name in SUMMARIES if (folder / name).is_file()), None)
    if folder is None or summary is None:
        return []
    told = read_json(summary, dict)
    rows = told.get("runs")
    names = [row.get("run") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    runs = [folder / str(name) for name in names if isinstance(name, str) and Path(name).name == name]
    if len(runs) < 2 or not all(run.is_dir() for run in runs):
        raise InputError(f"{summary}: names no runs, or runs that are not beside it; {BRING_BACK}")
    return runs


def header_of(model: str | Path) -> Header:
    """What a saved or exported model says of itself, or the first one in a folder of several runs. Raises as `open_session`."""
    return read_header(next(iter(members(model)), model))


def ensemble(sessions: list[Session]) -> Session:
    """One session of several: its outputs are the averages of theirs. What each model decided on its own validation
    (thresholds, temperatures) is left out.

    Raises:
        InputError: where they differ in task, classes or inputs, or their answers are not averaged.
    """
    first = sessions[0]
    task = averaging(first.header)
    for other in sessions[1:]:
        if differ := [name for name, one in inputs_of(first.header).items() if inputs_of(other.header)[name] != one]:
            raise InputError(
                f"the models of an ensemble differ in {', '.join(differ)}; give those of one training's folds or seeds"
            )
    shared = widest([session.header.preprocess for session in sessions])

    def run(pixels: np.ndarray) -> Any:
        return task.averaged((each.run(rescaled(pixels, shared, each.header.preprocess)), ()) for each in sessions)

    header = dataclasses.replace(first.header, preprocess=shared, decision={})
    return dataclasses.replace(first, header=header, run=run, streams=min(each.streams for each in sessions), network=None)


def averaging(header: Header) -> Task:
    """The task of a model whose outputs can be averaged. Raises `InputError` where they cannot."""
    task = tasks.get(header.task)
    if not task.averages:
        raise InputError(f"answers of the task {header.task} are not averaged; give one model, without --tta")
    return task


def inputs_of(header: Header) -> dict[str, Any]:
    """What models must have in common to answer as one. The numbers by which values are scaled may differ: those of folds are
    measured on the training split of each. Pictures and series are scaled by each model itself, volumes by `rescaled`."""
    rule, num = header.preprocess, header.preprocess.in_chans
    known = None if rule.ranges is None else tuple(each and ANY_RANGE for each in rule.ranges)
    own = dataclasses.replace(rule, mean=(0.0,) * num, std=(1.0,) * num, ranges=known)
    return {"task": header.task, "classes": header.labels, "preprocessing": own, "axes": header.spec.dims, "head": header.head}


def widest(rules: Sequence[Preprocess]) -> Preprocess:
    """How images become inputs that all models can take: the first one's rule, and volumes clipped to no less than any of them
    clips these to."""
    if rules[0].ranges is None:
        return rules[0]
    every: Any = zip(*(rule.ranges or () for rule in rules), strict=True)
    ranges = [
        first and (min(first[0], *(each[0] for each in others)), max(first[1], *(each[1] for each in others)), *first[2:])
        for first, *others in every
    ]
    return dataclasses.replace(rules[0], ranges=tuple(ranges))


def rescaled(pixels: np.ndarray, shared: Preprocess, own: Preprocess) -> np.ndarray:
    """Inputs by the rule `shared` (of `widest`) as a model's `own` rule makes them: volumes (N, C, D, H, W), clipped and scaled
    by its ranges. What has no value, such as voxels outside a volume, is at the mean of `shared`; so are the margins of
    pictures and series that are padded."""
    if shared.ranges is None or own.ranges is None or shared.ranges == own.ranges:
        return pixels
    found = pixels.copy()
    for channel, (before, after) in enumerate(zip(shared.ranges, own.ranges, strict=True)):
        if before is None or after is None:
            continue
        (*_, mean, std), (low, high, own_mean, own_std) = before, after
        values = found[:, channel]
        values *= np.float32(std / own_std)
        values += np.float32((mean - own_mean) / own_std)
        np.clip(values, (low - own_mean) / own_std, (high - own_mean) / own_std, out=values)
    return found


def mirrored(session: Session) -> Session:
    """The session with outputs that are averaged over inputs reversed along none, one or several of `mirror_axes`: of volumes
    eight of them."""
    task, axes = averaging(session.header), mirror_axes(session.header)
    ways = [way for length in range(len(axes) + 1) for way in itertools.combinations(axes, length)]

    def outputs(pixels: np.ndarray) -> Iterator[tuple[Any, tuple[int, ...]]]:
        for way in ways:
            yield session.run(np.ascontiguousarray(np.flip(pixels, way)) if way else pixels), way

    return dataclasses.replace(session, run=lambda pixels: task.averaged(outputs(pixels)), network=None)


def mirror_axes(header: Header) -> tuple[int, ...]:
    """The axes, from the last one, along which the model's training mirrored images; where that is not known, the last one.

    Raises:
        InputError: where it mirrored none: its answers may change with left and right.
    """
    recipe = header.provenance.get("recipe") or {"hflip": 1.0}
    axes = tuple(axis for name, axis in MIRRORS.items() if recipe.get(name) and axis >= -header.spec.dims)
    if not axes:
        raise InputError(
            "the model was trained without mirrored images, and mirrored ones may be other things to it; leave out tta"
        )
    return axes
