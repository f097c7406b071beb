"""The bit depth of a dataset's images of 16 bits: found from the range of a sample, told, and applied. No torch."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from resnets.data.machine import num_processors
from resnets.data.pictures.deep import has_16_bits
from resnets.data.pictures.dicom.picture import FORMAT as DICOM
from resnets.data.pictures.images import BadPicture
from resnets.data.pictures.stored import StoredImages
from resnets.data.preprocess import Preprocess
from resnets.data.types import Note, Source, Split
from resnets.errors import InputError

DEPTHS = (8, 10, 12, 14, 16)  # of cameras and detectors
LOOKED, MEASURED = 100, 200  # images whose headers, and values, are looked at
TAILS = 0.001  # fraction of the pixels at either end that does not count as used
FEW_LEVELS = 32  # grey levels of 256


class Depth(NamedTuple):
    """What a sample of images holds.

    Args:
        num: images of 16 bits among `looked`.
        looked: images that were looked at.
        counts: (65536,) int64, pixels (of each colour) of each value.
    """

    num: int
    looked: int
    counts: np.ndarray

    @property
    def bits(self) -> int:
        """The smallest of `DEPTHS` that holds every value."""
        highest = int(np.flatnonzero(self.counts).max())
        return next(bits for bits in DEPTHS if highest < 2**bits)

    def note(self, bits: int) -> Note:
        """What is there, how it is read, and whether much of it is left in 8 bits."""
        low, high = np.flatnonzero(self.counts)[[0, -1]].tolist()
        words = f"{self.num} of {self.looked} images looked at have 16 bits: values {low:,} to {high:,}, read as {bits} bits"
        before = self.counts.cumsum() / self.counts.sum()
        used = np.searchsorted(before, (TAILS, 1 - TAILS))
        levels = int(np.diff(np.rint(used * (255 / (2**bits - 1))))[0]) + 1
        if levels >= FEW_LEVELS:
            return Note("bit_depth", f"{words} (0 to {2**bits - 1:,})", level="note")
        remedy = f"stretch {used[0]:,} to {used[1]:,} over the whole range, and save them anew"
        return Note("bit_depth", f"{words}, which leaves {levels} grey levels of 256; if that is too few, {remedy}")


def depth_of(source: Source) -> Depth | None:
    """Of a sample of the training split (without one, of the first); None where no image has 16 bits."""
    images: Any = source.splits["train" if "train" in source.splits else next(iter(source.splits))].images
    headers = list(images.headers(LOOKED)) if isinstance(images, StoredImages) else []
    num = sum(has_16_bits(picture) for _, picture in headers)
    return _measured(images, num, len(headers)) if num else None


def _measured(images: StoredImages, num: int, looked: int) -> Depth | None:
    """What the values of a sample are; None where none can be read."""
    counts = np.zeros(2**16, np.int64)

    def values(index: int) -> np.ndarray:
        try:
            found = images.all_bits(index)
        except BadPicture:  # said when it is read
            found = None
        colours = np.zeros(0, np.int64) if found is None else found[..., :3] if found.ndim == 3 else found
        inside = colours[(colours >= 0) & (colours < len(counts))]
        return np.bincount(inside.ravel().astype(np.int64), minlength=len(counts))

    with ThreadPoolExecutor(num_processors()) as pool:
        for found in pool.map(values, images.sample(MEASURED).tolist()):
            counts += found
    return Depth(num, looked, counts) if counts.any() else None


def told(source: Source) -> Source:
    """`source` with its images of 16 bits read by their bit depth, and a note on that."""
    found = depth_of(source)
    return source if found is None else applied(source, found.bits, found)


def applied(source: Source, bits: int, found: Depth | None = None) -> Source:
    """`source` with its images of 16 bits read as `bits` bits, and a note on what was `found`."""
    splits = {name: _at_depth(split, bits) for name, split in source.splits.items()}
    notes = source.notes if found is None else (*source.notes, found.note(bits))
    return dataclasses.replace(source, splits=splits, notes=notes)


def read_as(split: Split, preprocess: Preprocess) -> Split:
    """`split` with its images of 16 bits, of DICOM and its volumes read as `preprocess` says."""
    if hasattr(split.images, "read_by"):
        return dataclasses.replace(split, images=split.images.read_by(preprocess))
    return _windowed(_at_depth(split, preprocess.bit_depth), preprocess.window)


def windowed(source: Source, window: tuple[float, float] | None, *, asked: str | None = None) -> Source:
    """`source` with its volumes, and its images in DICOM, read by a window (level, width).

    Args:
        asked: what the user asked for; `InputError` where no image has a use for it.
    """
    if window is None:
        return source
    if asked is not None and not any(_has_windows(split.images) for split in source.splits.values()):
        raise InputError(f"window={asked}: no image here is DICOM or a volume; leave it out")
    return dataclasses.replace(source, splits={name: _windowed(split, window) for name, split in source.splits.items()})


def _has_windows(images: Any) -> bool:
    """Whether they are volumes, or one of a sample is DICOM."""
    if isinstance(images, StoredImages):
        return any(picture.format == DICOM for _, picture in images.headers(LOOKED))
    return hasattr(images, "windowed")


def _windowed(split: Split, window: tuple[float, float] | None) -> Split:
    images = split.images
    return dataclasses.replace(split, images=images.windowed(window)) if hasattr(images, "windowed") else split


def _at_depth(split: Split, bits: int) -> Split:
    """Images in memory or in a cache are as they are."""
    images = split.images
    return dataclasses.replace(split, images=images.at_depth(bits)) if isinstance(images, StoredImages) else split
