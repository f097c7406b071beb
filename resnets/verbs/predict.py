"""Predict a stream of files: while some are in the network others are decoded, memory stays flat, a bad image is a row with its
error. No torch, unless that is the runtime.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from resnets import tasks
from resnets.data.inputs import INPUTS, Fitted
from resnets.data.machine import default_workers
from resnets.data.pictures.images import BadPicture, printable
from resnets.data.pictures.resize import listed
from resnets.data.pictures.stored import FileImages
from resnets.data.pictures.volumes import SUFFIXES, is_nifti
from resnets.data.readers.films import frames, is_film
from resnets.data.readers.given import GivenImages, is_address
from resnets.data.readers.walk import Left, walk
from resnets.errors import InputError
from resnets.models.answering import Wanted, answered, check_wanted
from resnets.models.header import Header
from resnets.models.records import Prediction
from resnets.ship.sessions import Session, answering, deciding
from resnets.ship.several import open_one_or_several
from resnets.stores import local

if TYPE_CHECKING:
    from resnets.models.model import Model


Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
FRAMES = 4  # batches of a video's frames that are in memory at a time
# (pixels, the images' own sizes or nothing, what is wanted) -> for each image its row, without its path, and its answer.
Answer = Callable[[np.ndarray, Sequence[tuple[int, ...]], Wanted], Sequence[tuple[Prediction, Any]]]


class Found(NamedTuple):
    """What was found in one file: its row and, where it could be read and the answer has its size, the image and the answer."""

    row: Prediction
    image: Any = None
    answer: Any = None


def find_pictures(paths: Paths, *, dims: int = 2, left: Left | None = None) -> Iterator[Path]:
    """Every file that is named, and every picture (`dims=3`: volume), by its suffix, below every folder: the files of a folder
    in order of their names, then those of its folders (see `readers.walk`).

    Args:
        left: counts what is left out of folders.

    Raises:
        InputError: for a path where there is nothing, a folder without pictures, and volumes among pictures or the reverse.
    """
    inputs, left = INPUTS[dims], Left() if left is None else left
    for named in [paths] if isinstance(paths, str | os.PathLike) else paths:
        if not isinstance(named, str | os.PathLike):
            raise InputError(f"{type(named).__name__} is no path; here files and folders are needed")
        path = local(named)
        if not inputs.exists(path):
            raise InputError(f"{path}: no such file or folder")
        if path.is_dir():
            found = inputs.listed(map(Path, walk(path, str(path), left, suffixes=inputs.suffixes)), left)
            if (first := next(found, None)) is None:
                remedy = "".join(f"; {note.text}" for note in left.notes())
                raise InputError(f"{path}: no {inputs.images} here ({', '.join(inputs.suffixes)}){remedy}")
            yield first
            yield from found
            continue
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: a pipe or a device, which may never end; give a file")
        if not inputs.takes(path):
            suffixes = ", ".join(SUFFIXES)
            kind = f"a volume ({suffixes})" if is_nifti(path) else f"no volume ({suffixes}, or DICOM)"
            raise InputError(f"{path}: {kind}, and the model takes {inputs.images}; give one of these")
        yield path


def find_files(header: Header, paths: Paths, left: Left | None = None) -> Any:
    """The images that the model of `header` is to look at, mostly `FileImages`; see `find_pictures`."""
    spec = header.spec
    return INPUTS[spec.dims].files(find_pictures(paths, dims=spec.dims, left=left), header.preprocess)


def given(
    header: Header, pictures: Any, *, channel_order: str = "rgb", left: Left | None = None
) -> tuple[FileImages | GivenImages, list[Path]]:
    """The pictures that the model of `header` is to look at, with those of folders, and apart from them the videos.

    Raises:
        InputError: as `find_pictures`, and for what is no picture.
    """
    each = listed(pictures, channel_order)
    are_films = [is_film(one) and not is_own(header, one) for one in each]
    if not any(are_films) and all(map(is_plain, each)):
        return find_files(header, each, left), []
    rest = [one for one, film in zip(each, are_films, strict=True) if not film]
    return mixed(header, rest, left), [found_film(one) for one, film in zip(each, are_films, strict=True) if film]


def found_film(named: str | os.PathLike[str]) -> Path:
    """The path of a video that exists. Raises `InputError`."""
    path = local(named)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    return path


def is_plain(picture: Any) -> bool:
    """Whether it is the path of a file or a folder, and no address."""
    return isinstance(picture, str | os.PathLike) and not is_address(picture)


def is_own(header: Header, path: str | Path) -> bool:
    """Whether it is an address, or by its suffix what the model takes itself: .ts is of videos, and of series."""
    return is_address(path) or str(path).lower().endswith(INPUTS[header.spec.dims].suffixes)


def mixed(header: Header, each: Sequence[Any], left: Left | None) -> GivenImages:
    """Paths, addresses and pictures in memory as one sequence, files of folders among them. Raises as `given`."""
    if header.spec.dims != 2:
        raise InputError(f"the model takes {INPUTS[header.spec.dims].images}, which are read from files; give paths of these")
    items: list[Any] = []
    for one in each:
        items += find_pictures(one, left=left) if is_plain(one) else [one]
    return GivenImages(items, header.spec.in_chans)


def predict(
    model: str | Path | Model | Session,
    paths: Any,
    *,
    runtime: str = "auto",
    topk: int = 5,
    threshold: float | None = None,
    batch_size: int = 16,
    workers: int | None = None,
    device: str = "auto",
    amp: bool = False,
    abstain_at: float | str | None = None,
    sets: float | str | None = None,
    unknown: bool = True,
    channel_order: str = "rgb",
    fps: float = 1.0,
    tta: bool = False,
) -> Iterator[Mapping[str, Any]]:
    """For each picture its path and the task's row, or its path and an "error"; in the order of `find_pictures`. Videos come
    after the pictures: a row for each frame, with "time_seconds" from the beginning.

    Args:
        model: a file, a run directory, a folder of folds or seeds, whose models answer together (the mean of their
            probabilities), a `Model`, or an open session, which has its runtime and device.
        paths: files, folders, http and https addresses, videos, and pictures in memory as `Model.predict` takes them, whose
            path is "image 3" by their place; one or a sequence.
        channel_order: of arrays and tensors: "rgb", or "bgr" as OpenCV has them.
        fps: frames a second that are looked at in videos.
        topk: classes to name for each picture.
        threshold: of detectors and tags: the lowest score of what is named; None: the model's own, else 0.5.
        runtime: see `resnets.ship.sessions.open_session`.
        device: as there.
        amp: as there.
        abstain_at: of classifiers: answer "unsure" so that at most this part of the answers is wrong, such as 0.01 or "1%";
            None: as the model was calibrated.
        sets: of classifiers: the coverage of prediction sets, such as 0.95.
        unknown: of classifiers: answer "unknown" to pictures unlike the training data, where the model was calibrated for it.
        tta: average over mirrored images too (test-time augmentation), along the axes that training mirrored.
        workers: threads that decode and predict; 0: the calling one does it all; None: one per processor, up to 8.

    Raises:
        InputError: where there is no such model or path, the model has no classes, or does not support what is asked for.
    """
    options: Any = {"runtime": runtime, "device": device, "amp": amp, "tta": tta}
    session = model if isinstance(model, Session) else open_one_or_several(model, **options)
    session = deciding(session, {"abstain_at": abstain_at, "sets": sets, "unknown_at": None if unknown else 0})
    check_wanted(answering(session.header), threshold=threshold)
    files, films = given(session.header, paths, channel_order=channel_order)
    options = {"wanted": Wanted(topk, threshold), "batch_size": batch_size, "workers": workers}
    for found in stream(session, files, **options):
        yield found.row
    for film in films:
        for found in stream_film(session, film, fps, **options):
            yield found.row


def stream(
    session: Session,
    files: FileImages | GivenImages,
    *,
    wanted: Wanted | None = None,
    answer: Answer | None = None,
    batch_size: int = 16,
    workers: int | None = None,
    spread: bool = True,
) -> Generator[Found, None, None]:
    """What is found in `files`, in their order. To close the generator stops what is under way.

    Args:
        answer: what makes rows and answers of a batch; None: the task, as it is `wanted`.
        spread: of few pictures each thread gets some, in smaller batches; the last bits of answers may go by these.
    """
    batches = _Batches(session, files, wanted or Wanted(), answer)
    if batches.task.own_size:  # one at a time, and one ahead: images, answers and masks may be large
        batch_size, num_threads, ahead_of = 1, 2, 2
    else:
        # A thread decodes its batch, then takes it through the network; so one more than the network takes at once, at least.
        num_threads = max(default_workers() if workers is None else workers, session.streams, 2)
        ahead_of = num_threads + 2
    if workers == 0:
        for batch in split(len(files), batch_size):
            yield from batches.found(batch)
        return
    ahead = split(len(files), min(batch_size, -(-len(files) // num_threads)) if spread else batch_size)
    # Before Python 3.12 a pool starts no thread for what one that was quick could do, and never makes up for it.
    all_there = threading.Event()
    pool = ThreadPoolExecutor(num_threads, "predict", initializer=all_there.wait)
    try:
        waiting = deque(pool.submit(batches.found, batch) for batch in islice(ahead, ahead_of))
        all_there.set()
        while waiting:
            found = waiting.popleft().result()
            waiting.extend(pool.submit(batches.found, batch) for batch in islice(ahead, 1))
            yield from found
    finally:
        batches.stopped = True
        all_there.set()
        pool.shutdown(cancel_futures=True)


def stream_film(
    session: Session, film: Path, fps: float = 1.0, *, batch_size: int = 16, **options: Any
) -> Generator[Found, None, None]:
    """What is found in the frames of a video, `FRAMES` batches at a time; where it is damaged a last row says so."""
    some = frames(film, fps)
    try:
        while part := list(islice(some, FRAMES * batch_size)):
            good = [frame for frame in part if frame.pixels is not None]
            images = GivenImages([frame.pixels for frame in good], session.header.spec.in_chans, [printable(film)] * len(good))
            for frame, found in zip(good, stream(session, images, batch_size=batch_size, **options), strict=True):
                yield found._replace(row=timed(found.row, frame.seconds))
            for frame in part[len(good) :]:
                yield Found(timed({"path": printable(film), "error": frame.error}, frame.seconds))
    finally:
        some.close()


def timed(row: Prediction, seconds: float) -> Prediction:
    """The row with its time after its path."""
    found: Any = {"path": row["path"], "time_seconds": seconds} | row
    return found


def split(num: int, size: int) -> Iterator[range]:
    """0 to `num` in pieces of `size`."""
    return (range(start, min(start + size, num)) for start in range(0, num, max(size, 1)))


class _Batches:
    """What is found in one batch after the other, from any number of threads."""

    def __init__(self, session: Session, files: FileImages | GivenImages, wanted: Wanted, answer: Answer | None = None) -> None:
        self.session, self.wanted, self.inputs = session, wanted, INPUTS[session.header.spec.dims]
        self.task = answering(session.header) if answer is None else tasks.get(session.header.task)
        self.answer: Answer = answer or partial(answered, self.task, session.run, session.header)
        self.images = self.inputs.opened(files, session.header.spec.in_chans)
        self.gate = threading.Semaphore(session.streams)
        self.stopped = False  # nobody waits for the rest

    def found(self, batch: range) -> list[Found]:
        header = self.session.header
        rows: list[Prediction] = []
        good: list[tuple[int, Fitted]] = []  # the position of the row, and the image
        for number, index in enumerate(batch):
            if self.stopped:
                return []
            rows.append({"path": self.images.name(index)})
            try:
                good.append((number, self.inputs.fitted(self.images, index, header.preprocess, self.task.own_size)))
            except BadPicture as bad:
                rows[number]["error"] = bad.reason
        found = [Found(row) for row in rows]
        if good:
            pixels = stacked([fitted.pixels for _, fitted in good])
            sizes = [fitted.size for _, fitted in good if fitted.size]
            with self.gate:
                if self.stopped:
                    return []
                answers = self.answer(pixels, sizes, self.wanted)
            for (number, fitted), (row, answer) in zip(good, answers, strict=True):
                found[number] = Found(rows[number] | row, fitted.image, answer)
        return found


def stacked(inputs: Sequence[np.ndarray]) -> np.ndarray:
    """Inputs of one size as a batch (N, C, ...), together as they lie in memory, channels last for pictures."""
    pixels = np.stack([each.transpose(AXES[each.ndim]) for each in inputs])
    return pixels.transpose(BACK[pixels.ndim])


# (C, H, W) to (H, W, C), as pictures lie in memory, and (N, H, W, C) back; series and volumes lie as they are.
AXES = {2: (0, 1), 3: (1, 2, 0), 4: (0, 1, 2, 3)}
BACK = {3: (0, 1, 2), 4: (0, 3, 1, 2), 5: (0, 1, 2, 3, 4)}
