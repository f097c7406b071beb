"""`resnets predict` and `resnets embed` by an engine: a folder of parts, or the one file that the verb alone would write."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from resnets import stores
from resnets.errors import InputError
from resnets.files import check_no_address, replacing
from resnets.fleet.engines import engine as opened
from resnets.verbs import embed as embedding
from resnets.verbs.blocks import BLOCK_SIZE, Parts, Progress, Written, make, manifest_of
from resnets.verbs.embed import Part, Say
from resnets.verbs.features import feature_session
from resnets.verbs.rows import Form, write_all
from resnets.verbs.unfinished import Embedded, Unfinished


def predict(
    model: str | Path,
    files: Any,
    out: Path,
    form: Form,
    options: dict[str, Any],
    *,
    engine: str,
    **how: Any,
) -> Written:
    """The rows of `files` (of `predict.given`) in `out`.

    Args:
        form: of a file; a folder of parts has none.
        options: those that rows go by: topk, threshold, abstain_at, sets, unknown_at, runtime, device, amp, tta, batch_size.
        engine, how: see `_made`.
    """

    def join(parts: Parts, num: int) -> None:
        with replacing(out) as temporary, temporary.open("wb") as file:
            found = (json.loads(row) for (row,) in parts.rows(num, "row"))
            write_all(found, form, options["topk"], lambda line: file.write(line.encode(errors="backslashreplace") + b"\n"))

    return _made("predict", model, [Part("", files, [""] * len(files))], out, options, join, engine=engine, **how)


def embed(
    model: str | Path,
    data: Any,
    out: str | Path,
    *,
    engine: str,
    metric: str = "cosine",
    split: str | None = None,
    data_dir: str | Path | None = None,
    resume: bool = False,
    say: Say = lambda text: None,
    stage: str | None = None,
    runtime: str = "auto",
    device: str = "auto",
    amp: bool = False,
    batch_size: int = 16,
    **how: Any,
) -> Written | Embedded:
    """The features of the images of `data` in `out`: the arguments are those of `embed.embed`, and of `_made`."""
    out = Path(out)
    opening: dict[str, Any] = {"stage": stage, "runtime": runtime, "device": device, "amp": amp}
    if not is_folder(out):
        embedding.check_file(out, metric)
    session = feature_session(model, **opening)
    header = embedding.header_of(session, model, metric, data)
    data = embedding.images_of(session.header, data, data_dir=data_dir, say=say, split=split)

    def join(parts: Parts, num: int) -> Embedded:
        images = ((part, index) for part in data for index in range(len(part.images)))
        with Unfinished(out, header, resume=resume) as unfinished:
            for (part, index), (error, vector) in zip(images, parts.rows(num, "error", "vector"), strict=True):
                if not unfinished.has(part.split, name := part.name(index)):
                    unfinished.add(part.split, name, str(part.labels[index]), vector, error)
            return unfinished.finish()

    options = {**opening, "batch_size": batch_size}
    return _made("embed", model, data, out, options, join, engine=engine, resume=resume, say=say, **how)


def _made(
    verb: str,
    model: str | Path,
    data: Sequence[Part],
    out: Path,
    options: dict[str, Any],
    join: Callable[[Parts, int], Embedded | None],
    *,
    engine: str,
    num_workers: int | None = None,
    block_size: int | None = None,
    resume: bool = False,
    workers: int | None = None,
    say: Say = lambda text: None,
    progress: Progress = lambda done, num: None,
) -> Written | Embedded:
    """Make the parts, in `out` or beside it; then, where `out` is a file, `join` them to that, and remove them.

    Args:
        engine: a key of `ENGINES`.
        num_workers: of the engine.
        block_size: images of a part; rounded up to whole batches.
        resume: go on with the parts that are there.
        workers: threads of each worker.
        say: called with notes, such as that a worker was lost.
        progress: called with the number of images so far and of all.

    Raises:
        InputError: as the verb, the engine and `Parts.begin`; and where blocks were lost.
    """
    check_no_address(out, "give a folder that all machines share")
    if not is_folder(out) and (out.exists() or out.is_symlink()):
        done = "it is finished; " * resume
        raise InputError(f"{out}: exists already; {done}remove it, or choose another place with -o")
    batch_size = options["batch_size"]
    size = -(-(block_size or BLOCK_SIZE) // batch_size) * batch_size
    manifest = manifest_of(verb, model, data, {**options, "block_size": size})
    parts = Parts(folder_of(out).absolute(), manifest)
    chosen = opened(engine, num_workers=num_workers, device=options["device"], say=say)
    parts.begin(resume=resume)
    if is_folder(out):  # in an object store: parts are sent when they are made
        stores.claim(out)
    with chosen as working:
        count = make(parts, data, working, workers=workers, progress=progress)
    found: Written | Embedded = {"file": str(out), "num_images": count.num, "num_unreadable": count.num_bad}
    if not is_folder(out):
        found = join(parts, sum(-(-len(part.images) // size) for part in data)) or found
        shutil.rmtree(parts.folder, ignore_errors=True)
    return found


def is_folder(out: Path) -> bool:
    """Whether parts are wanted, rather than one file made of them: a folder, or a name without a suffix."""
    return out.is_dir() or not out.suffix


def folder_of(out: Path) -> Path:
    """Where the parts lie; those of a file are gone when it is there."""
    return out if is_folder(out) else out.with_name(f"{out.name}.parts")
