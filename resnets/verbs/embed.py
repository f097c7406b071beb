"""`resnets embed`: the features of every image of a dataset in a file, made in flat memory, and gone on with after a kill."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

import numpy as np

from resnets import __version__
from resnets.data import sources
from resnets.data.inputs import INPUTS
from resnets.data.pictures.stored import FileImages
from resnets.data.readers import class_folders, memory
from resnets.data.readers.shards import as_pattern
from resnets.data.words import IMAGES_OF, called
from resnets.errors import InputError
from resnets.measures.neighbours import METRICS
from resnets.models.header import Header, boxed, terms
from resnets.models.pretrained.facts import sha256
from resnets.models.pretrained.names import locate
from resnets.ship import vectors
from resnets.ship.sessions import Session
from resnets.stores import copied, publishing
from resnets.verbs.features import feature_session, of_files
from resnets.verbs.predict import find_files
from resnets.verbs.unfinished import Embedded, Unfinished

if TYPE_CHECKING:
    from resnets.models.model import Model

MOST_NAMED = 3  # images that cannot be read, in words; the file names all of them
Say = Callable[[str], None]
Progress = Callable[[int, int], None]


class ModelRecord(TypedDict, total=False):
    """Which model made vectors, in their file's header. `sha256` is of the saved file, also where one exported from it
    computed; of a model in memory, of its weights."""

    name: str
    path: str | None  # of the file, or the name of a bundled model; None: it was in memory
    sha256: str
    stage: str | None  # None: an embedding of the model's own
    int8: bool
    task: str
    terms: str  # whose weights they are, and under which licence


@publishing
def embed(
    model: str | Path | Model,
    data: Any,
    out: str | Path,
    *,
    stage: str | None = None,
    split: str | None = None,
    metric: str = "cosine",
    runtime: str = "auto",
    device: str = "auto",
    amp: bool = False,
    batch_size: int = 16,
    workers: int | None = None,
    resume: bool = False,
    data_dir: str | Path | None = None,
    say: Say = lambda text: None,
    progress: Progress = lambda done, num: None,
) -> Embedded:
    """Write the features of every readable image of `data` to a file.

    Args:
        model: a file, a run directory or a model, whatever its task; one exported by `resnets export --features`.
        data: a folder of images, files, a dataset by its name, or a path in any layout that is known, whose splits and labels
            are then kept.
        out: the file to write: .npz or .parquet.
        stage: the level that is pooled, such as "c4"; None: the last, or the model's own embedding.
        split: "train", "val" or "test"; None: all.
        metric: what `search` and `cluster` measure by: "cosine" or "euclidean".
        runtime: see `resnets.ship.sessions.open_session`.
        device: as there.
        amp: as there.
        resume: go on with a file that an interrupted call has left unfinished.
        say: called with lines of progress, and notes on the data.
        progress: called with the number of images so far and of all.

    Raises:
        InputError: for a model, data or file that cannot be used; where no image can be read; where the unfinished file was
            begun with another model or other data.
    """
    out = Path(out)
    check_file(out, metric)
    session = feature_session(model, stage=stage, runtime=runtime, device=device, amp=amp)
    header = header_of(session, model, metric, data)
    with Unfinished(out, header, resume=resume) as unfinished:
        parts = images_of(session.header, data, data_dir=data_dir, say=say, split=split)
        fill(unfinished, session, parts, batch_size=batch_size, workers=workers, say=say, progress=progress)
        return unfinished.finish()


def check_file(out: Path, metric: str) -> None:
    """Raise `InputError` where no vectors can be written to a file of this name, or searched by this metric."""
    if out.suffix.lower() not in (".npz", ".parquet", ".pq"):
        raise InputError(f"{out}: name the file to write {out.stem}.npz or {out.stem}.parquet")
    if vectors.is_parquet(out):
        vectors.need_parquet()
    if metric not in METRICS:
        raise InputError(f"metric={metric!r}: give one of {', '.join(METRICS)}")


def header_of(session: Session, model: Any, metric: str, data: Any) -> dict[str, Any]:
    """The header of a file of vectors that the session is to make."""
    return {
        "format": vectors.FORMAT,
        "model": record_of(session, model),
        "preprocess": session.header.preprocess.to_json(),
        "metric": metric,
        "data": named(data),
        "version": __version__,
    }


def named(data: Any) -> list[str]:
    """Data by its names or absolute paths."""
    each = data if isinstance(data, list | tuple) else [memory.name_of(data)]
    return [os.path.abspath(one) if os.path.exists(one) else str(one) for one in each]  # noqa: PTH100, PTH110


def record_of(session: Session, model: Any) -> ModelRecord:
    """Which model computes in the session, that `model` opened."""
    header = session.header
    export = header.provenance.get("export")
    path = locate(os.fspath(model)) if isinstance(model, str | os.PathLike) else None
    if path is None:
        digest, where = digest_of(model), None
    else:
        digest = sha256(path) if export is None else export["sha256"]
        where = str(path.absolute() if Path(model).exists() or str(model) not in boxed() else model)
    return {
        "name": header.spec.name,
        "path": where,
        "sha256": digest,
        "stage": str(header.head["stage"]) if "stage" in header.head else None,
        "int8": bool(export and export["int8"]),
        "task": header.task,
        "terms": terms(header),
    }


def digest_of(model: Any) -> str:
    """The SHA-256 of the weights of a model in memory."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + np.ascontiguousarray(tensor.detach().cpu().numpy()).tobytes())
    return digest.hexdigest()


def is_same(one: Any, other: Any) -> bool:
    """Whether two `ModelRecord`s are of one model, which gives the same vectors."""
    return all(one.get(name) == other.get(name) for name in ("sha256", "stage", "int8"))


# --- the images of any data ---------------------------------------------------------------------------------------------


class Part(NamedTuple):
    """Images of one split ("" where there are none), with their labels in words."""

    split: str
    images: Any
    labels: Any

    def name(self, index: int) -> bytes:
        """What the image is called in the file: its absolute path, or what stands for it, as "test[17]"."""
        files = getattr(self.images, "files", self.images)  # of volumes
        return os.fsencode(files.path(index).absolute()) if isinstance(files, FileImages) else files.name(index).encode()


def images_of(
    header: Header, data: Any, *, data_dir: str | Path | None = None, say: Say = lambda text: None, split: str | None = None
) -> list[Part]:
    """The images of a dataset in any layout; or of a folder and of files, as `predict` takes them, which have no labels.

    Raises:
        InputError: where there are none, or there is no such split.
    """
    if isinstance(data, str | os.PathLike):
        data = as_pattern(data) or data
    if is_loose(header, data) and split is None:
        files = find_files(header, data)
        return [Part("", files, [""] * len(files))]
    found, notes = sources.in_words(data, data_dir=data_dir, in_chans=header.spec.in_chans, dims=header.spec.dims)
    for note in notes:
        say(f"data     {note.text}")
    if split is not None and split not in found:
        raise InputError(f"{data}: no {split} split here; it has {', '.join(found)}")
    parts = [Part(name, words.images, words.labels) for name, words in found.items() if split in (None, name)]
    for part in parts:
        if (there := called(part.images)) != (taken := IMAGES_OF[header.spec.dims]):
            raise InputError(f"{data}: {there} here, and the model takes {taken}; give others")
    return parts


def is_loose(header: Header, data: Any) -> bool:
    """Whether it is several paths, an image, or a folder in no layout that is known, such as one with images at its top."""
    if isinstance(data, list | tuple):
        return True
    suffixes = INPUTS[header.spec.dims].suffixes
    if not isinstance(data, str | os.PathLike) or as_pattern(data) or not (path := copied(data)).exists():
        return False
    if not path.is_dir():
        return path.name.lower().endswith(suffixes)
    try:
        _, layout = sources.recognised(data)
    except InputError:
        return True
    here = list(path.iterdir())
    own = any(path.name.lower().endswith(suffixes) for path in here) or not any(path.is_dir() for path in here)
    return own and layout.recognises is class_folders.is_class_folder


def fill(
    unfinished: Unfinished,
    session: Session,
    parts: Iterable[Part],
    *,
    batch_size: int,
    workers: int | None,
    say: Say,
    progress: Progress,
) -> None:
    """Add every image that is not there yet; `say` is told of the first few that cannot be read."""
    parts = list(parts)
    todo = [_new(unfinished, part) for part in parts]
    bad = itertools.count(1)
    num, done = sum(map(len, todo)), itertools.count(1)
    for part, chosen in zip(parts, todo, strict=True):
        images = part.images.subset(chosen)
        found = of_files(session, getattr(images, "files", images), batch_size=batch_size, workers=workers)
        with contextlib.closing(found):
            for index, each in zip(chosen.tolist(), found, strict=True):
                unfinished.add(part.split, part.name(index), str(part.labels[index]), each.answer, each.row.get("error"))
                if "error" in each.row and next(bad) <= MOST_NAMED:
                    say(f"left out {each.row['path']}: {each.row['error']}")
                progress(next(done), num)


def _new(unfinished: Unfinished, part: Part) -> np.ndarray:
    """The positions of the images that are not there yet."""
    return np.array([n for n in range(len(part.images)) if not unfinished.has(part.split, part.name(n))], int)
