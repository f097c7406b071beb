"""Series in memory and in files, and how one becomes an input of a network. No torch."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np

from resnets.data.pictures.images import BadPicture, printable
from resnets.data.preprocess import Preprocess
from resnets.data.series import files
from resnets.data.words import IMAGES_OF

KEPT_BYTES = 2**28  # of series from files that a process keeps


class ArraySeries:
    """Series in memory: `series[i]` is float32 (C, L), with NaN where a value is missing.

    Args:
        values: an array (N, C, L), or a list of arrays (C, L).
        names: what each is called, or the one word for all ("train"), behind which its position stands in brackets.
        positions: (N,) of them, for that; default (None): 0 to N - 1.
        rate: samples per second; None: it is not known.
    """

    called = IMAGES_OF[1]

    def __init__(
        self,
        values: Sequence[np.ndarray] | np.ndarray,
        names: str | np.ndarray,
        positions: np.ndarray | None = None,
        rate: int | None = None,
    ) -> None:
        self.values, self.rate = values, rate
        self.names = np.broadcast_to(np.asarray(names, object), len(values))
        self.positions = np.arange(len(values)) if positions is None else positions

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int, /) -> np.ndarray:
        return self.values[index]

    def name(self, index: int, /) -> str:
        return f"{self.names[index]}[{self.positions[index]}]"

    def lengths(self) -> np.ndarray:
        """(N,) int64."""
        return np.array([series.shape[1] for series in self.values], np.int64)

    def subset(self, indices: Sequence[int] | np.ndarray) -> ArraySeries:
        chosen = np.asarray(indices, np.int64)
        some = self.values[chosen] if isinstance(self.values, np.ndarray) else [self.values[index] for index in chosen.tolist()]
        return ArraySeries(some, self.names[chosen], self.positions[chosen], self.rate)

    def joined(self, other: ArraySeries) -> ArraySeries:
        names, positions = (np.concatenate([getattr(self, name), getattr(other, name)]) for name in ("names", "positions"))
        return ArraySeries([*self.values, *other.values], names, positions, self.rate)

    def digest(self) -> bytes:
        """A SHA-256 of shapes and values."""
        digest = hashlib.sha256()
        for series in self.values:
            digest.update(repr(series.shape).encode())
            digest.update(np.ascontiguousarray(series).data)
        return digest.digest()


class FileSeries:
    """Series in files of their own, read on access: `series[i]` is float32 (C, L), or raises `BadPicture`.

    Those that come first stay in memory, up to `KEPT_BYTES`.

    Args:
        paths: relative to `root`.
        in_chans: channels that each has to have.
        rate: samples per second that each WAV file has to have; None: any.
    """

    called = IMAGES_OF[1]

    def __init__(self, paths: Sequence[str], in_chans: int, root: str | Path = "", rate: int | None = None) -> None:
        self.paths, self.in_chans, self.root, self.rate = list(paths), in_chans, Path(root), rate
        self.kept: dict[str, np.ndarray] = {}
        self.used = [0]  # bytes of those; of subsets too

    def __len__(self) -> int:
        return len(self.paths)

    def path(self, index: int, /) -> Path:
        return self.root / self.paths[index]

    def name(self, index: int, /) -> str:
        return printable(self.path(index))

    def relative(self, index: int, /) -> str:
        return printable(self.paths[index])

    def __getitem__(self, index: int, /) -> np.ndarray:
        path = self.paths[index]
        if path in self.kept:
            return self.kept[path]
        series = files.read(self.path(index), self.rate)
        if len(series) != self.in_chans:
            raise BadPicture(self.path(index), f"{len(series)} channels, and {self.in_chans} are wanted")
        if self.used[0] + series.nbytes <= KEPT_BYTES:
            self.kept[path] = series
            self.used[0] += series.nbytes
        return series

    def lengths(self) -> np.ndarray:
        """(N,) int64, 0 of those that cannot be read."""
        found = np.zeros(len(self), np.int64)
        for index in range(len(self)):
            try:
                found[index] = files.header_of(self.path(index)).length
            except BadPicture:
                continue
        return found

    def subset(self, indices: Sequence[int] | np.ndarray) -> Self:
        some = copy.copy(self)
        some.paths = [self.paths[index] for index in np.asarray(indices, np.int64).tolist()]
        return some

    def joined(self, other: FileSeries) -> Self:
        both = copy.copy(self)
        both.paths = [*self.paths, *other.paths]
        return both

    def digest(self) -> bytes:
        """A SHA-256 of names and sizes in bytes; no file is read."""
        digest = hashlib.sha256()
        for index, path in enumerate(self.paths):
            file = self.path(index)
            digest.update(f"{path}\0{file.stat().st_size if file.is_file() else -1}\0".encode("utf-8", "surrogateescape"))
        return digest.digest()


def filled(series: np.ndarray, empty: Sequence[float]) -> np.ndarray:
    """(C, L) without missing values: within by linear interpolation, at the ends by the nearest value.

    Args:
        empty: (C,) what a channel without any value is filled with.
    """
    missing = np.isnan(series)
    if not missing.any():
        return series
    found, steps = series.copy(), np.arange(series.shape[1])
    for channel, gone, value in zip(found, missing, empty, strict=True):
        channel[gone] = value if gone.all() else np.interp(steps[gone], steps[~gone], channel[~gone])
    return found


def fit_series(series: np.ndarray, preprocess: Preprocess) -> np.ndarray:
    """A series (C, L) as an input before it is normalised: float32 (C, preprocess.size[0]).

    With `resize` "squash" its values are interpolated linearly at so many evenly spaced times. With "pad" times stay as they
    are: of a longer one the middle, behind a shorter one the mean, which is 0 once it is normalised.
    """
    whole, (length,) = filled(series, preprocess.mean), preprocess.size
    own = whole.shape[1]
    if own == length:
        return np.ascontiguousarray(whole, np.float32)
    if preprocess.resize == "squash":
        times = np.linspace(0, own - 1, length)
        return np.stack([np.interp(times, np.arange(own), channel) for channel in whole]).astype(np.float32)
    start, kept = max(0, own - length) // 2, min(own, length)
    rest = whole.mean(1) if preprocess.each else np.array(preprocess.mean)
    found = np.repeat(rest.astype(np.float32)[:, None], length, 1)
    found[:, :kept] = whole[:, start : start + kept]
    return found


def blank_series(pixels: np.ndarray, preprocess: Preprocess) -> np.ndarray:
    """(C, 1) what shows nothing in an input (C, L): the mean, its own where each series is normalised by itself."""
    return pixels.mean(1, keepdims=True) if preprocess.each else np.array(preprocess.mean, np.float32)[:, None]


def shares(splits: Mapping[str, ArraySeries | FileSeries]) -> dict[str, float]:
    """Of each split in memory the part of its values that is missing."""
    found = {}
    for name, images in splits.items():
        if isinstance(images, ArraySeries):
            counts = np.array([(np.isnan(series).sum(), series.size) for series in images.values])
            found[name] = float(counts[:, 0].sum() / counts[:, 1].sum())
    return found
