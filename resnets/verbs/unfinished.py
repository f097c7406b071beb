"""A file of vectors that is being made, which a later call can go on with.

Meanwhile the vectors lie in a folder beside the file, OUT.part, to which each image adds a row: to `vectors.f32` its numbers,
and then to `rows.jsonl` what is said of it. What a kill leaves half-written is cut off. At the end the file is made of these.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from resnets.errors import InputError
from resnets.files import is_file, read_json, to_json, write_json
from resnets.ship import vectors
from resnets.ship.vectors import Vectors

TOLD = 100  # unreadable images that the header names
SAME = ("model", "preprocess", "metric")  # of the header: what a file that is gone on with must have been begun with


class Embedded(TypedDict):
    """What was written: the file, how many images have a vector there, how long vectors are, and how many images could not be
    read."""

    file: str
    num_images: int
    num_features: int
    num_unreadable: int


class Unfinished:
    """A file of vectors that is being made: a context, which keeps the folder OUT.part unless `finish` was called.

    Args:
        out: the file in the end.
        header: of the file.
        before: vectors that come before the new ones in the file; their images are there already.

    Raises:
        InputError: where there is such a file or folder already and `resume` is not asked for; where that was begun by another
            model, or on other data; for a full disk.
    """

    def __init__(self, out: Path, header: dict[str, Any], *, resume: bool, before: Vectors | None = None) -> None:
        self.out, self.header, self.before = out, header, before
        self.folder = out.with_name(f"{out.name}.part")
        self.begun = self.folder / "header.json"
        if before is None and (out.exists() or out.is_symlink()):
            done = "it is finished; " * resume
            raise InputError(f"{out}: exists already; {done}remove it, or choose another place with -o")
        if self.folder.exists():
            self._check_begun(resume)
        self.there: set[int] = set()
        if before is not None:
            self.there |= {hash(pair) for pair in zip(_texts(before.splits), before.paths.tolist(), strict=True)}
        self.num_old = len(self.there)
        self.width, self.num, self.num_bad = 0, 0, 0

    def _check_begun(self, resume: bool) -> None:
        if not resume:
            raise InputError(f"{self.folder}: an earlier call has left this; go on with it by --resume, or remove the folder")
        if not self.begun.exists():
            return
        begun = read_json(self.begun, strict=False)
        for name in (*SAME, "data"):
            if json.loads(to_json(self.header[name])) != begun.get(name):
                words = {"model": "by another model, or another stage of it", "data": f"on other data ({begun.get('data')})"}
                raise InputError(
                    f"{self.folder}: begun {words.get(name, f'with another {name}')}; give the same, or remove the folder"
                )

    def __enter__(self) -> Unfinished:
        with self._blamed():
            self.folder.mkdir(parents=True, exist_ok=True)
            self._cut()
            self.vectors = (self.folder / "vectors.f32").open("ab", buffering=0)
            self.rows = (self.folder / "rows.jsonl").open("ab", buffering=0)
        return self

    def __exit__(self, *exc: object) -> None:
        self.vectors.close()
        self.rows.close()
        if not self.num and not self.num_bad:
            shutil.rmtree(self.folder, ignore_errors=True)

    @contextlib.contextmanager
    def _blamed(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(
                f"{self.folder}: cannot be written ({error.strerror}); free some space, or mend this, and go on by --resume"
            ) from error

    def _cut(self) -> None:
        """Cut off what a kill has left half-written, and note what is there."""
        vectors_file, rows_file = self.folder / "vectors.f32", self.folder / "rows.jsonl"
        if not (self.begun.exists() and is_file(vectors_file) and is_file(rows_file)):
            for path in (vectors_file, rows_file):
                path.unlink(missing_ok=True)
            return
        self.width = int(read_json(self.begun, strict=False)["num_features"])
        most, end = vectors_file.stat().st_size // (4 * self.width), 0
        with rows_file.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                row = json.loads(line)
                if "error" not in row and self.num == most:
                    break
                self.num, self.num_bad = self.num + ("error" not in row), self.num_bad + ("error" in row)
                self.there.add(hash((row["split"], os.fsencode(row["path"]))))
                end += len(line)
        os.truncate(rows_file, end)
        os.truncate(vectors_file, 4 * self.width * self.num)

    def has(self, split: str, path: bytes) -> bool:
        return hash((split, path)) in self.there

    def add(self, split: str, path: bytes, label: str, vector: np.ndarray | None, error: str | None) -> None:
        """Write the row of an image: its vector, then what is said of it."""
        with self._blamed():
            if vector is not None:
                if not self.width:
                    self._begin(len(vector))
                self.vectors.write(np.ascontiguousarray(vector, np.float32).data)
                self.num += 1
            else:
                self.num_bad += 1
            row = {"split": split, "path": os.fsdecode(path), "label": label, **({} if error is None else {"error": error})}
            self.rows.write(json.dumps(row).encode() + b"\n")

    def _begin(self, width: int) -> None:
        if self.before is not None and width != self.before.vectors.shape[1]:
            raise InputError(f"{self.out}: has vectors of {self.before.vectors.shape[1]} numbers, and the model gives {width}")
        self.width = width
        write_json(self.begun, {**self.header, "num_features": width})

    def finish(self) -> Embedded:
        """Make the file, and remove the folder.

        Raises:
            InputError: where no image could be read.
        """
        found, bad = self._found()
        header = {**self.header, "num_unreadable": self.num_bad, "unreadable": bad[:TOLD]}
        if found is None and self.before is None:
            first = "".join(f" ({path}: {reason})" for path, reason in bad[:1])
            shutil.rmtree(self.folder, ignore_errors=True)
            raise InputError(f"no image could be read{first}; `resnets data check` looks into a whole folder")
        parts = [each for each in (self.before, found) if each is not None]
        if found is not None:
            vectors.write(self.out, header, parts, [None] * len(parts))
        shutil.rmtree(self.folder, ignore_errors=True)
        num, width = sum(map(len, parts)), parts[0].vectors.shape[1]
        return {"file": str(self.out), "num_images": num, "num_features": width, "num_unreadable": self.num_bad}

    def _found(self) -> tuple[Vectors | None, list[tuple[str, str]]]:
        """The new vectors, mapped, and the images that could not be read."""
        rows: dict[str, list[bytes]] = {name: [] for name in vectors.TEXTS}
        bad = []
        with (self.folder / "rows.jsonl").open("rb") as file:
            for row in map(json.loads, file):
                if "error" in row:
                    bad.append((row["path"], row["error"]))
                    continue
                rows["paths"].append(os.fsencode(row["path"]))
                rows["splits"].append(row["split"].encode(errors="backslashreplace"))
                rows["labels"].append(row["label"].encode(errors="backslashreplace"))
        if not self.num:
            return None, bad
        mapped = np.memmap(self.folder / "vectors.f32", np.float32, "r", shape=(self.num, self.width))
        first = 0 if self.before is None or not len(self.before) else int(self.before.ids[-1]) + 1
        return vectors.of_rows(self.header, mapped, rows, first), bad


def _texts(column: np.ndarray) -> Iterator[str]:
    return (value.decode(errors="backslashreplace") for value in column.tolist())
