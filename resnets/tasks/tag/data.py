"""Lists of pictures with several labels each. No torch.

path,labels[,split]            a.jpg,cat|dog       labels between bars; an empty cell: none of them
path,cat,dog[,split]           a.jpg,1,0           or one column per label, with 1 or 0
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from resnets.data.foreign import is_file
from resnets.data.pictures.images import FileImages, printable
from resnets.data.readers.layouts import SPLITS, csv_rows, is_csv, quoted, split_of
from resnets.data.sources import existing
from resnets.data.types import Source, Split
from resnets.errors import InputError

YES_NO = {"1": True, "0": False, "true": True, "false": False, "yes": True, "no": False}


class Line(NamedTuple):
    """One picture: its path, its labels, its split, and where in the file it stands."""

    path: str
    labels: frozenset[str]
    split: str
    where: str


def read(data: str, in_chans: int | None, labels: Sequence[str] | None) -> Source:
    """The list at the path `data`.

    Args:
        labels: names of a saved model; None: those of the columns, or that occur in the training split, sorted.

    Raises:
        InputError: where there is no such list, a line means nothing, a picture is missing or comes twice, or a label is none
            of `labels`.
    """
    path = existing(data)
    if not is_csv(path):
        raise InputError(f"{printable(path)}: not a list; give a CSV file with path,labels (a|b), or path and a column a label")
    lines, columns = _lines(path)
    parts: dict[str, list[Line]] = {split: [] for split in SPLITS}
    for line in lines:
        parts[line.split].append(line)
    names = tuple(labels or columns or sorted({label for line in parts["train"] for label in line.labels}))
    if not names:
        raise InputError(f"{printable(path)}: no label in the training split; there is nothing to learn")
    if strange := sorted({label for line in lines for label in line.labels} - set(names)):
        known = "the model does not know" if labels else "the training split does not have"
        raise InputError(f"{printable(path)}: {known} {quoted(strange)}; it has {quoted(names, 20)}")
    if missing := [line.path for line in lines if not is_file(Path(path.parent, line.path))]:
        raise InputError(
            f"{printable(path)}: {len(missing)} of its pictures not found: {quoted(missing, 3)}; paths are relative to the list"
        )
    splits = {split: _split(path.parent, part, names, in_chans or 3) for split, part in parts.items() if part}
    return Source(printable(path.stem), names, splits, in_chans or 3)


def _split(root: Path, lines: Sequence[Line], names: Sequence[str], in_chans: int) -> Split:
    targets = np.array([[name in line.labels for name in names] for line in lines], np.float32)
    return Split(FileImages([line.path for line in lines], in_chans, root), targets)


def _lines(path: Path) -> tuple[list[Line], tuple[str, ...]]:
    """The lines of the list, and the labels that have a column of their own, in order."""
    rows = csv_rows(path, strict=True)
    name, first = next(rows)
    head = [cell.strip() for cell in first]
    columns = _columns(head, name)
    lines = [_line(row, head, columns, where) for where, row in rows]
    seen: dict[str, str] = {}
    for line in lines:
        if (before := seen.setdefault(os.path.normpath(line.path), line.where)) != line.where:
            raise InputError(f"{line.where}: {line.path} is there already ({before}); give each picture one line")
    return lines, columns


def _columns(head: Sequence[str], where: str) -> tuple[str, ...]:
    lower = [name.lower() for name in head]
    columns = tuple(name for name in head if name.lower() not in ("path", "split", "labels"))
    if "path" not in lower or len(set(lower)) < len(lower) or ("labels" in lower) == bool(columns):
        raise InputError(
            f"{where}: the first line must name path,labels, or path and one column per label (it is: {','.join(head)[:80]!r})"
        )
    return columns


def _line(row: Sequence[str], head: Sequence[str], columns: Sequence[str], where: str) -> Line:
    if len(row) != len(head):
        raise InputError(f"{where}: {len(row)} cells under {len(head)} columns; add or remove commas, or quote the cells")
    cells = {name: cell.strip() for name, cell in zip(head, row, strict=True)}
    lower = {name.lower(): cell for name, cell in cells.items()}
    split = split_of(lower.get("split", ""), where)
    if not lower["path"]:
        raise InputError(f"{where}: the path is missing")
    if wrong := [name for name in columns if cells[name].lower() not in YES_NO]:
        raise InputError(f"{where}: {wrong[0]} is {cells[wrong[0]]!r}; write 1 where the picture has the label, else 0")
    named = [label.strip() for label in lower.get("labels", "").split("|")]
    there = [label for label in named if label] + [name for name in columns if YES_NO[cells[name].lower()]]
    return Line(lower["path"], frozenset(there), split, where)
