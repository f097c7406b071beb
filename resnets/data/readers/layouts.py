"""What a reader finds: images and the names of their classes in each split; `resnets.data.sources` assigns class indices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from resnets.data.pictures.images import with_channels
from resnets.data.pictures.stored import ArrayImages
from resnets.data.readers.listed import VOLUMES, num_channels
from resnets.data.types import Images, Note
from resnets.errors import InputError

SPLITS = ("train", "val", "test")
# Names of splits, as folders and in the third column of a CSV.
SPLIT_WORDS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip


class Part(NamedTuple):
    """A split as a reader finds it: its images, the names of its classes, for each image the index of its class there, and what
    else a list says of each (`Split.columns`)."""

    images: Images
    classes: tuple[str, ...]
    codes: np.ndarray  # (N,) int64
    columns: Mapping[str, np.ndarray] = MappingProxyType({})


class Found(NamedTuple):
    """A dataset as a reader finds it.

    Args:
        name: its name.
        parts: its splits by name, in the order of `SPLITS`.
        size: (height, width) in pixels, if all images are of one size.
        hflip: whether flipped images are of the same class.
        notes, kind: as of `Source`.
        in_chans: channels that the data decides; None: those that were asked for.
    """

    name: str
    parts: dict[str, Part]
    size: tuple[int, int] | None = None
    hflip: bool = True
    notes: tuple[Note, ...] = ()
    kind: str = "classes"
    in_chans: int | None = None


def ordered(name: str, parts: dict[str, Part], notes: tuple[Note, ...] = ()) -> Found:
    """In the order of `SPLITS`; of volumes with the channels that the data decides."""
    found = Found(name, {split: parts[split] for split in SPLITS if split in parts}, notes=notes)
    chans = num_channels(name, {split: part.images for split, part in parts.items()})
    return found if chans is None else found._replace(kind=VOLUMES, in_chans=chans, hflip=False)


def array_part(split: str, images: np.ndarray, codes: np.ndarray, classes: tuple[str, ...], in_chans: int) -> Part:
    """A split of images in memory.

    Args:
        images: uint8 (N, H, W) or (N, H, W, 1 or 3).
        codes: (N,) integers, the position of each image's class in `classes`.
    """
    return Part(ArrayImages(with_channels(images, in_chans), split), classes, codes.astype(np.int64))


def split_of(word: str | None, where: str) -> str:
    """The split that a cell means; None, where there is no such column, means train. Raises `InputError`."""
    if word == "":
        raise InputError(f"{where}: the split is missing; write train, val or test, or leave the column out")
    if (split := SPLIT_WORDS.get((word or "train").lower())) is None:
        raise InputError(f"{where}: split '{word:.100}' is not known; write train, val or test")
    return split


def quoted(names: Iterable[str], limit: int = 5) -> str:
    """Names for a message: "'a', 'b' and 7 more", of at most `limit` names and of each at most 100 characters."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(f"'{name:.100}'" for name in names[:limit]) + more
