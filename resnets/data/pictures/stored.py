"""Sequences of images: in memory, and encoded ones that are decoded on access.

An image is a uint8 array (H, W, C), several of one size (N, H, W, C); C is 1 (grey), 3 (RGB) or 4 (RGBA).
"""

from __future__ import annotations

import copy
import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from PIL import Image

from resnets.data.pictures.images import (
    FORMATS,
    MAX_PICTURE_BYTES,
    Window,
    blame,
    mode_of,
    printable,
    quiet,
    read_16_bits,
    read_picture,
    read_quickly,
)
from resnets.files import open_regular

WINDOW = 8  # if files must be downloaded first: number of files within which an epoch shuffles


class ArrayImages:
    """Images of one size in memory.

    Args:
        array: uint8 (N, H, W, C).
        split: name of the split that they come from, or of each (N,); it is part of their names.
        positions: (N,) their positions in that split, for their names; default (None): 0 to N - 1.
    """

    def __init__(self, array: np.ndarray, split: str | np.ndarray, positions: np.ndarray | None = None) -> None:
        assert array.dtype == np.uint8 and array.ndim == 4, (array.dtype, array.shape)
        self.array = array
        self.split = np.broadcast_to(split, len(array))
        self.positions = np.arange(len(array)) if positions is None else positions

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: int, /) -> np.ndarray:
        return self.array[index]

    def name(self, index: int, /) -> str:
        return f"{self.split[index]}[{self.positions[index]}]"

    def subset(self, indices: Sequence[int] | np.ndarray) -> ArrayImages:
        return ArrayImages(self.array[indices], self.split[indices], self.positions[indices])

    def joined(self, other: ArrayImages) -> ArrayImages:
        """These images followed by those of `other`, which have the same size."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in ("array", "split", "positions"))
        return ArrayImages(*(np.concatenate(pair) for pair in pairs))

    def digest(self) -> bytes:
        """A SHA-256 of the shape and the pixels."""
        digest = hashlib.sha256(repr(self.array.shape).encode())
        digest.update(np.ascontiguousarray(self.array).data)
        return digest.digest()


class StoredImages(ABC):
    """Encoded images, decoded on access: `images[i]` is uint8 (H, W, in_chans), or raises `BadPicture`."""

    in_chans: int
    bit_depth = 16  # of images of 16 bits, as in `Preprocess`
    window: Window = None
    groups: np.ndarray | None = None  # (N,) if images are in larger files that must be downloaded: the file of each image
    _quick = False

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def name(self, index: int, /) -> str:
        """A printable name of the image, such as its path."""

    @abstractmethod
    def relative(self, index: int, /) -> str:
        """The path of the image from the data's folder on, with `/`; printable."""

    @abstractmethod
    def open(self, index: int, /) -> BinaryIO:
        """The encoded image as a binary file. Raises `OSError` if it cannot be read."""

    @abstractmethod
    def subset(self, indices: Sequence[int] | np.ndarray) -> Self: ...

    @abstractmethod
    def digest(self) -> bytes:
        """A SHA-256 of names and sizes in bytes; no image is read."""

    @abstractmethod
    def state(self) -> bytes:
        """A SHA-256 that changes whenever a file is written, even with the same size."""

    def quickly(self) -> Self:
        """The same images, read by `read_quickly`."""
        images = copy.copy(self)
        images._quick = True
        return images

    def at_depth(self, bit_depth: int) -> Self:
        """The same images, those of 16 bits read by this bit depth."""
        images = copy.copy(self)
        images.bit_depth = bit_depth
        return images

    def windowed(self, window: Window) -> Self:
        """The same images, those of DICOM read by this window."""
        images = copy.copy(self)
        images.window = window
        return images

    def __getitem__(self, index: int, /) -> np.ndarray:
        name = self.name(index)
        with blame(name), self.open(index) as file:
            if self._quick:
                return read_quickly(file, self.in_chans, name, self.bit_depth, self.window)
            return read_picture(BytesIO(file.read()), self.in_chans, name, self.bit_depth, self.window)

    def all_bits(self, index: int, /) -> np.ndarray | None:
        """See `read_16_bits`."""
        name = self.name(index)
        with blame(name), self.open(index) as file:
            return read_16_bits(file, name)

    def sample(self, most: int) -> np.ndarray:
        """Indices of at most `most` evenly spaced images; of files that must be downloaded, at most `WINDOW` are used."""
        near = np.arange(len(self))
        if self.groups is not None:
            near = np.flatnonzero(np.isin(self.groups, evenly_spaced(np.unique(self.groups), WINDOW)))
        return evenly_spaced(near, most)

    def sizes(self, most: int = 100) -> list[tuple[int, int]]:
        """(width, height) in pixels, from the headers of at most `most` evenly spaced images, without unreadable ones."""
        return [picture.size for _, picture in self.headers(most)]

    def headers(self, most: int = 100) -> Iterator[tuple[int, Image.Image]]:
        """(index, Pillow's image with its header alone) of at most `most` evenly spaced images, without unreadable ones."""
        for index in self.sample(most).tolist():
            opened: list[Image.Image] = []
            with suppress(Exception), quiet(), self.open(index) as file, Image.open(file, formats=FORMATS) as picture:
                opened.append(picture)
            yield from ((index, picture) for picture in opened)

    def short_side(self) -> int | None:
        """The median of the images' shorter sides in pixels, from a sample; None if none can be read."""
        sizes = self.sizes()
        return int(np.median([min(size) for size in sizes])) if sizes else None


class FileImages(StoredImages):
    """Images in individual files.

    The paths are stored in one bytes object. With a list of a million strings, reference counting alone would make every
    worker process copy the memory pages that it shares with its parent.

    Args:
        paths: paths relative to `root`, or absolute.
    """

    def __init__(
        self, paths: Iterable[str | bytes | os.PathLike[str]], in_chans: int, root: str | os.PathLike[str] = ""
    ) -> None:
        mode_of(in_chans)
        encoded = [os.fsencode(path) for path in paths]
        self.in_chans = in_chans
        self.root = os.fspath(root)
        self._paths = b"".join(encoded)
        self._ends = np.cumsum([0] + [len(path) for path in encoded])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def _relative(self, index: int) -> bytes:
        index = range(len(self))[index]  # supports negative indices, and raises IndexError
        return self._paths[self._ends[index] : self._ends[index + 1]]

    def path(self, index: int, /) -> Path:
        return Path(self.root, os.fsdecode(self._relative(index)))

    def name(self, index: int, /) -> str:
        return printable(self.path(index))

    def relative(self, index: int, /) -> str:
        return printable(os.fsdecode(self._relative(index))).replace(os.sep, "/")

    def open(self, index: int, /) -> BinaryIO:
        return open_regular(self.path(index), MAX_PICTURE_BYTES)

    def subset(self, indices: Iterable[Any]) -> FileImages:
        images = FileImages((self._relative(index) for index in indices), self.in_chans, self.root)
        return images.at_depth(self.bit_depth).windowed(self.window)

    def digest(self) -> bytes:
        """A SHA-256 of relative paths and file sizes, which does not depend on where the folder is."""
        sizes = [_num_bytes(self.path(index)) for index in range(len(self))]
        numbers = np.array([self._ends[1:], sizes], dtype="<i8")
        return hashlib.sha256(self._paths + numbers.tobytes()).digest()

    def state(self) -> bytes:
        times = [_written(self.path(index)) for index in range(len(self))]
        return hashlib.sha256(os.fsencode(Path(self.root).resolve()) + np.array(times, dtype="<i8").tobytes()).digest()


def _written(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return -1


def evenly_spaced(values: np.ndarray, most: int) -> np.ndarray:
    """At most `most` of the values (N,), at evenly spaced positions."""
    return values[np.unique(np.linspace(0, len(values) - 1, most).astype(int))]


def _num_bytes(path: Path) -> int:
    """Of a file, or of the files in a folder, which may be a series."""
    try:
        return sum(map(_num_bytes, path.iterdir())) if path.is_dir() else path.stat().st_size
    except OSError:
        return -1
