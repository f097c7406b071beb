"""Parts of what verbs do, alone: started by benchmarks/verbs.py, which takes the time that the parts need for their limit.

    python benchmarks/verbs_parts.py NAME ARGUMENT...

`start` and `first_step` are timed from outside, as whole processes; the others print their own seconds, without imports.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from resnets.data.machine import default_workers


def pictures(folder: str) -> list[Path]:
    from resnets.verbs.predict import find_pictures

    return list(find_pictures(folder))


def over(paths: Iterable[Path], work: Any) -> None:
    """`work` on every path, in as many threads as `resnets predict` has."""
    with ThreadPoolExecutor(default_workers()) as pool:
        for _ in pool.map(work, paths):
            pass


def start(model: str = "") -> None:
    """Torch imported, and the model open."""
    import torch  # noqa: F401

    from resnets.ship.sessions import open_session

    if model:
        open_session(model, device="cpu")


def first_step(out: str) -> None:
    """`resnets train digits` until its first step is done."""
    from resnets.cli.main import main
    from resnets.engine import loop

    class Done(BaseException):
        """Passes whatever would keep a run's state."""

    def step(*given: Any) -> Any:
        take_step(*given)
        raise Done

    take_step, loop.take_step = loop.take_step, step
    with suppress(Done):
        main(["train", "digits", "--out", out])


def disk(folder: str) -> float:
    """Every file read."""
    paths = pictures(folder)
    began = time.perf_counter()
    over(paths, Path.read_bytes)
    return time.perf_counter() - began


def decode(folder: str, model: str = "") -> float:
    """Every picture decoded: as the model's input, or whole."""
    from resnets.data.pictures.images import open_picture
    from resnets.data.pictures.resize import fit_picture
    from resnets.ship.sessions import read_header

    paths, fit = pictures(folder), read_header(model).preprocess if model else None
    began = time.perf_counter()
    over(paths, (lambda path: np.asarray(open_picture(path))) if fit is None else (lambda path: fit_picture(path, fit)))
    return time.perf_counter() - began


def network(model: str, folder: str, num: str, batch_size: str) -> float:
    """`num` inputs through the network, in batches of the first pictures, decoded before."""
    from resnets.data.pictures.resize import fit_picture
    from resnets.ship.sessions import open_session
    from resnets.verbs.predict import stacked

    session, size = open_session(model, device="cpu"), int(batch_size)
    pixels = [fit_picture(path, session.header.preprocess) for path in islice(pictures(folder), size)]
    batch = stacked((pixels * size)[:size])
    session.run(batch[:1])
    began = time.perf_counter()
    for first in range(0, int(num), size):
        session.run(batch[: int(num) - first])
    return time.perf_counter() - began


def features(model: str, folder: str) -> float:
    """As many inputs through the network as a report looks at besides: points of the plane, and training pictures."""
    from resnets.verbs.report.pictures import POINTS, TRAINING

    return network(model, folder, str(POINTS + TRAINING), "64")


def plane() -> float:
    """The plane of a report: as many vectors as it has points, of ten classes."""
    from resnets.measures.plane import in_plane
    from resnets.verbs.report.pictures import POINTS

    random = np.random.default_rng(0)
    vectors = random.normal(size=(10, 64))[np.arange(POINTS) % 10] + random.normal(size=(POINTS, 64))
    in_plane(vectors[:150])
    began = time.perf_counter()
    in_plane(vectors)
    return time.perf_counter() - began


PARTS: tuple[Callable[..., float | None], ...] = (start, first_step, disk, decode, network, features, plane)

if __name__ == "__main__":
    print({part.__name__: part for part in PARTS}[sys.argv[1]](*sys.argv[2:]))
