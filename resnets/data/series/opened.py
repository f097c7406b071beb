"""Files that are named to a model: each is one series, or has many. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resnets.data.pictures.images import BadPicture, printable
from resnets.data.pictures.resize import in_numpy
from resnets.data.preprocess import Preprocess
from resnets.data.series import files, rows
from resnets.data.series.series import ArraySeries, FileSeries, fit_series
from resnets.errors import InputError

SUFFIXES = (".csv", ".npz", ".ts", ".tsv", ".txt", ".wav")


class Unread:
    """One place for a file that cannot be read: to read it raises `BadPicture`."""

    def __init__(self, path: Path, error: InputError) -> None:
        self.path, self.reason = path, str(error).removeprefix(f"{printable(path)}: ")

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int, /) -> np.ndarray:
        raise BadPicture(self.path, self.reason)

    def name(self, index: int, /) -> str:
        return printable(self.path)


Part = ArraySeries | FileSeries | Unread


class OpenedSeries:
    """The series of several files, in order: `series[i]` is float32 (C, L), or raises `BadPicture`."""

    def __init__(self, parts: Iterable[Part]) -> None:
        self.places = [(part, index) for part in parts for index in range(len(part))]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int, /) -> np.ndarray:
        part, place = self.places[index]
        return part[place]

    def name(self, index: int, /) -> str:
        part, place = self.places[index]
        return part.name(place)

    def subset(self, indices: Sequence[int] | np.ndarray) -> OpenedSeries:
        some = OpenedSeries([])
        some.places = [self.places[index] for index in np.asarray(indices, np.int64).tolist()]
        return some


def opened(paths: Iterable[Path], preprocess: Preprocess) -> OpenedSeries:
    """The series in some files, as the model of `preprocess` takes them. Labels in them are not looked at. What cannot be read
    is one series, and said when that is read."""
    parts: list[Part] = []
    for path in paths:
        try:
            parts += _parts(path, preprocess)
        except InputError as error:
            parts.append(Unread(path, error))
    return OpenedSeries(parts)


def _parts(path: Path, preprocess: Preprocess) -> Sequence[Part]:
    suffix, num = path.suffix.lower(), preprocess.in_chans
    if suffix == ".wav" or (suffix == ".csv" and (num > 1 or not rows.is_wide(path))):
        return [FileSeries([str(path)], num, rate=preprocess.rate)]
    if suffix == ".npz":
        several = rows.read_npz(path)
        found = {f"{printable(path)} {split}".strip(): each for split, each in several.items()}
    elif suffix == ".csv":
        found = {printable(path): rows.read_wide(path, length=preprocess.size[0])}
    elif suffix in rows.READERS:
        found = {printable(path): rows.READERS[suffix](path)}
    else:
        raise InputError(f"{printable(path)}: not a file of series that is known ({', '.join(SUFFIXES)})")
    for name, each in found.items():
        if len(each.values[0]) != num:
            raise InputError(f"{name}: series of {len(each.values[0])} channels, and the model takes {num}")
    return [each.images(name) for name, each in found.items()]


def given_series(given: Any, preprocess: Preprocess) -> list[np.ndarray]:
    """Inputs (C, length) of what a program gives: an array or tensor (N, C, L), (C, L) or (L,), a list of such, or paths.

    Raises:
        InputError: for anything else, other channels, and values that are not finite.
    """
    given = in_numpy(given)
    many = isinstance(given, list | tuple) or (isinstance(given, np.ndarray) and given.ndim == 3)
    found = []
    for number, each in enumerate(given if many else [given]):
        if isinstance(each, str | Path):
            rows = opened([Path(each)], preprocess)
            found += [rows[index] for index in range(len(rows))]
            continue
        array = np.asarray(in_numpy(each))
        series = array[None] if array.ndim == 1 else array
        if series.ndim != 2 or series.dtype.kind not in "fiu" or len(series) != preprocess.in_chans:
            raise InputError(
                f"series {number}: {array.dtype} {array.shape}; give numbers ({preprocess.in_chans}, L), several as a list or "
                f"(N, {preprocess.in_chans}, L), or paths"
            )
        try:
            found.append(files.checked(series))
        except ValueError as error:
            raise InputError(f"series {number}: {error}") from None
    return [fit_series(series, preprocess) for series in found]
