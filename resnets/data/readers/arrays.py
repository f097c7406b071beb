"""Arrays of images and their classes, in memory or in a NumPy archive."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resnets.data.pictures.images import MODES, printable
from resnets.data.pictures.resize import in_numpy
from resnets.data.readers.layouts import SPLITS, Found, Part, array_part
from resnets.data.tables import archived
from resnets.errors import InputError
from resnets.files import foreign, is_file, open_regular

NAME = "arrays"  # what the data is called in a recipe
GIVE = 'give (X, y), or {"train": (X, y), "val": ..., "test": ...}, X uint8 (N, H, W, C) in the order RGB and y N classes'
SERIES = "series are given as (X, y) with dims=1, X of numbers (N, C, L)"


def read_pair(pair: Any, split: str, in_chans: int | None) -> Part:
    """A split from images and classes; integers keep their order as classes, names are sorted.

    Args:
        pair: (X, y), arrays or tensors. X is uint8 (N, H, W) or (N, H, W, 1, 3 or 4), of one size; y are N integers or names.
        in_chans: channels that the images are converted to; None: those that they have.

    Raises:
        InputError: where it is something else.
    """
    images, classes, codes = _pair(pair, split)
    if in_chans is None:
        in_chans = images.shape[3] if images.ndim == 4 else 1
    return array_part(split, images, codes, classes, in_chans)


def are_series(pair: Any) -> bool:
    """Whether it is (X, y) with numbers X (N, L), as no images are."""
    array = pair[0] if isinstance(pair, tuple | list) and len(pair) == 2 else None
    array = in_numpy(array)
    return isinstance(array, np.ndarray) and array.ndim == 2 and array.dtype.kind in "fiu"


def two(pair: Any, split: str) -> list[Any]:
    """X and y, in NumPy's arrays where they are tensors. Raises `InputError` where it is no pair."""
    if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
        raise InputError(f"{split}: {type(pair).__name__} is no data; {GIVE}")
    return [in_numpy(part) for part in pair]


def _pair(pair: Any, split: str) -> tuple[np.ndarray, tuple[str, ...], np.ndarray]:
    """The images, the names of the classes, and the class of each image there."""
    parts = two(pair, split)
    try:
        images, labels = map(np.asarray, parts)
    except ValueError:  # of several shapes
        raise InputError(f"{split}: images of several sizes; {GIVE}; {SERIES}") from None
    shape = f"{split}: images {images.dtype} {images.shape}, classes {labels.dtype} {labels.shape}"
    if images.dtype != np.uint8 and images.dtype.kind in "fiu" and images.ndim in (3, 4):
        raise InputError(f"{shape}; give uint8, from 0 to 255, such as (255 * X).round().astype('uint8'); {SERIES}")
    if images.ndim == 4 and images.shape[3] not in MODES and images.shape[1] in MODES:
        raise InputError(f"{shape}; give (N, H, W, C): X.transpose(0, 2, 3, 1)")
    right = images.dtype == np.uint8 and (images.ndim == 3 or (images.ndim == 4 and images.shape[3] in MODES))
    names = labels.dtype.kind in "iuU" or (labels.dtype.kind == "O" and all(isinstance(label, str) for label in labels.flat))
    if not (right and images.size and names and labels.shape in ((len(images),), (len(images), 1))):
        raise InputError(f"{shape}; {GIVE}")
    classes, codes = np.unique(labels.ravel(), return_inverse=True)
    return images, tuple(map(str, classes)), codes


def is_npz(path: Path) -> bool:
    return path.suffix.lower() == ".npz" and is_file(path)


def read_npz(path: Path, in_chans: int) -> Found:
    """Read train_images, train_labels, val_images, ...: uint8 (N, H, W) or (N, H, W, 3), and integers (N,) or (N, 1).

    Raises:
        InputError: if the arrays are missing or of other types or shapes, or cannot be read.
    """
    name = printable(path)
    parts: dict[str, Part] = {}
    remedy = "save it with numpy.savez, without objects"
    with foreign(name, remedy, what="arrays"), open_regular(path) as file, zipfile.ZipFile(file) as archive:
        for split in SPLITS:
            if f"{split}_images.npy" not in archive.namelist():
                continue
            images, labels = archived(archive, f"{split}_images.npy"), archived(archive, f"{split}_labels.npy")
            where = f"{name}: {split}_images {images.dtype} {images.shape}, {split}_labels {labels.dtype} {labels.shape}"
            pictures = images.dtype == np.uint8 and (images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (1, 3)))
            if not (pictures and images.size and labels.dtype.kind in "iu" and labels.size == len(images)):
                raise InputError(f"{where}; give uint8 (N, H, W) or (N, H, W, 3) and one integer for each")
            classes, codes = np.unique(labels.ravel(), return_inverse=True)
            parts[split] = array_part(split, images, codes, tuple(map(str, classes)), in_chans)
    sizes = {part.images[0].shape[:2] for part in parts.values()}
    if len(sizes) != 1:
        raise InputError(
            f"{name}: give train_images and train_labels (and val_, test_), all of one size; it has: {sizes or 'none'}"
        )
    return Found(printable(path.stem), parts, size=sizes.pop())
