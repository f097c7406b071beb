"""Lists of pictures and their classes: .csv files, or DataFrames in their place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from resnets.data.frames import Frame
from resnets.data.pictures.images import printable
from resnets.data.readers.layouts import SPLITS, Found, Part, ordered, quoted, split_of
from resnets.data.readers.listed import is_there, listed_images
from resnets.data.readers.walk import Spelled, one_spelling
from resnets.data.tables import csv_rows
from resnets.data.types import Note
from resnets.errors import InputError
from resnets.files import is_file

COLUMNS = ("path", "label", "split")  # that are read


class Line(NamedTuple):
    """A line of a CSV list."""

    path: str
    label: str
    split: str | None  # None if the file has no such column
    where: str  # for messages: "list.csv line 7"
    names: tuple[str, ...] = ()  # of the other columns, and what they hold
    cells: tuple[str, ...] = ()


def is_csv(path: Path | Frame) -> bool:
    """Whether it is a CSV file, or a DataFrame in the place of one."""
    return isinstance(path, Frame) or (path.suffix.lower() == ".csv" and is_file(path))


def read_csv(path: Path | Frame, in_chans: int) -> Found:
    """Read a file, or a DataFrame, with the header `path,label` or `path,label,split`; without the third column all images are
    for training.

    Raises:
        InputError: if it is not such a file, an image is missing, or an image has two labels or splits.
    """
    splits: dict[str, list[Line]] = {}
    for line in _lines(path):
        splits.setdefault(split_of(line.split, line.where), []).append(line)
    return _listed(printable(path.stem), path.parent, splits, in_chans)


def read_part(path: Path | Frame, split: str, in_chans: int) -> Part:
    """Read a list with `path,label` as the split that it is; a column `split` is one that is not read. Raises as `read_csv`."""
    return _listed(printable(path.stem), path.parent, {split: list(_lines(path, COLUMNS[:2]))}, in_chans).parts[split]


def is_csv_folder(root: Path) -> bool:
    return any(is_csv(root / f"{split}.csv") for split in SPLITS)


def read_csv_folder(root: Path, in_chans: int) -> Found:
    """Read a folder with train.csv and optionally val.csv and test.csv. Raises as `read_csv`."""
    files = {split: root / f"{split}.csv" for split in SPLITS if is_csv(root / f"{split}.csv")}
    splits = {split: list(_lines(path, COLUMNS[:2])) for split, path in files.items()}
    return _listed(printable(root.resolve().name), root, splits, in_chans)


def _lines(path: Path | Frame, read: Sequence[str] = COLUMNS) -> Iterator[Line]:
    """The lines of a list, of which the columns `read` are read."""
    rows = csv_rows(path, strict=True)
    name, first = next(rows)
    header = [cell.strip().lower() for cell in first]
    if not {"path", "label"} <= set(header):
        raise InputError(
            f"{name}: the first line must name the columns path,label (it is: {','.join(header)[:80]!r})"
            + "; several labels per image are for --task tag" * ("labels" in header)
        )
    if len(set(header)) < len(header):
        raise InputError(
            f"{name}: the first line names a column twice (it is: {','.join(header)[:80]!r}); give each its own name"
        )
    columns = [header.index(column) if column in header and column in read else None for column in COLUMNS]
    others = {cell.strip(): i for i, cell in enumerate(first) if cell.strip() and i not in columns}
    for where, row in rows:
        if any(cell.strip() for cell in row[len(header) :]):
            raise InputError(f"{where}: {len(row)} cells under {len(header)} columns; add or remove commas, or quote the cells")
        picture, label, split = ("" if i is None or i >= len(row) else row[i].strip() for i in columns)
        if not (picture and label):
            raise InputError(f"{where}: the path or the label is missing")
        if "\n" in picture + label + split:
            raise InputError(f"{where}: a quote is open, and the next lines became part of the cell; close or remove the quote")
        cells = tuple("" if i >= len(row) else row[i].strip() for i in others.values())
        yield Line(picture, label, None if columns[2] is None else split, where, tuple(others), cells)


def _listed(name: str, root: Path, splits: dict[str, list[Line]], in_chans: int) -> Found:
    known: dict[str, tuple[str, str]] = {}
    find = Spelled(root)
    missing: list[str] = []
    repeated: list[str] = []
    respelled: list[str] = []
    parts: dict[str, Part] = {}
    for split, lines in splits.items():
        paths, labels, cells = [], [], []
        for line in lines:
            here, key = (split, line.label), one_spelling(root, line.path)
            before = known.get(key)
            if before == here:
                repeated.append(line.where)
                continue
            if before:
                raise InputError(
                    f"{line.where}: {line.path} is in {split} with label '{line.label}', above it is in {before[0]} with label "
                    f"'{before[1]}'; give each image one label and one split"
                )
            known[key] = here
            there = line.path
            if not is_there(Path(root, there)):
                there = find(line.path) or line.path
                (missing if there == line.path else respelled).append(line.path)
            paths.append(there)
            labels.append(line.label)
            cells.append(line.cells)
        if paths and not missing:
            classes, codes = np.unique(np.array(labels, dtype=object), return_inverse=True)
            columns = {name: np.array(column) for name, column in zip(lines[0].names, zip(*cells, strict=True), strict=True)}
            parts[split] = Part(listed_images(name, paths, in_chans, root), tuple(classes), codes.astype(np.int64), columns)
    if missing:
        raise InputError(
            f"{name}: {len(missing)} files of the list do not exist: {quoted(missing, 3)}; paths count from {printable(root)}"
        )
    if not parts:
        raise InputError(f"{name}: the list holds no images; write one line for each, as cats/1.jpg,cat")
    notes = (
        [Note("repeated", f"{len(repeated)} lines name an image again, as {repeated[0]}; it counts once")] if repeated else []
    )
    if respelled:
        words = (
            f"{len(respelled)} paths are spelled in another form of Unicode (NFC, NFD) than the files: {quoted(respelled, 3)}"
        )
        notes.append(Note("spelling", words))
    return ordered(name, parts, tuple(notes))
