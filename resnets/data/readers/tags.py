"""Several labels per picture: CSV lists, and the categories of boxes as presence. No torch.

path,labels[,split]            a.jpg,cat|dog       labels between bars; an empty cell: none of them
path,cat,dog[,split]           a.jpg,1,0           or one column per label, with 1 or 0
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np

from resnets.data.frames import Frame
from resnets.data.pictures.images import printable
from resnets.data.readers.boxes import BoxTargets, Broken, read_voc
from resnets.data.readers.coco import read_coco
from resnets.data.readers.layouts import SPLITS, quoted, split_of
from resnets.data.readers.listed import is_there, listed_images, num_channels
from resnets.data.readers.lists import is_csv
from resnets.data.readers.walk import Spelled, one_spelling
from resnets.data.readers.yolo import read_yolo
from resnets.data.tables import csv_rows
from resnets.data.types import Source, Split
from resnets.errors import InputError

YES_NO = {"1": True, "0": False, "true": True, "false": False, "yes": True, "no": False, "1.0": True, "0.0": False}
OWN = ("path", "split", "labels")  # columns that are no labels
OTHERS = ("label", "target")  # columns by which lists for other tasks are known
HOW = "name path,labels (a|b), or path and one column per label"


def is_list(path: Path | Frame) -> bool:
    """Whether it is a CSV file whose first line has a path, and neither one class nor a number per picture."""
    if not is_csv(path):
        return False
    head = {cell.strip().lower() for cell in next(csv_rows(path))[1]}
    return "path" in head and not head & set(OTHERS)


class Line(NamedTuple):
    """One picture: its path, its labels, its split, and where in the file it stands."""

    path: str
    labels: frozenset[str]
    split: str
    where: str
    others: dict[str, str]  # cells of columns that are no labels


def read_list(path: Path | Frame, in_chans: int, labels: Sequence[str] | None = None, leave_out: Sequence[str] = ()) -> Source:
    """The list at `path`.

    Args:
        labels: names of a saved model; None: those of the columns, or that occur in the training split, sorted.
        leave_out: columns that are no labels, where they are there; they become `Split.columns`.

    Raises:
        InputError: where a line means nothing, a picture is missing or comes twice, a label is none of `labels`, or all
            training pictures have the same labels.
    """
    lines, columns = _lines(path, leave_out)
    parts = {split: [line for line in lines if line.split == split] for split in SPLITS}
    names = tuple(labels or columns or sorted({label for line in parts["train"] for label in line.labels}))
    if labels is None and not parts["train"]:
        raise InputError(f"{printable(path)}: no training pictures; add lines of the split train")
    if not names:
        raise InputError(f"{printable(path)}: no label in the training split; there is nothing to learn")
    for line in lines:
        if strange := sorted(line.labels - set(names)):
            known = "the model does not know" if labels else "the training split does not have"
            raise InputError(f"{line.where}: {known} {quoted(strange)}; it has {quoted(names, 20)}")
    find = Spelled(path.parent)
    lines = [line._replace(path=find(line.path) or line.path) for line in lines]
    if missing := [line for line in lines if not is_there(Path(path.parent, line.path))]:
        more = f", and {len(missing) - 1} pictures more" * (len(missing) > 1)
        raise InputError(f"{missing[0].where}: there is no '{missing[0].path}'{more}; paths are relative to the list")
    name = printable(path.stem)
    splits = {split: _split(name, path.parent, part, names, in_chans) for split, part in parts.items() if part}
    chans = num_channels(name, {split: part.images for split, part in splits.items()})
    source = Source(name, names, splits, in_chans, kind="tags")
    if chans is not None:
        source = dataclasses.replace(source, in_chans=chans, kind="volume_tags", hflip=False)
    return learnable(source, labels is None)


def learnable(source: Source, trains: bool) -> Source:
    """`source`. Raises `InputError` where it is to be trained on, and all training pictures have the same labels."""
    if trains and "train" in source.splits:
        there = source.splits["train"].targets.values > 0.5
        if (there == there[:1]).all():
            num = f"{len(there)} training pictures have" if len(there) > 1 else "one training picture has"
            raise InputError(
                f"{source.name}: {'all ' * (len(there) > 1)}{num} the same labels; add pictures with and without each of them"
            )
    return source


def _split(name: str, root: Path, lines: Sequence[Line], names: Sequence[str], in_chans: int) -> Split:
    targets = np.array([[label in line.labels for label in names] for line in lines], np.float32)
    others = {column: np.array([line.others[column] for line in lines]) for column in lines[0].others}
    return Split(listed_images(name, [line.path for line in lines], in_chans, root), targets, others)


def _lines(path: Path | Frame, leave_out: Sequence[str]) -> tuple[list[Line], tuple[str, ...]]:
    """The lines of the list, and the labels that have a column of their own, in order."""
    rows = csv_rows(path, strict=True)
    name, first = next(rows)
    head = [cell.strip() for cell in first]
    columns = _columns(head, leave_out, name)
    lines = [_line(row, head, columns, leave_out, where) for where, row in rows]
    seen: dict[str, str] = {}
    for line in lines:
        if (before := seen.setdefault(one_spelling(path.parent, line.path), line.where)) != line.where:
            raise InputError(f"{line.where}: {line.path} is there already ({before}); give each picture one line")
    return lines, columns


def _columns(head: Sequence[str], leave_out: Sequence[str], where: str) -> tuple[str, ...]:
    """The labels that have a column of their own."""

    def refuse(why: str, remedy: str) -> NoReturn:
        raise InputError(f"{where} line 1: {why}; {remedy} (it is: {','.join(head)[:80]!r})")

    lower = [name.lower() for name in head]
    columns = tuple(name for name in head if name.lower() not in OWN and name not in leave_out)
    if "path" not in lower:
        refuse("no column path", HOW)
    if twice := [name for name in lower if lower.count(name) > 1]:
        refuse(f"two columns are called {twice[0]!r}", "give each its own name")
    if "" in lower:
        refuse(f"column {lower.index('') + 1} has no name", "give it one, or remove it")
    if "label" in lower:
        refuse("a column label is one class per picture, for --task classify", f"for several {HOW}")
    if "labels" in lower and columns:
        refuse(f"labels in one cell, and columns of their own ({quoted(columns, 3)})", "keep one of the two")
    if "labels" not in lower and not columns:
        refuse("no labels", HOW)
    return columns


def _line(row: Sequence[str], head: Sequence[str], columns: Sequence[str], leave_out: Sequence[str], where: str) -> Line:
    if len(row) != len(head):
        raise InputError(f"{where}: {len(row)} cells under {len(head)} columns; add or remove commas, or quote the cells")
    cells = {name: cell.strip() for name, cell in zip(head, row, strict=True)}
    lower = {name.lower(): cell for name, cell in cells.items()}
    split = split_of(lower.get("split"), where)
    if not lower["path"]:
        raise InputError(f"{where}: the path is missing")
    if wrong := [name for name in columns if cells[name].lower() not in YES_NO]:
        told = "is empty" if not cells[wrong[0]] else f"is {cells[wrong[0]]!r}"
        raise InputError(f"{where}: {wrong[0]} {told}; write 1 where the picture has the label, else 0")
    named = [label.strip() for label in lower.get("labels", "").split("|")]
    if "" in named and len(named) > 1:
        raise InputError(f"{where}: labels are {lower['labels']!r}, and between two bars there is no label; remove a bar")
    if [name.lower() for name in named] == ["nan"]:
        raise InputError(f"{where}: labels are {lower['labels']!r}; leave the cell empty where the picture has none")
    there = [label for label in named if label] + [name for name in columns if YES_NO[cells[name].lower()]]
    return Line(lower["path"], frozenset(there), split, where, {name: cells[name] for name in leave_out if name in cells})


def refuse(path: Path | Frame, in_chans: int, labels: Sequence[str] | None = None) -> NoReturn:
    """Raises `InputError` for a list of another kind."""
    if is_csv(path):
        _lines(path, ())
    raise InputError(f"{printable(path)}: no list of pictures with labels; {HOW} in the first line of a CSV file")


# --- boxes --------------------------------------------------------------------------------------------------------------


def coco_presence(root: Path, in_chans: int, labels: Sequence[str] | None = None) -> Source:
    """The categories of a COCO folder as labels: those of which the picture has an object, crowds counted; without any: none.
    Raises as `coco.read_coco`."""
    return _presence(read_coco(root, in_chans, labels), labels)


def voc_presence(root: Path, in_chans: int, labels: Sequence[str] | None = None) -> Source:
    """The same of a Pascal VOC folder, objects marked difficult counted. Raises as `boxes.read_voc`, and where an annotation
    is missing or cannot be read: what is in that picture is not known."""
    return _presence(read_voc(root, in_chans, labels), labels)


def yolo_presence(root: Path, in_chans: int, labels: Sequence[str] | None = None) -> Source:
    """The same of YOLO's files. Raises as `yolo.read_yolo`, and where a label file cannot be read."""
    return _presence(read_yolo(root, in_chans, labels), labels)


def _presence(source: Source, labels: Sequence[str] | None) -> Source:
    splits = {}
    for name, split in source.splits.items():
        boxes: BoxTargets = split.targets
        targets = np.zeros((len(boxes), len(source.labels)), np.float32)
        for index, raw in enumerate(boxes.raw):
            if isinstance(raw, Broken):
                raise InputError(f"{split.images.name(index)}: {raw.reason}; mend it, or take the picture out of the list")
            targets[index, raw.labels] = 1
        splits[name] = Split(split.images, targets)
    if labels is None and "train" not in splits:
        raise InputError(f"{source.name}: no training split, only {', '.join(splits)}; add one")
    return learnable(dataclasses.replace(source, splits=splits, kind="tags"), labels is None)
