"""Predict a stream of files: while some are in the network others are decoded, memory stays flat, a bad picture is a row with
its error. No torch, unless that is the runtime.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from resnets.data.pictures.images import IMAGE_SUFFIXES, BadPicture, FileImages, default_workers
from resnets.data.pictures.resize import fit_picture
from resnets.data.pictures.volumes import SUFFIXES
from resnets.errors import InputError
from resnets.ship.sessions import Session, for_pictures, open_session
from resnets.tasks import results

if TYPE_CHECKING:
    from resnets.models.model import Model


def find_pictures(paths: Iterable[str | Path], *, volumes: bool = False) -> Iterator[Path]:
    """Every file that is named, and every picture (or volume, by its suffix) below every folder, in order of names.

    Raises:
        InputError: for a path where there is nothing, a folder without pictures, and volumes among pictures or the reverse.
    """
    suffixes, what = (SUFFIXES, "volumes") if volumes else (tuple(sorted(IMAGE_SUFFIXES)), "pictures")
    for path in map(Path, paths):
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
        if not path.is_dir():
            if not path.is_file():
                raise InputError(f"{path}: a pipe or a device, which may never end; give a file")
            if path.name.lower().endswith(SUFFIXES) != volumes:
                kind = "no volume" if volumes else "a volume"
                raise InputError(f"{path}: {kind} ({', '.join(SUFFIXES)}), and the model takes {what}; give one of these")
            yield path
            continue
        found = 0
        for folder, folders, files in os.walk(path):
            folders.sort()
            for name in sorted(files):
                picture = Path(folder, name)
                if not name.startswith(".") and name.lower().endswith(suffixes) and not waits(picture):
                    found += 1
                    yield picture
        if not found:
            raise InputError(f"{path}: no {what} here ({', '.join(suffixes)})")


def waits(path: Path) -> bool:
    """Whether there is a pipe or a device, which to open may take for ever. (A broken link is a file that cannot be read.)"""
    return path.exists() and not path.is_file()


def predict(
    model: str | Path | Model | Session,
    paths: Iterable[str | Path],
    *,
    runtime: str = "auto",
    topk: int = 5,
    batch_size: int = 16,
    workers: int | None = None,
    device: str = "auto",
    amp: bool = False,
) -> Iterator[dict[str, Any]]:
    """For each file its path and the task's result, or its path and an "error"; in the order of `find_pictures`.

    Args:
        model: a file, a run directory, a `Model`, or an open session, which has its runtime and device.
        runtime, device, amp: see `resnets.ship.sessions.open_session`.
        workers: threads that decode and predict; 0: the calling one does it all; None: one a processor, up to 8.

    Raises:
        InputError: where there is no such model or path, or the model says no classes of pictures.
    """
    session = model if isinstance(model, Session) else open_session(model, runtime=runtime, device=device, amp=amp)
    for_pictures(session.header)
    images = FileImages(find_pictures(paths), session.header.spec.in_chans)
    yield from stream(session, images, topk=topk, batch_size=batch_size, workers=workers)


def stream(
    session: Session, images: FileImages, *, topk: int = 5, batch_size: int = 16, workers: int | None = None
) -> Generator[dict[str, Any], None, None]:
    """The rows of `predict` for `images`. To close the generator stops what is under way."""
    batches = _Batches(session, images, topk)
    if workers == 0:
        for batch in split(len(images), batch_size):
            yield from batches.rows(batch)
        return
    # A thread decodes its batch, then takes it through the network; so one more than the network takes at once, at the least.
    num_threads = max(default_workers() if workers is None else workers, session.streams, 2)
    ahead = split(len(images), min(batch_size, -(-len(images) // num_threads)))  # of few pictures, each thread gets some
    # Before Python 3.12 a pool starts no thread for what one that was quick could do, and never makes up for it.
    all_there = threading.Event()
    pool = ThreadPoolExecutor(num_threads, "predict", initializer=all_there.wait)
    try:
        waiting = deque(pool.submit(batches.rows, batch) for batch in islice(ahead, num_threads + 2))
        all_there.set()
        while waiting:
            rows = waiting.popleft().result()
            waiting.extend(pool.submit(batches.rows, batch) for batch in islice(ahead, 1))
            yield from rows
    finally:
        batches.stopped = True
        all_there.set()
        pool.shutdown(cancel_futures=True)


def split(num: int, size: int) -> Iterator[range]:
    """0 to `num` in pieces of `size`."""
    return (range(start, min(start + size, num)) for start in range(0, num, max(size, 1)))


class _Batches:
    """Rows of one batch after the other, from any number of threads."""

    def __init__(self, session: Session, images: FileImages, topk: int) -> None:
        self.session, self.images, self.topk = session, images, topk
        self.gate = threading.Semaphore(session.streams)
        self.stopped = False  # nobody waits for the rest

    def rows(self, batch: range) -> list[dict[str, Any]]:
        header = self.session.header
        pixels = np.empty((len(batch), *header.preprocess.size, header.preprocess.in_chans), np.uint8).transpose(0, 3, 1, 2)
        rows: list[dict[str, Any]] = []
        good: list[dict[str, Any]] = []
        for index in batch:
            if self.stopped:
                return []
            row = {"path": self.images.name(index)}
            rows.append(row)
            try:
                pixels[len(good)] = fit_picture(self.images.path(index), header.preprocess)
                good.append(row)
            except BadPicture as bad:
                row["error"] = bad.reason
        if good:
            with self.gate:
                if self.stopped:
                    return []
                outputs = self.session.run(pixels[: len(good)])
            for row, result in zip(good, results.of(header.task, outputs, header.labels, self.topk), strict=True):
                row |= result
        return rows
