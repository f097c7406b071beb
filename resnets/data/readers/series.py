"""Layouts of series: archives, files of UCR and UEA, wide CSV, and folders of WAV or CSV files. Each reader makes a `Found`.

series.npz                 X (N, C, L) or (N, L), y (N,); or X_train, y_train, X_test, ...
NAME_TRAIN.ts NAME_TEST.ts the same as .tsv or .txt; one of them, or their folder
table.csv                  a series in each row, and its label
[{train,val,test}/]<class>/*.wav, or *.csv with a row for each time
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resnets.data.pictures.images import IMAGE_SUFFIXES, printable
from resnets.data.readers.layouts import SPLIT_WORDS, SPLITS, Found, Part, quoted, split_of
from resnets.data.readers.walk import Left, folders, walk
from resnets.data.series import files, rows
from resnets.data.series.rows import Rows
from resnets.data.series.series import FileSeries, shares
from resnets.data.types import Note, Source, Split
from resnets.errors import InputError
from resnets.files import is_file

SETS = re.compile(
    r"(?P<name>.+)_(?P<split>train|training|val|valid|validation|test|testing)\.(?P<suffix>ts|tsv|txt)", re.IGNORECASE
)
TABLES = ("train", "val", "test")  # names of wide CSV files in a folder


# --- what is there ---


class Listed(NamedTuple):
    """The splits of some series before they have classes, and what is to be said of them."""

    name: str
    parts: Mapping[str, Rows]
    notes: tuple[Note, ...] = ()


def set_files(path: Path) -> dict[str, Path]:
    """The files of a set of UCR or UEA by split, of one of them or of their folder; none where it is no such set.

    Of one name in several formats the .ts files count. Raises `InputError` where a folder has several sets.
    """
    folder = path.parent if is_file(path) else path
    here = SETS.fullmatch(path.name) if folder != path else None
    if folder != path and here is None:
        return {"": path} if path.suffix.lower() in rows.READERS else {}
    found: dict[str, dict[str, dict[str, Path]]] = {}
    for entry in sorted(folder.iterdir()) if folder.is_dir() else []:
        match = SETS.fullmatch(entry.name)
        if match and is_file(entry):
            splits = found.setdefault(match["name"], {}).setdefault(match["suffix"].lower(), {})
            splits[SPLIT_WORDS[match["split"].lower()]] = entry
    if here is not None:
        return found[here["name"]][here["suffix"].lower()]
    if not found:
        return {}
    name = folder.name if folder.name in found else next(iter(found))
    if len(found) > 1 and name != folder.name:
        raise InputError(f"{printable(folder)}: several sets, {quoted(found)}; give a file of one, as {name}_TRAIN.ts")
    return next(found[name][suffix] for suffix in ("ts", "tsv", "txt") if suffix in found[name])


def is_text(path: Path) -> bool:
    return bool(set_files(path))


def is_npz(path: Path) -> bool:
    return path.suffix.lower() == ".npz" and is_file(path) and bool(rows.arrays_in(rows.names_in(path)))


def is_wide(path: Path) -> bool:
    return path.suffix.lower() == ".csv" and is_file(path) and rows.is_wide(path)


def is_wide_folder(root: Path) -> bool:
    return any(is_wide(root / f"{split}.csv") for split in TABLES)


def is_folder(root: Path) -> bool:
    """Whether there are folders of classes, of WAV or CSV files and not of pictures: by the first file of either kind."""
    known = (*files.SUFFIXES, *IMAGE_SUFFIXES)
    for folder in folders(root):
        first = next(walk(folder, folder.name, Left(), suffixes=known), None)
        if first is not None:
            return first.lower().endswith(files.SUFFIXES)
    return False


def is_listed(path: Path) -> bool:
    """Whether it is in files with many series each."""
    return any(known(path) for known in (is_npz, is_wide, is_wide_folder, is_text))


# --- many series in a file ---


def listed(path: Path, target: str | None = None) -> Listed:
    """The series of files that have many each, with their labels. Raises `InputError`."""
    name, parts = printable(path.stem), dict[str, Rows]()
    if is_npz(path):
        parts = {split or "train": each for split, each in rows.read_npz(path).items()}
    elif is_wide(path):
        parts = _by_split(rows.read_wide(path, target), printable(path))
    elif is_wide_folder(path):
        tables = {split: path / f"{split}.csv" for split in TABLES if is_wide(path / f"{split}.csv")}
        parts = {split: rows.read_wide(table, target) for split, table in tables.items()}
        name = printable(path.resolve().name)
    else:
        found = set_files(path)
        parts = {split or "train": rows.READERS[each.suffix.lower()](each) for split, each in found.items()}
        match = SETS.fullmatch(next(iter(found.values())).name)
        name = printable(match["name"]) if match else name
    return Listed(name, {split: parts[split] for split in SPLITS if split in parts}, tuple(_notes(parts)))


def _by_split(whole: Rows, name: str) -> dict[str, Rows]:
    if not whole.split:
        return {"train": whole}
    words = [split_of(word, name) for word in whole.split]
    found = {}
    for split in dict.fromkeys(words):
        at = [place for place, word in enumerate(words) if word == split]
        columns = {key: column[at] for key, column in whole.columns.items()}
        labels = [whole.labels[place] for place in at] if len(whole.labels) else []
        found[split] = whole._replace(values=[whole.values[place] for place in at], labels=labels, columns=columns, split=())
    return found


def _notes(parts: Mapping[str, Rows]) -> list[Note]:
    """How labels were found, and what of the values is missing."""
    first, notes = next(iter(parts.values())), []
    if first.label:
        notes.append(Note("label_column", f"labels are {first.label}", level="note"))
    if num := sum(each.shortened for each in parts.values()):
        notes.append(Note("shortened", f"{num:,} series end where all further values are missing", level="note"))
    return notes + missing_note({split: each.images(split) for split, each in parts.items()})


def missing_note(images: Mapping[str, Any]) -> list[Note]:
    missing = {split: share for split, share in shares(images).items() if share}
    if not missing:
        return []
    told = ", ".join(f"{share:.2%} of {split}" for split, share in missing.items())
    words = "they are interpolated linearly, at the ends the nearest value is held, and a channel without any is at the mean"
    return [Note("missing", f"missing values: {told}; {words}", level="note")]


def read(path: Path, in_chans: int | None = None) -> Found:
    """Files with many series each, and a class for each series. Raises `InputError`."""
    return with_classes(listed(path))


def with_classes(found: Listed) -> Found:
    """Labels as classes, numbers in their order. Raises `InputError` where there are none, or as many as series."""
    parts: dict[str, Part] = {}
    chans = {len(each.values[0]) for each in found.parts.values()}
    if len(chans) > 1:
        raise InputError(f"{found.name}: series of {', '.join(map(str, sorted(chans)))} channels; each needs the same")
    for split, each in found.parts.items():
        if not len(each.labels):
            raise InputError(f"{found.name}: no labels of {split}; add y to X, or a label to each series")
        labels = np.asarray(each.labels)
        if labels.ndim != 1 or each.is_number or (labels.dtype.kind == "f" and (labels != np.rint(labels)).any()):
            tasks = "several labels a series are for --task tag" if labels.ndim == 2 else "numbers are for --task grade"
            raise InputError(f"{found.name}: labels of {split} are no classes; {tasks}")
        names = [rows.name_of(label) for label in labels.tolist()]
        classes = each.classes or ordered(set(names))
        if len(classes) > max(2, len(names) // 2) and split == "train" and not each.classes:
            where = f", {each.label}," * bool(each.label)
            raise InputError(
                f"{found.name}: {len(classes)} labels{where} of {len(names)} series are no classes; name the column "
                "label, or use --task grade"
            )
        place = {label: code for code, label in enumerate(classes)}
        codes = np.array([place[label] for label in names], np.int64)
        parts[split] = Part(each.images(split), classes, codes, each.columns)
    return Found(found.name, parts, hflip=False, notes=found.notes, kind="series", in_chans=chans.pop())


def ordered(names: set[str]) -> tuple[str, ...]:
    """Names of classes in order: whole numbers by their value."""
    try:
        return tuple(sorted(names, key=int))
    except ValueError:
        return tuple(sorted(names))


def of_memory(data: Mapping[str, Any], name: str) -> Listed:
    """Pairs (X, y) by split, as `rows.of_arrays` takes them."""
    parts = {split: rows.of_arrays(series, labels, f"{split}: X") for split, (series, labels) in data.items()}
    return Listed(name, parts, tuple(_notes(parts)))


# --- several labels each ---


def is_tagged(path: Path) -> bool:
    """Whether it is an archive with a column for each label."""
    if not is_npz(path):
        return False
    return all(np.ndim(each.labels) == 2 for each in rows.read_npz(path).values())


def read_tagged(path: Path, in_chans: int | None, labels: Sequence[str] | None) -> Source:
    """y (N, labels) of 0 and 1; their names are in an array `labels` or `names` of the archive, else 0, 1, ..."""
    found = listed(path)
    first = next(iter(found.parts.values()))
    num = np.asarray(first.labels).shape[1]
    names = tuple(labels) if labels is not None else rows.label_names(path, num)
    splits = {}
    for split, each in found.parts.items():
        values = np.asarray(each.labels)
        if values.shape[1] != len(names) or not np.isin(values, (0, 1)).all():
            raise InputError(f"{found.name}: labels of {split} {values.shape}; give 0 or 1 for each of {len(names)}")
        splits[split] = Split(each.images(split), values.astype(np.float32), each.columns)
    return Source(found.name, names, splits, len(first.values[0]), kind="series_tags", hflip=False, notes=found.notes)


# --- a series in a file ---


def read_folder(root: Path, in_chans: int | None = None) -> Found:
    """`[{train,val,test}/]<class>/**/*.wav` or `*.csv`. Raises `InputError` where they differ in rate or channels."""
    here = [folder for folder in folders(root) if folder.name.lower() in SPLIT_WORDS]
    is_split = bool(here) and len(here) == len(folders(root)) and any(folders(folder) for folder in here)
    roots = {SPLIT_WORDS[folder.name.lower()]: folder for folder in here} if is_split else {"train": root}
    left, parts, headers = Left(), dict[str, tuple[list[str], list[str]]](), dict[str, files.Header]()
    bad: list[str] = []
    for split, folder in roots.items():
        paths: list[str] = []
        labels: list[str] = []
        for inner in folders(folder):
            prefix = str(inner.relative_to(root))
            found = sorted(walk(inner, prefix, left, suffixes=files.SUFFIXES))
            paths += found
            labels += [printable(inner.name)] * len(found)
        parts[split] = paths, labels
        for path in paths:
            try:
                headers[path] = files.header_of(root / path)
            except InputError:
                bad.append(path)  # said when it is read, and by `data check`
    name = printable(root.resolve().name)
    if not headers:
        raise InputError(f"{name}: no WAV or CSV file that can be read in its folders of classes")
    same = files.need_same(headers, name)
    made = {}
    for split in (split for split in SPLITS if split in parts):
        paths, labels = parts[split]
        classes = ordered(set(labels))
        codes = np.array([classes.index(label) for label in labels], np.int64)
        made[split] = Part(FileSeries(paths, same.chans, root, same.rate), classes, codes)
    return Found(name, made, hflip=False, notes=left.notes(), kind="series", in_chans=same.chans)
