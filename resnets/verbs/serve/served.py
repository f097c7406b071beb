"""A model that is served: opened, tried with a picture, answering batches, and opened again when its file changes."""

from __future__ import annotations

import dataclasses
import logging
import re
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from resnets.data.inputs import INPUTS, Fitted, Inputs
from resnets.data.machine import default_workers
from resnets.data.pictures.images import BadPicture
from resnets.data.pictures.sent import Encoded
from resnets.engine.contract import Task
from resnets.engine.values import Settings
from resnets.errors import InputError
from resnets.files import short
from resnets.models.answering import Wanted, row_of
from resnets.models.header import Header
from resnets.models.pretrained.names import locate
from resnets.models.records import AnswersRecord, Prediction
from resnets.ship.sessions import Session, answering, deciding, open_session
from resnets.verbs import expected
from resnets.verbs.predict import stacked
from resnets.verbs.serve.drawings import DRAWINGS, Make, makers

log = logging.getLogger("resnets.serve")
NAME = re.compile(r"[A-Za-z0-9._-]{1,80}")
BESIDE = (".bin",)  # files that belong to a model's, and change with it


class Work(NamedTuple):
    """A picture of a request.

    Args:
        file: it, encoded; or
        pixels: (H, W, C), fitted already: the input of exported files (`Opened.shape`, `Opened.dtype`).
        wanted: what is wanted of the answer.
        drawings: names of `DRAWINGS` that are wanted beside it.
    """

    file: Encoded | None
    wanted: Wanted
    pixels: np.ndarray | None = None
    drawings: tuple[str, ...] = ()


class Outcome(NamedTuple):
    """What came of it: the row of `resnets predict`; the outputs, where they are an array of one size for all pictures; and
    files by the names of `DRAWINGS`."""

    row: Prediction
    outputs: np.ndarray | None = None
    drawings: Mapping[str, bytes] = {}

    @property
    def failed(self) -> bool:
        return "error" in self.row


@dataclass(frozen=True)
class Opened:
    """One state of a model's file, ready to run."""

    session: Session
    task: Task
    inputs: Inputs
    drawings: Mapping[str, Make]  # by the names of `DRAWINGS`
    max_pixels: int
    gate: threading.Semaphore
    expected: AnswersRecord | None  # the answers to validation

    @property
    def header(self) -> Header:
        return self.session.header

    @property
    def takes_tensors(self) -> bool:
        """Whether inputs are of one size, so that they can be sent as a tensor, and outputs come as one."""
        return not self.task.own_size

    @property
    def shape(self) -> tuple[int, ...]:
        """Of an input that is sent as a tensor: (H, W, C), (L, C) of series, (D, H, W, C) of volumes."""
        return (*self.header.preprocess.size, self.header.spec.in_chans)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of such an input: series and volumes are no pixels of 8 bits."""
        return np.dtype("u1" if self.header.spec.dims == 2 else "<f4")

    def answer(self, works: Sequence[Work]) -> list[Outcome]:
        """The outcomes of a batch, in order. A picture that cannot be read is a row with its error."""
        rows = [Prediction(path=work.file.name if work.file else "") for work in works]
        outcomes = [Outcome(row) for row in rows]
        files = [work.file or Encoded("", b"") for work in works]
        sent = self.inputs.sent(files, self.header.preprocess, self.max_pixels)
        try:
            good: list[tuple[int, Fitted]] = []
            for number, work in enumerate(works):
                if work.pixels is not None:
                    if work.pixels.shape != self.shape:  # the file has changed
                        rows[number]["error"] = "the model has changed, and takes another size; ask for its metadata again"
                    else:
                        good.append((number, Fitted(np.moveaxis(work.pixels, -1, 0))))
                    continue
                try:
                    fitted = self.inputs.fitted_sent(sent, number, self.header.preprocess, self.task.own_size)
                    good.append((number, fitted))
                except BadPicture as bad:
                    rows[number]["error"] = bad.reason
                except MemoryError:
                    rows[number]["error"] = "needs more memory than there is; make it smaller"
            # Pictures of their own size have inputs of their own size too, and go one by one.
            for part in [good[n : n + 1] for n in range(len(good))] if self.task.own_size else [good] * bool(good):
                pixels = stacked([fitted.pixels for _, fitted in part])
                sizes = [fitted.size for _, fitted in part if fitted.size]
                with self.gate:
                    answers = self.task.infer(self.session.run, pixels, sizes, self.header)
                for (number, fitted), answer in zip(part, answers, strict=True):
                    outcomes[number] = self._outcome(works[number], rows[number], fitted, answer)
        finally:
            sent.close()
        return outcomes

    def _outcome(self, work: Work, row: Prediction, fitted: Fitted, answer: Any) -> Outcome:
        row |= row_of(self.task, self.header, answer, fitted.size, work.wanted)
        wanted, files = dataclasses.replace(work.wanted, decision=self.header.decision), {}
        for name in work.drawings:
            with tempfile.TemporaryDirectory(prefix="resnets-drawing-") as folder:
                suffix = self.inputs.mask_suffix(getattr(fitted.image, "path", Path()))
                path = Path(folder, "drawing" + (".png" if DRAWINGS[name].shown else suffix))
                try:
                    found = self.drawings[name](fitted, answer, wanted, path)
                except BadPicture as bad:
                    row.setdefault("not_drawn", {})[name] = bad.reason
                else:
                    files[name] = path.read_bytes()
                    if isinstance(found, dict):  # what it found, beside the drawing
                        row |= cast(Prediction, found)
        return Outcome(row, answer if self.takes_tensors else None, files)

    def example(self) -> Work:
        return Work(Encoded("example", self.inputs.example(self.header.preprocess)), Wanted(1))

    def try_out(self) -> None:
        """Take a picture from its bytes to its answer. Raises `InputError` where there is none."""
        outcome = self.answer([self.example()])[0]
        if outcome.failed:
            raise InputError(f"the model answers no picture ({outcome.row['error']})")


@dataclass(frozen=True)
class Opening:
    """How models are opened, each time; `reference` is a predictions.csv whose answers are those to validation, `index` a file
    of `resnets index` for what is nearest to a picture."""

    asked: Settings = field(default_factory=dict)
    runtime: str = "auto"
    device: str = "auto"
    amp: bool = False
    max_pixels: int = 50_000_000
    reference: str | Path | None = None
    index: str | None = None

    def open(self, path: str | Path) -> Opened:
        """Open the model, and take a picture through it. Raises `InputError` where that fails."""
        session = deciding(open_session(path, runtime=self.runtime, device=self.device, amp=self.amp), self.asked)
        task, header = answering(session.header), session.header
        gate = threading.Semaphore(session.streams)
        answers = expected.of_file(self.reference, task, header.decision) if self.reference else expected.of_header(header)
        opened = Opened(session, task, INPUTS[header.spec.dims], makers(session, self.index), self.max_pixels, gate, answers)
        opened.try_out()
        return opened


class Served:
    """A model under its name. `opened` is what answers from now on; a reload puts another in its place, whole.

    Args:
        name: in addresses.
        path: as the user gave it: a file, a run directory, or a bundled model.
    """

    def __init__(self, name: str, path: str, opening: Opening) -> None:
        self.name, self.path, self.opening = name, path, opening
        self.stamp = stamp_of(path)
        self.opened = opening.open(path)
        self.loaded_at = time.time()
        self.num_reloads = self.num_failed_reloads = 0

    @property
    def num_threads(self) -> int:
        """One more than the network takes at once, so that it never waits for a decoder."""
        if self.opened.task.own_size:
            return 2
        return max(default_workers(), self.opened.session.streams) + 1

    def answer(self, works: list[Work]) -> list[Outcome]:
        return self.opened.answer(works)

    def reload(self, stamp: tuple[Any, ...]) -> bool:
        """Open the file anew. If that fails the model goes on as it is, and is tried again when the file changes again."""
        self.stamp = stamp
        try:
            self.opened = self.opening.open(self.path)
        except Exception as error:  # whatever is in the file
            self.num_failed_reloads += 1
            log.warning("model %s: the changed file is not used (%s); the one before goes on", self.name, short(error))
            return False
        self.num_reloads += 1
        self.loaded_at = time.time()
        log.info("model %s: its file has changed, and the new one answers", self.name)
        return True


def stamp_of(path: str) -> tuple[Any, ...]:
    """What changes when a model's file is written; empty where it is not there."""
    try:
        found = locate(path)
    except InputError:
        return ()
    stamps: list[Any] = [str(found)]
    for each in (found, *(found.with_suffix(suffix) for suffix in BESIDE)):
        try:
            state = each.stat()
        except OSError:
            continue
        stamps += [state.st_mtime_ns, state.st_size, state.st_ino]
    return tuple(stamps) if len(stamps) > 1 else ()


def named(models: Sequence[str]) -> dict[str, str]:
    """MODEL or NAME=MODEL -> the model of each name. Without one it is that of the file, or of the run directory.

    Raises:
        InputError: where a name is there twice, or cannot be part of an address.
    """
    found: dict[str, str] = {}
    for model in models:
        name, sign, path = model.partition("=")
        if not sign or "/" in name:
            path = model
            name = Path(model).resolve().name if Path(model).is_dir() else Path(model).stem
        if not NAME.fullmatch(name) or name in (".", ".."):
            remedy = f"give a name of letters, digits, ., _ and -: NAME={path}"
            raise InputError(f"{model}: {name!r} cannot be part of an address; {remedy}")
        if name in found:
            raise InputError(f"{model}: there are two models named {name}; give one of them another name: NAME={path}")
        found[name] = path
    return found


def indexes_of(given: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """FILE for the first model, or NAME=FILE -> the file of each name. Raises `InputError` for names that no model has."""
    found = {}
    for each in given:
        name, sign, path = each.partition("=")
        if not sign or "/" in name:
            name, path = names[0], each
        if name not in names:
            raise InputError(f"--index {short(each)}: no model is named {short(name)}; there is: {', '.join(names)}")
        found[name] = path
    return found
