"""How far a model's figure falls when its images are changed: noise, blur, JPEG, brightness and rotation, at five strengths."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from resnets import tasks
from resnets.data.corruptions import CORRUPTIONS, STRENGTHS, Corruption
from resnets.data.pictures.stored import evenly_spaced
from resnets.data.types import Source
from resnets.draw.robustness import robustness as draw
from resnets.engine.run import RunDir
from resnets.engine.values import Sample
from resnets.errors import InputError
from resnets.files import write_json
from resnets.measures.intervals import of_share
from resnets.ship.sessions import Session
from resnets.verbs import evaluate

NUM_IMAGES, NUM_SLOW = 1000, 100  # evenly spread; fewer where each image goes through the network alone


def measure(
    run: RunDir, session: Session, source: Source, split: str, *, workers: int | None = 0, say: Callable[[str], None]
) -> dict[str, Any]:
    """The task's first figure on changed images, as robustness.json and plots/robustness.png of the run.

    Changes that move what is on an image are left out where boxes or masks would no longer fit.

    Raises:
        InputError: for volumes, whose values are no bytes.
    """
    header, part = session.header, source.splits[split]
    task = tasks.get(header.task)
    if header.spec.dims != 2:
        raise InputError("--robustness changes pictures, and this model takes volumes or signals; leave it out")
    some = part.subset(evenly_spaced(np.arange(len(part)), NUM_SLOW if task.own_size else NUM_IMAGES))
    few = dataclasses.replace(source, splits={split: some})
    rows: list[dict[str, Any]] = []

    def figure(changed: Session) -> tuple[float, Sample]:
        sample = evaluate.judge(changed, few, split, workers=workers).meter.sample()
        return float(sample.figure(np.arange(len(sample.positions)))), sample

    clean, sample = figure(session)
    for name, corruption in CORRUPTIONS.items():
        if corruption.moves and task.own_size:
            continue
        say(f"robust   {name}, at {len(STRENGTHS)} strengths, on {len(some):,} pictures")
        values = [figure(corrupted(session, corruption, strength))[0] for strength in STRENGTHS]
        rows.append({"change": name, "values": values, "mean": float(np.mean(values))})
    found = {"figure": sample.name, "split": split, "num_images": len(sample.positions), "clean": clean, "rows": rows}
    if sample.right is not None:
        found["clean_interval"] = of_share(sample.right)
    write_json(run.robustness, found)
    draw(clean, {row["change"]: row["values"] for row in rows}, sample.name, run.plots / "robustness.png")
    return found


def corrupted(session: Session, corruption: Corruption, strength: int) -> Session:
    """The session, with every picture changed before; the same random numbers each time it is made."""
    change = functools.partial(corruption, strength=strength, random=np.random.default_rng(strength))
    return dataclasses.replace(session, run=lambda pixels: session.run(change(pixels)))
