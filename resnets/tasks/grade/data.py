"""Pictures with a number or an ordered grade each. No torch.

path,target[,split]            a.jpg,37.5          a list; `--target` names another column
0/ 1/ 2/ ...                   2/a.jpg             folders named by whole numbers, or other classes so named
boxes, instance masks          count, count:RBC    how many objects a picture has
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resnets.data.frames import Frame, framed
from resnets.data.pictures.images import printable
from resnets.data.readers import known, memory, series, shard_labels, shards
from resnets.data.readers.boxes import BoxTargets
from resnets.data.readers.label_rules import BadLabel, NowhereError, RawBoxes, clean_boxes
from resnets.data.readers.layouts import quoted, split_of
from resnets.data.readers.listed import VOLUMES, is_there, listed_images, num_channels
from resnets.data.readers.lists import is_csv
from resnets.data.readers.masks import InstanceMasks, read_mask
from resnets.data.readers.walk import Spelled, one_spelling
from resnets.data.sources import existing, open_source, recognised
from resnets.data.tables import csv_rows
from resnets.data.types import Note, Source, Split, Values
from resnets.errors import InputError
from resnets.tasks.grade.settings import ORDINAL

DEFAULT, COUNT, GRADE = "target", "count", "grade"  # what targets are called: of a list, of objects, of folders
LARGEST = float(np.finfo(np.float32).max)  # of a target, as networks hold it
MOST_GRADES = 100
MOST_BINS = 10  # of a target, by which a validation split is stratified
PER_BIN = 10  # pictures that a bin has at least
ANY_SIZE = (2**31, 2**31)  # of a picture whose annotation does not say it


class Targets(Values):
    """Numbers (N,) float32, or positions of grades (N,) int64, and what they are called."""

    def __init__(self, values: np.ndarray, name: str) -> None:
        super().__init__(values)
        self.name = name

    def codes(self) -> np.ndarray:
        """The grades; of numbers which tenth of them each is in, or which larger part where there are few. What is in the same
        part may go to validation for another."""
        if self.values.dtype.kind in "iu":
            return super().codes()
        num_bins = max(1, min(MOST_BINS, len(self) // PER_BIN))
        edges = np.quantile(self.values, np.arange(1, num_bins) / num_bins) if len(self) else np.empty(0)
        return np.searchsorted(edges, self.values, side="right").astype(np.int64)

    def subset(self, indices: np.ndarray) -> Targets:
        return Targets(self.values[indices], self.name)

    def joined(self, other: Values) -> Targets:
        return Targets(np.concatenate([self.values, other.values]), self.name)


class Part(NamedTuple):
    """A split as it is found: numbers (N,) float64, where each of them stands, and the list's other columns."""

    images: Any
    values: np.ndarray
    where: Callable[[int], str]
    columns: dict[str, np.ndarray]


class Found(NamedTuple):
    """Data as it is found: its name, what the numbers are called, whether they are grades by themselves, and its splits."""

    name: str
    target: str
    graded: bool
    parts: dict[str, Part]
    size: tuple[int, int] | None = None
    hflip: bool = True
    notes: tuple[Note, ...] = ()  # of the reader
    kind: str = "classes"  # as of `Source`
    in_chans: int | None = None  # where the data decides


def read(
    data: Any,
    *,
    target: str | None,
    loss: str,
    scale: str,
    in_chans: int | None,
    labels: Sequence[str] | None,
    data_dir: str | Path | None,
    dims: int | None = None,
) -> Source:
    """The data at a path or in memory, or a built-in dataset.

    Args:
        target: what is learnt, as the setting of that name says.
        loss: as the setting says; "corn" makes grades of the numbers, "auto" of those that are grades by themselves.
        scale: of the loss; "log" takes no negative number.
        labels: of a saved model, whose grades these are; None: those of the training split.
        dims: as of `open_source`.

    Raises:
        InputError: where there is no such data, a cell is no number, or a number suits the loss or the model not.
    """
    found = _found(data, target, in_chans, data_dir, dims)
    if labels is None:
        _check_training(found)
    ordinal = loss == ORDINAL or (loss == "auto" and found.graded)
    names: tuple[str, ...] = (found.target,)
    if ordinal:
        names = tuple(labels or _grades(found))
    elif scale == "log":
        _refuse(found, lambda values: values < 0, "is negative; --target-scale log is for counts and amounts from 0 on")
    splits = {}
    for name, part in found.parts.items():
        values = _positions(found, part, names, labels is not None) if ordinal else part.values.astype(np.float32)
        splits[name] = Split(part.images, Targets(values, found.target), part.columns)
    chans = memory.channels(next(iter(found.parts.values())).images) if found.in_chans is None else found.in_chans
    return Source(found.name, names, splits, chans, found.kind, size=found.size, hflip=found.hflip, notes=found.notes)


def _found(data: Any, target: str | None, in_chans: int | None, data_dir: str | Path | None, dims: int | None) -> Found:
    data = framed(data)
    if memory.in_memory(data) and (listed := memory.series_in(data, dims)) is not None:
        return _series(listed, target or DEFAULT)
    if memory.in_memory(data) or str(data) in known.KNOWN:
        return _classes(open_source(data, data_dir=data_dir, in_chans=in_chans))
    path = shards.as_pattern(data) or existing(data)
    if isinstance(path, str | Path) and shard_labels.is_numbered(path):
        return _shards(path, 3 if in_chans is None else in_chans)
    if isinstance(path, str):
        return _classes(open_source(path, in_chans=in_chans))
    if isinstance(path, Path) and series.is_listed(path):
        return _series(series.listed(path, target), target or DEFAULT)
    if is_csv(path):
        return _list(path, target, 3 if in_chans is None else in_chans)
    kind = recognised(data)[1].holds
    if kind == "boxes":
        return _counts(open_source(data, kind, in_chans=in_chans), target)
    if kind == "masks":
        raise InputError(
            f"{printable(path)}: masks without objects, of which nothing can be counted; give instances/ or a list"
        )
    return _classes(open_source(data, in_chans=in_chans))


# --- series ---


def _series(found: series.Listed, target: str) -> Found:
    """Numbers from the labels of series."""
    parts = {}
    for split, rows in found.parts.items():
        images = rows.images(split)
        if len(rows.labels) != len(images) or np.ndim(rows.labels) != 1:
            raise InputError(f"{found.name}: {split} has no number for each series; add y (N,) to X, or a column")
        values = np.array([_number(str(label), target, images.name(at)) for at, label in enumerate(rows.labels)])
        parts[split] = Part(images, values, images.name, dict(rows.columns))
    chans = len(next(iter(found.parts.values())).values[0])
    return Found(found.name, target, False, parts, hflip=False, notes=found.notes, kind="series", in_chans=chans)


# --- shards ---


def _shards(path: str | Path, in_chans: int) -> Found:
    """Shards with a number for each image."""
    name, target, splits = shard_labels.read_numbers(path, in_chans)
    parts = {split: Part(each.images, each.values, each.images.name, each.columns) for split, each in splits.items()}
    return Found(name, target, False, parts)


# --- folders and other classes ---


def _classes(source: Source) -> Found:
    """Numbers from the names of classes."""
    try:
        values = np.array([int(label) for label in source.labels], np.float64)
    except ValueError:
        raise InputError(
            f"{source.name}: its classes are called {quoted(source.labels)}; name them by grades, whole numbers such as 0 to "
            "4, or give a list with path,target"
        ) from None
    parts = {
        name: Part(split.images, values[split.targets.values], split.images.name, dict(split.columns))
        for name, split in source.splits.items()
    }
    chans = None if source.dims == 2 else source.in_chans
    return Found(source.name, GRADE, True, parts, source.size, source.hflip, source.notes, source.kind, chans)


# --- objects ---


def _counts(source: Source, target: str | None) -> Found:
    """How many objects each picture has, or how many of a class."""
    word, _, label = (target or COUNT).partition(":")
    if word != COUNT or (label and label not in source.labels):
        choices = [COUNT, *(f"{COUNT}:{name}" for name in source.labels)]
        raise InputError(f"target={target}: {source.name} has objects; give one of {quoted(choices, 20)}")
    wanted = source.labels.index(label) if label else None
    parts = {
        name: Part(split.images, np.array(_numbers(split.targets, wanted), np.float64), split.images.name, {})
        for name, split in source.splits.items()
    }
    return Found(source.name, target or COUNT, False, parts, notes=source.notes)


def _numbers(targets: Any, wanted: int | None) -> list[int]:
    """The number of objects of each picture that are not to be ignored, or of those of the class `wanted`."""

    def boxes(index: int) -> int:
        raw = targets.raw[index]
        if not isinstance(raw, RawBoxes):
            raise BadLabel(targets.images.name(index), raw.reason, raw.rule)
        try:
            found = clean_boxes(raw, raw.size or ANY_SIZE, targets.names)[0]
        except NowhereError as error:
            raise BadLabel(targets.images.name(index), str(error), "not_finite") from error
        return int((~found.ignore & ((found.labels == wanted) | (wanted is None))).sum())

    def instances(index: int) -> int:
        return int(np.count_nonzero(np.unique(read_mask(targets.masks.path(index)))))

    assert isinstance(targets, BoxTargets | InstanceMasks)
    count = boxes if isinstance(targets, BoxTargets) else instances
    try:
        with ThreadPoolExecutor() as pool:
            return list(pool.map(count, range(len(targets))))
    except BadLabel as error:
        raise InputError(f"{error}; its objects cannot be counted: mend the annotation, or take the picture out") from error


# --- lists ---


def _list(path: Path | Frame, target: str | None, in_chans: int) -> Found:
    """The list at a path."""
    rows = csv_rows(path, strict=True)
    name, first = next(rows)
    head = [cell.strip() for cell in first]
    lower = [cell.lower() for cell in head]
    if "path" not in lower or len(set(lower)) < len(lower):
        raise InputError(f"{name}: the first line must name path,target, each column once (it is: {','.join(head)[:80]!r})")
    place, at, find = head.index(_column(head, target, name)), lower.index("path"), Spelled(path.parent)
    kept: dict[str, list[tuple[str, list[str], float]]] = {}
    seen: dict[str, str] = {}
    for where, row in rows:
        if len(row) != len(head):
            raise InputError(f"{where}: {len(row)} cells under {len(head)} columns; add or remove commas, or quote the cells")
        cells = [cell.strip() for cell in row]
        picture = cells[at]
        if not picture:
            raise InputError(f"{where}: the path is missing")
        if (before := seen.setdefault(one_spelling(path.parent, picture), where)) != where:
            raise InputError(f"{where}: {picture} is there already ({before}); give each picture one line")
        split = split_of(cells[lower.index("split")] if "split" in lower else None, where)
        cells[at] = find(picture) or picture
        kept.setdefault(split, []).append((where, cells, _number(cells[place], head[place], where)))
    listed = [cells[at] for lines in kept.values() for _, cells, _ in lines]
    if missing := [picture for picture in listed if not is_there(Path(path.parent, picture))]:
        raise InputError(
            f"{name}: {len(missing)} of its pictures not found: {quoted(missing, 3)}; paths are relative to the list"
        )
    others = {i: column for i, column in enumerate(head) if i != place and column.lower() not in ("path", "split")}
    parts = {split: _part(name, path.parent, at, kept[split], others, in_chans) for split in sorted(kept, key=_order)}
    found = Found(printable(path.stem), head[place], False, parts)
    chans = num_channels(name, {split: part.images for split, part in parts.items()})
    return found if chans is None else found._replace(kind=VOLUMES, in_chans=chans, hflip=False)


def _part(name: str, root: Path, place: int, lines: Sequence[Any], others: dict[int, str], in_chans: int) -> Part:
    wheres, rows, values = zip(*lines, strict=True)
    columns = {column: np.array([row[i] for row in rows], dtype=object) for i, column in others.items()}
    images = listed_images(name, [row[place] for row in rows], in_chans, root)
    return Part(images, np.array(values), wheres.__getitem__, columns)


def _order(split: str) -> int:
    return ("train", "val", "test").index(split)


def _column(head: Sequence[str], target: str | None, where: str) -> str:
    """The column that holds the targets."""
    open_to = [column for column in head if column.lower() not in ("path", "split")]
    if target is not None:
        if target not in open_to:
            raise InputError(f"target={target}: {where} has no such column; it has {quoted(open_to, 20) or 'none'}")
        return target
    named = [column for column in open_to if column.lower() == DEFAULT] or open_to
    if not named:
        raise InputError(f"{where}: no column of targets beside the path; write path,target")
    if len(named) > 1:
        raise InputError(f"{where}: which column is to be learnt? Name one by --target: {quoted(named, 20)}")
    return named[0]


def _number(cell: str, column: str, where: str) -> float:
    if not cell:
        raise InputError(f"{where}: {column} is empty; give a number, or take the line out")
    try:
        value = float(cell)
    except ValueError:
        raise InputError(
            f"{where}: {column} is {cell[:40]!r}, no number; name another column by --target, or use --task classify"
        ) from None
    if not abs(value) <= LARGEST:
        raise InputError(f"{where}: {column} is {cell[:40]!r}; give a finite number of at most {LARGEST:.3g}, or leave it out")
    return value


# --- what suits ---


def _check_training(found: Found) -> None:
    if "train" not in found.parts:
        raise InputError(f"{found.name}: no training split, only {', '.join(found.parts) or 'nothing'}; add pictures of it")
    values = found.parts["train"].values
    if len(set(values.astype(np.float32).tolist())) < 2:
        only = f"{found.target} of all {len(values)} is {values[0]:g}" if len(values) else "there is no picture"
        raise InputError(f"{found.name}: in the training split {only}; there is nothing to learn")


def _grades(found: Found) -> tuple[str, ...]:
    """The grades from the lowest to the highest of the training split."""
    _refuse(
        found, lambda values: values != np.rint(values), f"is no grade; --loss {ORDINAL} is for whole numbers, huber for others"
    )
    values = found.parts["train"].values
    first, last = int(values.min()), int(values.max())
    if last - first >= MOST_GRADES:
        raise InputError(
            f"{found.name}: grades from {first} to {last}, and --loss {ORDINAL} takes at most {MOST_GRADES}; use --loss huber"
        )
    return tuple(map(str, range(first, last + 1)))


def _positions(found: Found, part: Part, labels: Sequence[str], trained: bool) -> np.ndarray:
    """(N,) int64: where the grades of a split are in `labels`."""
    first, last = int(labels[0]), int(labels[-1])
    who = "the model knows" if trained else "the training split has"
    _refuse(
        found._replace(parts={"": part}),
        lambda values: (values < first) | (values > last) | (values != np.rint(values)),
        f"is no grade that {who}, which are {first} to {last}; take it out",
    )
    return (part.values - first).astype(np.int64)


def _refuse(found: Found, wrong: Callable[[np.ndarray], np.ndarray], words: str) -> None:
    """Raise `InputError` for the first number that is wrong."""
    for part, positions in _wrong(found, wrong):
        value, more = part.values[positions[0]], len(positions) - 1
        raise InputError(
            f"{part.where(int(positions[0]))}: {found.target} {value:g} {words}" + f" (and {more} more)" * (more > 0)
        )


def _wrong(found: Found, wrong: Callable[[np.ndarray], np.ndarray]) -> Iterator[tuple[Part, np.ndarray]]:
    for part in found.parts.values():
        if len(positions := np.flatnonzero(wrong(part.values))):
            yield part, positions
