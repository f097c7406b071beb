"""Several answers as one: of the models in a folder of folds or seeds (an ensemble), and of mirrored inputs (test-time
augmentation). What is averaged are probabilities, by `Task.averaged`, an output at a time: of these two are in memory, however
many models and mirrors there are."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from resnets import tasks
from resnets.engine.run import BRING_BACK
from resnets.errors import InputError
from resnets.files import read_json
from resnets.models.header import Header
from resnets.ship.sessions import Session, open_session, read_header

SUMMARIES = ("folds.json", "seeds.json")  # what a folder of several runs has, as `verbs.repeats` writes it
# The settings by which training mirrors its images, with the axis of inputs (N, C, [D, [H,]] W) that each reverses.
MIRRORS = {"hflip": -1, "vflip": -2, "dflip": -3}


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
    folder = Path(model) if isinstance(model, str | Path) else None
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
        InputError: where they differ in task, classes or inputs.
    """
    first = sessions[0]
    for other in sessions[1:]:
        if differ := [name for name, one in inputs_of(first.header).items() if inputs_of(other.header)[name] != one]:
            raise InputError(
                f"the models of an ensemble differ in {', '.join(differ)}; give those of one training's folds or seeds"
            )
    task = tasks.get(first.header.task)

    def run(pixels: np.ndarray) -> Any:
        return task.averaged((session.run(pixels), ()) for session in sessions)

    header = dataclasses.replace(first.header, decision={})
    return dataclasses.replace(first, header=header, run=run, streams=min(each.streams for each in sessions), network=None)


def inputs_of(header: Header) -> dict[str, Any]:
    """What models must have in common to answer as one; pictures are normalised by each itself, volumes and series once."""
    rule = header.preprocess
    own = dataclasses.replace(rule, mean=(0.0,) * rule.in_chans, std=(1.0,) * rule.in_chans) if len(rule.size) == 2 else rule
    return {"task": header.task, "classes": header.labels, "preprocessing": own, "axes": header.spec.dims, "head": header.head}


def mirrored(session: Session) -> Session:
    """The session with outputs that are averaged over inputs reversed along none, one or several of `mirror_axes`: of volumes
    eight of them."""
    task, axes = tasks.get(session.header.task), mirror_axes(session.header)
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
