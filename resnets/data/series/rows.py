"""Files with many series: NumPy archives, the .ts files of UEA and UCR, UCR's .tsv and .txt, and wide CSV. No torch."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from resnets.data.pictures.images import printable
from resnets.data.series import files
from resnets.data.series.series import ArraySeries
from resnets.data.tables import archived, csv_rows
from resnets.errors import InputError
from resnets.files import foreign, open_regular, short

LABELS = ("label", "class", "target", "y")  # what the column of a CSV file is called that holds labels
X_NAMES, Y_NAMES = ("X", "x"), ("y", "Y", "labels")
SPLITS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
LEAST_CELLS = 3  # numbers of a row that is a series
NUM_LOOKED = 2**16  # bytes by which a CSV file is recognised


class Rows(NamedTuple):
    """Series as a file has them.

    Args:
        values: float32 (C, L) each, NaN where a value is missing.
        labels: of each what is written of it; empty where nothing is.
        classes: the labels there may be, in the order of the file's header; empty where it does not say.
        columns: what else is said of each: (N,) of text by name.
        split: train, val or test, where the file says it of each.
        label: how the labels are found, for people.
        is_number: whether the file says that labels are numbers to be told rather than classes.
        shortened: series at whose end all values are missing, which is taken for their end.
    """

    values: list[np.ndarray]
    labels: Sequence[Any]
    classes: tuple[str, ...] = ()
    columns: Mapping[str, np.ndarray] = MappingProxyType({})
    split: tuple[str, ...] = ()
    label: str = ""
    is_number: bool = False
    shortened: int = 0

    def images(self, name: str) -> ArraySeries:
        return ArraySeries(self.values, name)


def _series(values: np.ndarray, where: str) -> np.ndarray:
    try:
        return files.checked(values)
    except ValueError as error:
        raise InputError(f"{where}: {short(error)}") from error


def _same_channels(values: Sequence[np.ndarray], name: str) -> None:
    counts = sorted({len(series) for series in values})
    if len(counts) > 1:
        raise InputError(f"{name}: series of {', '.join(map(str, counts))} channels; each needs the same")


def cut_end(series: np.ndarray) -> np.ndarray:
    """(C, L) without the end at which all channels are missing: how arrays of one length hold series of several."""
    there = np.flatnonzero(~np.isnan(series).all(0))
    return series[:, : there[-1] + 1] if len(there) else series


def name_of(label: Any) -> str:
    """A label as a name of a class: 1.0, as old files of UCR write it, is 1."""
    text = str(label).strip()
    try:
        value = float(text)
    except ValueError:
        return text
    return str(int(value)) if math.isfinite(value) and value == int(value) else text


# --- .ts ---


def read_ts(path: Path) -> Rows:
    """A file of the UEA and UCR archives, as aeon and sktime write it: channels between colons, missing values as ?.

    Raises:
        InputError: where it is no such file, has time stamps, or its rows do not fit its header.
    """
    name, head = printable(path), dict[str, list[str]]()
    values: list[np.ndarray] = []
    labels: list[str] = []
    with _lines(path) as lines:
        for line, text in lines:
            word, *rest = text.split()
            if word.lower() == "@data":
                break
            if not word.startswith("@"):
                raise InputError(f"{name} line {line}: {short(text)!r} before @data; give a .ts file of UCR or UEA")
            head[word.lower()] = rest
        else:
            raise InputError(f"{name}: no line @data; give a .ts file of UCR or UEA")
        if _says(head, "@timestamps"):
            raise InputError(f"{name}: values with time stamps, which are not read; write values at even times")
        told = "@targetlabel" if _says(head, "@targetlabel") else "@classlabel"
        labelled = _says(head, told)
        for line, text in lines:
            where, parts = f"{name} line {line}", text.split(":")
            if labelled:
                labels.append(parts.pop().strip())
            if (labelled and labels[-1] in files.MISSING) or not parts:
                raise InputError(f"{where}: no label behind the last colon")
            values.append(_channels(parts, where))
    classes = tuple(head.get(told, [])[1:]) if told == "@classlabel" and labelled else ()
    if strange := sorted(set(labels) - set(classes)) if classes else []:
        raise InputError(f"{name}: the label {strange[0]!r:.100} is not among those of @classLabel: {' '.join(classes)!s:.200}")
    return _found(name, Rows(values, labels, classes, is_number=told == "@targetlabel"))


def _says(head: Mapping[str, list[str]], word: str) -> bool:
    return [text.lower() for text in head.get(word, [])][:1] == ["true"]


def _channels(parts: Sequence[str], where: str) -> np.ndarray:
    try:
        channels = [[files.number(cell) for cell in part.split(",")] for part in parts]
    except ValueError as error:
        raise InputError(f"{where}: {short(error)}; values are numbers, or ? where one is missing") from None
    longest = max(map(len, channels))  # a channel that ends sooner than others
    return _series(np.array([channel + [math.nan] * (longest - len(channel)) for channel in channels]), where)


# --- UCR's text files ---


def read_text(path: Path) -> Rows:
    """UCR's .tsv or .txt: a series a line, its label first, between tabs, commas or spaces; NaN at its end shortens it."""
    name = printable(path)
    values, labels = [], []
    with _lines(path) as lines:
        for line, text in lines:
            where = f"{name} line {line}"
            label, *cells = next((text.split(sign) for sign in "\t," if sign in text), None) or text.split()
            if len(cells) < LEAST_CELLS:
                raise InputError(f"{where}: {len(cells)} values behind the label {label!r:.40}; give a label and its series")
            values.append(_channels([",".join(cells)], where))
            labels.append(name_of(label))
    return _found(name, Rows(values, labels, label="first in each line"), ends=True)


# --- wide CSV ---


def is_wide(path: Path) -> bool:
    """Whether a CSV file has a series in each row, and is no list of pictures: no column `path`, and a row of numbers."""
    try:
        rows = csv_rows(path)
        _, first = next(rows)
        _, row = next(rows, ("", []))
    except InputError:
        return False
    known = {cell.strip().lower() for cell in first}
    return not {"path", "paths"} & known and len(row) == len(first) and sum(map(_is_number, row)) >= LEAST_CELLS


def _is_number(cell: str) -> bool:
    try:
        files.number(cell)
    except ValueError:
        return False
    return True


def read_wide(path: Path, target: str | None = None, length: int | None = None) -> Rows:
    """A CSV file with a series in each row. The label is in the column that is called `LABELS`, else in the last; a column
    `split` says train, val or test, and other columns with text are kept.

    Args:
        target: the column of the label.
        length: of a series, where a model says it: a file with so many numbers a row has no labels.
    """
    name, rows = printable(path), csv_rows(path)
    _, first = next(rows)
    lines = list(rows)
    if all(map(_is_number, first)):
        head, lines = [], [(f"{name} line 1", first), *lines]
    else:
        head = [cell.strip() for cell in first]
    if not lines:
        raise InputError(f"{name}: no series; write one a row")
    sample, lower = lines[0][1], [cell.lower() for cell in head]
    numbers = [place for place, cell in enumerate(sample) if _is_number(cell)]
    split = lower.index("split") if "split" in lower else None
    label, words = _label_place(name, head, len(first), target)
    if label == len(first) - 1 and "named" not in words and label in numbers and len(numbers) == length:
        label, words = None, ""
    series = [place for place in numbers if place != label]
    others = [place for place in range(len(first)) if place not in (*series, label, split)]
    kept: list[list[float]] = []
    for where, row in lines:
        if len(row) != len(first):
            raise InputError(f"{where}: {len(row)} cells, and {len(first)} in the first line; fill the end with empty cells")
        try:
            kept.append([files.number(row[place]) for place in series])
        except ValueError as error:
            raise InputError(f"{where}: {short(error)}; a row is a series of numbers, empty where one is missing") from None
    if len(series) < LEAST_CELLS:
        raise InputError(f"{name}: {len(series)} numbers a row are no series; give at least {LEAST_CELLS}")
    values = [_series(np.array([row]), where) for row, (where, _) in zip(kept, lines, strict=True)]
    columns = {head[place]: np.array([row[place].strip() for _, row in lines], object) for place in others if head}
    labels = [] if label is None else [name_of(row[label]) for _, row in lines]
    splits = () if split is None else tuple(row[split].strip() for _, row in lines)
    return _found(name, Rows(values, labels, (), columns, splits, words), ends=True)


def _label_place(name: str, head: Sequence[str], num: int, target: str | None) -> tuple[int | None, str]:
    """The column with the labels, and how it was found."""
    if target is not None:
        if target not in head:
            raise InputError(f"target={target}: {name} has no column of that name; leave it out for the last")
        return head.index(target), f"in the column named {target!r}"
    named = [place for place, cell in enumerate(head) if cell.lower() in LABELS]
    if len(named) == 1:
        return named[0], f"in the column named {head[named[0]]!r}"
    return num - 1, "in the last column" + (f", {head[-1]!r}" if head else "")


# --- NumPy archives ---


def names_in(path: Path) -> list[str]:
    """The names of the arrays of an archive; none where it is no archive."""
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            return [entry.removesuffix(".npy") for entry in archive.namelist()]
    except (OSError, zipfile.BadZipFile, ValueError, InputError):
        return []


def arrays_in(names: Sequence[str]) -> dict[str, tuple[str, str | None]]:
    """Of each split the names of its series and labels (None: it has none): X and y, or X_train, y_train, train_X, ..."""
    found: dict[str, tuple[str, str | None]] = {}
    for split, words in (("", ("",)), *SPLITS.items()):
        forms = [(f"{{}}_{word}", f"{word}_{{}}") if word else ("{}",) for word in words]
        for form in (form for pair in forms for form in pair):
            series = next((form.format(name) for name in X_NAMES if form.format(name) in names), None)
            labels = next((form.format(name) for name in Y_NAMES if form.format(name) in names), None)
            if series is not None and split not in found:
                found[split] = series, labels
    return found


def read_npz(path: Path) -> dict[str, Rows]:
    """Series (N, C, L) or (N, L) and labels (N,), or (N, labels) of 0 and 1, of each split of an archive; "" is no split.

    Other arrays (N,) of an archive without splits are columns.

    Raises:
        InputError: where arrays are missing, or are objects, or do not fit each other.
    """
    name = printable(path)
    remedy = "save it with numpy.savez, without objects"
    with foreign(name, remedy, what="arrays"), open_regular(path) as file, zipfile.ZipFile(file) as archive:
        names = [entry.removesuffix(".npy") for entry in archive.namelist() if entry.endswith(".npy")]
        arrays = {entry: archived(archive, f"{entry}.npy") for entry in names}
    found: dict[str, Rows] = {}
    for split, (series, labels) in arrays_in(names).items():
        columns = {}
        if not split:
            size = len(arrays[series]) if arrays[series].ndim else 0
            beside = {key: array for key, array in arrays.items() if key not in (series, labels) and array.shape == (size,)}
            columns = {key: array.astype(str).astype(object) for key, array in beside.items()}
        rows = of_arrays(arrays[series], None if labels is None else arrays[labels], f"{name}: {series}")
        found[split] = rows._replace(columns=columns)
    if not found:
        raise InputError(f"{name}: no array X, X_train or such; it has {', '.join(names)!s:.200}")
    return found


def label_names(path: Path, num: int) -> tuple[str, ...]:
    """The names of `num` labels: of the array `labels` or `names` (num,) of an archive, else 0, 1, ..."""
    for key in ("names", "labels"):
        if key in names_in(path):
            with foreign(path, what="arrays"), open_regular(path) as file, zipfile.ZipFile(file) as archive:
                array = archived(archive, f"{key}.npy")
            if array.shape == (num,) and array.dtype.kind == "U":
                return tuple(array.tolist())
    return tuple(map(str, range(num)))


def of_arrays(series: Any, labels: Any, where: str) -> Rows:
    """Series (N, C, L) or (N, L), or a list of arrays (C, L) or (L,), and their labels, as they are in memory."""
    if isinstance(series, list | tuple) and len({np.shape(each) for each in series}) > 1:
        several = [np.atleast_2d(np.asarray(each)) for each in series]
    else:
        array = np.asarray(series)
        if array.ndim not in (2, 3) or array.dtype.kind not in "fiu" or not array.size:
            raise InputError(f"{where} is {array.dtype} {array.shape}; give numbers (N, C, L) or (N, L)")
        several = list(array[:, None] if array.ndim == 2 else array)
    values = [_series(each, f"{where}[{number}]") for number, each in enumerate(several)]
    told: Any = [] if labels is None else np.asarray(labels)
    if labels is not None:
        told = told[:, 0] if told.ndim == 2 and told.shape[1] == 1 else told
        right = told.ndim in (1, 2) and len(told) == len(values) and (told.dtype.kind in "biufU" or told.dtype == object)
        if not right:
            raise InputError(f"{where} has {len(values)} series, and its labels are {told.dtype} {told.shape}; give one each")
        if told.ndim == 1 and told.dtype.kind in "iub":
            told = told.astype(np.int64)
    return _found(where, Rows(values, told), ends=True)


# --- all ---


def _found(name: str, rows: Rows, *, ends: bool = False) -> Rows:
    if not rows.values:
        raise InputError(f"{name}: no series in it")
    _same_channels(rows.values, name)
    if not ends:
        return rows
    cut = [cut_end(series) for series in rows.values]
    num = sum(one.shape != other.shape for one, other in zip(cut, rows.values, strict=True))
    return rows._replace(values=cut, shortened=num)


@contextmanager
def _lines(path: Path) -> Iterator[Iterator[tuple[int, str]]]:
    """The lines of a text file that are no comments and not empty, with their numbers."""
    name = printable(path)
    try:
        with io.TextIOWrapper(open_regular(path, files.MAX_BYTES), encoding="utf-8-sig") as file:
            whole = ((number, text.strip()) for number, text in enumerate(file, start=1))
            yield ((number, text) for number, text in whole if text and not text.startswith(("#", "%")))
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: not UTF-8 text; save it as UTF-8") from error
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({short(error)})") from error


READERS: dict[str, Callable[[Path], Rows]] = {".ts": read_ts, ".tsv": read_text, ".txt": read_text}
