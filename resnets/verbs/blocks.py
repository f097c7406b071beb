"""Many images in blocks of fixed positions, each of which becomes a Parquet file ("part") on whatever machine an engine has.

    DIR/manifest.json        what was asked for: model, data, options; by this a worker knows what to do
    DIR/part-00000.parquet   a row for each image of the block; complete, or not there at all

Whoever makes a part, and in whichever order, its rows are those of one process: batches begin at the same images. No torch.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import numpy as np

from resnets import __version__
from resnets.errors import InputError
from resnets.files import foreign, read_json, replacing, to_json, write_json
from resnets.fleet.engines import Engine, Lost
from resnets.models.answering import Wanted
from resnets.models.pretrained.facts import sha256
from resnets.models.pretrained.names import locate
from resnets.ship.sessions import Session, deciding
from resnets.ship.several import members, open_one_or_several
from resnets.ship.vectors import need_parquet
from resnets.verbs.embed import Part
from resnets.verbs.features import feature_session, of_files
from resnets.verbs.predict import Found, split, stream

FORMAT = "resnets-parts/1"
BLOCK_SIZE = 1024  # images
SAME = {"verb": "by another command", "model": "by another model", "data": "on other images", "options": "with other options"}
TOLD = 3  # lost blocks that an error names

Progress = Callable[[int, int], None]


class Count(NamedTuple):
    """Images of which there are rows, and how many of these could not be read."""

    num: int
    num_bad: int


class Written(TypedDict):
    """What was written: the file, or the folder of parts; how many images have a row there, and how many are unreadable."""

    file: str
    num_images: int
    num_unreadable: int


@dataclass(frozen=True)
class Block:
    """Images at consecutive positions, and the labels that they have in words."""

    number: int
    start: int
    part: Part

    def __str__(self) -> str:
        return f"block {self.number} (images {self.start} to {self.start + len(self.part.images) - 1})"


# --- what is asked for ------------------------------------------------------------------------------------------------------


def manifest_of(verb: str, model: Any, parts: Sequence[Part], options: dict[str, Any]) -> dict[str, Any]:
    """What is asked for, as JSON holds it.

    Args:
        verb: a key of `VERBS`.
        model: as `open_one_or_several` takes it, a name or a path.
        options: of the verb's `open` and `rows`, with "batch_size" and "block_size".
    """
    digest = hashlib.sha256()
    for part in parts:
        for index in range(len(part.images)):
            digest.update(part.split.encode() + b"\0" + part.name(index) + b"\n")
    found = {
        "format": FORMAT,
        "version": __version__,
        "verb": verb,
        "model": {"path": os.fspath(model), "sha256": digests_of(model)},
        "data": {"num_images": sum(len(part.images) for part in parts), "sha256": digest.hexdigest()},
        "options": options,
    }
    return json.loads(to_json(found))


def digests_of(model: Any) -> list[str]:
    """The SHA-256 of the file of a model, or of each in a folder of several runs."""
    return [sha256(locate(one)) for one in members(model) or [model]]


def cut(parts: Sequence[Part], size: int) -> Iterator[tuple[int, int, Part, range]]:
    """(number, position of the first image, part, its indices there) of each block. No block has images of two parts."""
    number = start = 0
    for part in parts:
        for indices in split(len(part.images), size):
            yield number, start + indices.start, part, indices
            number += 1
        start += len(part.images)


def block_of(number: int, start: int, part: Part, indices: range) -> Block:
    chosen = np.arange(indices.start, indices.stop)
    return Block(number, start, Part(part.split, part.images.subset(chosen), [str(part.labels[index]) for index in indices]))


# --- the folder -------------------------------------------------------------------------------------------------------------


class Parts:
    """The folder of parts that belong to a manifest."""

    def __init__(self, folder: str | Path, manifest: dict[str, Any]) -> None:
        self.folder, self.manifest = Path(folder), manifest

    def begin(self, *, resume: bool) -> None:
        """Make the folder, or go on with it.

        Raises:
            InputError: where there are parts already and `resume` is not asked for, where they belong to another manifest, or
                there is something else.
        """
        need_parquet()
        path = self.folder / "manifest.json"
        if not self.folder.exists() or (self.folder.is_dir() and not any(each != path for each in self.folder.iterdir())):
            write_json(path, self.manifest)  # also where a call ended before its first part
            return
        if not path.is_file():
            raise InputError(f"{self.folder}: exists, and is no folder of parts; choose another place with -o")
        if not resume:
            raise InputError(
                f"{self.folder}: has parts already; go on with them by --resume, remove it, or choose another place with -o"
            )
        begun = read_json(path, dict)
        for name, words in SAME.items():
            if (before := told(begun.get(name))) != (now := told(self.manifest[name])):
                both = isinstance(before, dict) and isinstance(now, dict)
                differ = ", ".join(sorted(key for key in now if before.get(key) != now[key])) if both else ""
                raise InputError(
                    f"{self.folder}: its parts were made {words}{f' ({differ})' * bool(differ)}; give the same, or choose "
                    "another place with -o"
                )

    @cached_property
    def mark(self) -> str:
        """What a part says of the manifest that it belongs to."""
        return hashlib.sha256(to_json({name: told(self.manifest[name]) for name in SAME}).encode()).hexdigest()

    def path(self, number: int) -> Path:
        return self.folder / f"part-{number:05d}.parquet"

    def count(self, number: int) -> Count | None:
        """What the part says that it holds; None where there is none.

        Raises:
            InputError: where it is damaged, or belongs to another manifest.
        """
        from pyarrow import parquet

        path = self.path(number)
        if not path.exists():
            return None
        with foreign(path, "remove it, and it is made again by --resume", what="a part"):
            found = json.loads((parquet.read_metadata(path).metadata or {})[b"resnets"])
            if found["manifest"] != self.mark:
                raise ValueError("another call has made it")
            return Count(int(found["num"]), int(found["num_bad"]))

    def write(self, number: int, columns: dict[str, Any], rows: Sequence[dict[str, Any]]) -> Count:
        """Write a part: `rows` with these columns, {name: Arrow's type}."""
        import pyarrow
        from pyarrow import parquet

        count = Count(len(rows), sum(row["error"] is not None for row in rows))
        origin = to_json({"manifest": self.mark, **count._asdict()})
        schema = pyarrow.schema(list(columns.items()), metadata={"resnets": origin})
        arrays = [pyarrow.array([row[name] for row in rows], kind) for name, kind in columns.items()]
        with replacing(self.path(number)) as temporary:
            parquet.write_table(pyarrow.Table.from_arrays(arrays, schema=schema), temporary)
        return count

    def rows(self, num: int, *names: str) -> Iterator[tuple[Any, ...]]:
        """These columns of the first `num` parts, row by row in order, in memory for a part."""
        from pyarrow import parquet

        for number in range(num):
            path = self.path(number)
            with foreign(path, "remove it, and it is made again by --resume", what="a part"):
                table = parquet.ParquetFile(path).read(list(names))
            yield from zip(*(column_of(table[name]) for name in names), strict=True)


def told(value: Any) -> Any:
    """Of a part of a manifest, what must be the same to go on: the path of a model may be another."""
    return {key: each for key, each in value.items() if key != "path"} if isinstance(value, dict) else value


def column_of(column: Any) -> Iterable[Any]:
    """Lists of numbers as arrays (N,) float32, other values as Python's."""
    import pyarrow

    if not pyarrow.types.is_list(column.type):
        return column.to_pylist()
    return (None if each is None or each.values is None else each.values.to_numpy() for each in column)


def make(
    parts: Parts,
    data: Sequence[Part],
    engine: Engine,
    *,
    workers: int | None = None,
    progress: Progress = lambda done, num: None,
) -> Count:
    """Make every part that is not there yet.

    Args:
        workers: threads of each worker; None: its share of the cores.
        progress: called with the number of images so far and of all.

    Raises:
        InputError: as the verb itself; and at the end, where blocks were lost.
    """
    manifest = parts.manifest
    blocks = list(cut(data, manifest["options"]["block_size"]))
    there = {number: count for number, *_ in blocks if (count := parts.count(number)) is not None}
    num_images, counts, lost = manifest["data"]["num_images"], list(there.values()), list[tuple[Block, Lost]]()
    todo = (block_of(*block) for block in blocks if block[0] not in there)
    work = partial(make_part, manifest, str(parts.folder), engine.cores if workers is None else workers)
    for block, found in engine.each(work, todo):
        if isinstance(found, Lost):
            lost.append((block, found))
            continue
        counts.append(found)
        progress(sum(count.num for count in counts), num_images)
    if lost:
        named = "; ".join(f"{block}: {found.reason}" for block, found in lost[:TOLD])
        raise InputError(
            f"{len(lost)} of {len(blocks)} blocks have no rows, for their workers were lost in every try ({named}); the others "
            f"are in {parts.folder}; when that is mended, go on by --resume"
        )
    return Count(sum(count.num for count in counts), sum(count.num_bad for count in counts))


# --- in a worker ------------------------------------------------------------------------------------------------------------


def make_part(manifest: dict[str, Any], folder: str, workers: int, block: Block) -> Count:
    """Make the part of a block."""
    import pyarrow

    verb, options = VERBS[manifest["verb"]], manifest["options"]
    session = opened(to_json(manifest))
    streamed: dict[str, Any] = {"batch_size": options["batch_size"], "workers": workers, "spread": False}
    columns = {
        name: getattr(pyarrow, kind)() if kind else pyarrow.list_(pyarrow.float32()) for name, kind in verb.columns.items()
    }
    rows = list(verb.rows(session, block, options, streamed))
    return Parts(folder, manifest).write(block.number, columns, rows)


@lru_cache(maxsize=1)
def opened(text: str) -> Session:
    """The session of a manifest; a worker keeps it from block to block.

    Raises:
        InputError: where the model here is not the manifest's.
    """
    manifest = json.loads(text)
    model = manifest["model"]
    if digests_of(model["path"]) != model["sha256"]:
        raise InputError(f"{model['path']}: a worker finds another model under this name; give one that all machines share")
    return VERBS[manifest["verb"]].open(model["path"], manifest["options"])


def opened_to_predict(model: str, options: dict[str, Any]) -> Session:
    given = {name: options[name] for name in ("runtime", "device", "amp", "tta")}
    return deciding(open_one_or_several(model, **given), {name: options[name] for name in ("abstain_at", "sets", "unknown_at")})


def opened_to_embed(model: str, options: dict[str, Any]) -> Session:
    return feature_session(model, **{name: options[name] for name in ("stage", "runtime", "device", "amp")})


def predicted(session: Session, block: Block, options: dict[str, Any], streamed: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The row of each image as `resnets predict --format json` has it."""
    wanted = Wanted(options["topk"], options["threshold"], session.header.decision)
    for position, found in counted(stream(session, block.part.images, wanted=wanted, **streamed), block):
        row = found.row
        yield {"position": position, "path": row["path"], "error": row.get("error"), "row": to_json(row)}


def embedded(session: Session, block: Block, options: dict[str, Any], streamed: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The features of each image, beside what is known of it."""
    part = block.part
    images = getattr(part.images, "files", part.images)  # of volumes
    for position, found in counted(of_files(session, images, **streamed), block):
        index = position - block.start
        yield {
            "position": position,
            "path": part.name(index).decode(errors="backslashreplace"),
            "split": part.split,
            "label": part.labels[index],
            "error": found.row.get("error"),
            "vector": found.answer,
        }


def counted(found: Iterable[Found], block: Block) -> Iterator[tuple[int, Found]]:
    return enumerate(found, start=block.start)


class Verb(NamedTuple):
    """What is done with images, as a row of `VERBS`.

    Args:
        open: (model, options) -> the session.
        rows: (session, block, options, arguments of `stream`) -> a row for each image.
        columns: the columns of a part, with their types in Arrow; "": a list of float32.
    """

    open: Callable[[str, dict[str, Any]], Session]
    rows: Callable[[Session, Block, dict[str, Any], dict[str, Any]], Iterator[dict[str, Any]]]
    columns: dict[str, str]


VERBS = {
    "predict": Verb(opened_to_predict, predicted, {"position": "int64", "path": "string", "error": "string", "row": "string"}),
    "embed": Verb(
        opened_to_embed,
        embedded,
        {"position": "int64", "path": "string", "split": "string", "label": "string", "error": "string", "vector": ""},
    ),
}
