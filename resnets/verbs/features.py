"""Features of images, the one way to get them: what the trunk of any model makes of an image, pooled over space, or the model's
own embedding. The probe, the report, `resnets embed`, `index` and `search` go this way.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from resnets import tasks
from resnets.data.loader import Loader
from resnets.data.types import Split
from resnets.data.words import called, worded
from resnets.data.workers import BadImages
from resnets.errors import InputError
from resnets.models.pretrained.names import locate
from resnets.ship.sessions import Session, gives_features, is_exported, open_session
from resnets.verbs.predict import Answer, Found, stream

if TYPE_CHECKING:
    from resnets.models.model import Model

BATCH_SIZE = 64
SAY_SECONDS = 5.0


class Features(NamedTuple):
    """What was made of the readable images of a split.

    Args:
        values: (N, num_features) float32.
        targets: of images with a value each: classes (N,), or labels (N, num_labels), 1 where an image has one; else None.
        positions: (N,) int64 in the split.
    """

    values: np.ndarray
    targets: Any
    positions: np.ndarray


def feature_session(
    model: str | Path | Model | Session,
    *,
    stage: str | None = None,
    runtime: str = "auto",
    device: str = "auto",
    amp: bool = False,
) -> Session:
    """A session whose `run` gives features (N, num_features), float32, of inputs as the model takes them.

    Args:
        model: as `open_session` takes it, whatever its task; an exported file or an open session must be one of features.
        stage: the level that is pooled, such as "c4"; None: the last, or of a model that embeds its own embedding.
        runtime: see `open_session`; an open session has its own.
        device: as there.
        amp: as there.

    Raises:
        InputError: as `open_session`; for a stage that the network does not have; for files and sessions that answer otherwise.
    """
    if isinstance(model, Session):
        return _checked(model, stage, "the session")
    path = locate(model) if isinstance(model, str | os.PathLike) else None
    if path is not None and is_exported(path):
        return _checked(open_session(path, runtime=runtime, device=device, amp=amp), stage, str(path))
    from resnets.engine.device import find
    from resnets.ship import hub

    if path is not None:
        model, device = hub.load(path), str(find(device))  # a model in memory stays where it is
    return open_session(featuring(model, stage), runtime=runtime, device=device, amp=amp)


def featuring(model: Any, stage: str | None = None) -> Any:
    """The network whose outputs are the features of a `Model`: its trunk or, of one that embeds, without a stage itself."""
    from resnets.models.pooled import Pooled

    return model if stage is None and model.task.embeds else Pooled(model, stage)


def _checked(session: Session, stage: str | None, name: str) -> Session:
    """The session, if it is one of features, of that stage."""
    header = session.header
    if not gives_features(header):
        raise InputError(f"{name} answers with {len(header.labels)} classes, not features; give the model that it came from")
    if stage not in (None, header.head.get("stage")):
        has = header.head.get("stage", "an embedding of its own")
        raise InputError(f"stage={stage!r}: {name} gives features of {has}; leave it out, or give the model that it came from")
    return session


def of_split(
    session: Session,
    split: Split,
    *,
    bad: BadImages,
    batch_size: int = BATCH_SIZE,
    workers: int = 0,
    say: Callable[[int, int], None] = lambda done, num: None,
    mirrored: bool = False,
) -> Features:
    """The features of every readable image of a split once, as evaluation fits it.

    Args:
        session: of `feature_session`; `split` is of data as its task opens them.
        bad: where unreadable images are noted.
        workers: processes that decode; 0: this one.
        say: called with the number of images so far and of all, every few seconds.
        mirrored: every picture (N, C, H, W) is reversed from left to right.

    Raises:
        InputError: where no image can be read.
    """
    header = session.header
    task = tasks.get(header.task)
    samples = task.samples(split, header.preprocess, header.spec.num_classes)
    loader = Loader(samples=samples, batch_size=1 if task.own_size else batch_size, bad=bad, workers=workers)
    run = reversed_of(session).run if mirrored else session.run
    values, targets, positions, done, said = np.zeros((0, 0), np.float32), [], [], 0, time.perf_counter()
    for batch in loader.epoch(0):
        if not len(batch.images):
            continue
        found = run(batch.images.numpy())
        if not done:
            values = np.empty((loader.num_images, found.shape[1]), np.float32)
        values[done : done + len(found)] = found
        targets.append(batch.targets)
        positions.append(batch.indices.numpy())
        done += len(found)
        if time.perf_counter() - said > SAY_SECONDS:
            said = time.perf_counter()
            say(done, loader.num_images)
    if not done:
        raise InputError(worded("no picture of the split can be read; `resnets data check` says why", called(split.images)))
    one_each = hasattr(targets[0], "__array__")  # what is known of places in an image is no use here
    truth = np.concatenate([np.asarray(each) for each in targets]) if one_each else None
    return Features(values[:done], truth, np.concatenate(positions))


def of_files(
    session: Session, files: Any, *, batch_size: int = 16, workers: int | None = None, spread: bool = True
) -> Generator[Found, None, None]:
    """The features of images (files, shards, arrays), in their order, in memory for a few: each has the row {"path"}, with
    "error" where it cannot be read, and the answer (num_features,) float32. See `predict.stream`."""
    return stream(session, files, answer=featured(session), batch_size=batch_size, workers=workers, spread=spread)


def featured(session: Session) -> Answer:
    """What `predict.stream` asks for of a batch: for each image an empty row, and its features."""
    return lambda pixels, sizes, wanted: [({}, vector) for vector in session.run(pixels)]


def reversed_of(session: Session) -> Session:
    """`session`, with every picture (N, C, H, W) reversed from left to right."""
    return dataclasses.replace(session, run=lambda pixels: session.run(pixels[..., ::-1].copy(order="K")))
