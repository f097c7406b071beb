"""Arrays that a program has in memory, images and their classes, as a dataset."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from resnets.data.pictures.images import MODES
from resnets.data.readers import series
from resnets.data.readers.layouts import SPLITS, Found, Part, array_part
from resnets.errors import InputError

NAME = "arrays"  # what the data is called in a recipe
GIVE = 'give (X, y), or {"train": (X, y), "val": ..., "test": ...}, X uint8 (N, H, W, C) in the order RGB and y N classes'
SERIES = "series (N, C, L) are given with dims=1"


def in_memory(data: object) -> bool:
    """Whether it is meant as data itself, and is no name or path."""
    return data is not None and not isinstance(data, str | os.PathLike)


def name_of(data: Any) -> Any:
    """The name or path of the data, as a recipe has it."""
    return NAME if in_memory(data) else data


def read_arrays(data: Any, in_chans: int | None = None, dims: int | None = None) -> Found:
    """Images or series and classes from memory; integers keep their order as classes, names are sorted.

    Args:
        data: (X, y) for training, or a mapping from "train", "val" and "test" to such pairs. X is uint8 (N, H, W) or
            (N, H, W, 1, 3 or 4), of one size; y are N integers or names. Of series X is of numbers, see `series.of_memory`.
        in_chans: channels that the images are converted to; None: those of the first split.
        dims: 1 for series; None: they are that where X has the axes (N, L).

    Raises:
        InputError: where it is neither.
    """
    splits = data if isinstance(data, Mapping) else {"train": data}
    if not splits or not set(splits) <= set(SPLITS):
        raise InputError(f"data with the splits {', '.join(map(str, splits)) or 'none'}; {GIVE}")
    if dims == 1 or (dims is None and all(_is_flat(pair) for pair in splits.values())):
        for split, pair in splits.items():
            if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
                raise InputError(f"{split}: {type(pair).__name__} is no data; {GIVE}")
        return series.of_memory({name: splits[name] for name in SPLITS if name in splits}, NAME)
    parts: dict[str, Part] = {}
    for split in (name for name in SPLITS if name in splits):
        images, classes, codes = _pair(splits[split], split)
        in_chans = in_chans or (images.shape[3] if images.ndim == 4 else 1)
        parts[split] = array_part(split, images, codes, classes, in_chans)
    sizes = {part.images[0].shape[:2] for part in parts.values()}
    if len(sizes) > 1:
        raise InputError(f"data with images of the sizes {', '.join(map(str, sorted(sizes)))}; give all of one size")
    return Found(NAME, parts, size=sizes.pop(), in_chans=in_chans)


def _is_flat(pair: Any) -> bool:
    """Whether the first of a pair is an array (N, L) of numbers, as no images are."""
    array = pair[0] if isinstance(pair, tuple | list) and len(pair) == 2 else None
    return isinstance(array, np.ndarray) and array.ndim == 2 and array.dtype.kind in "fiu"


def _pair(pair: Any, split: str) -> tuple[np.ndarray, tuple[str, ...], np.ndarray]:
    """The images, the names of the classes, and the class of each image there."""
    if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
        raise InputError(f"{split}: {type(pair).__name__} is no data; {GIVE}")
    images, labels = (np.asarray(part) for part in pair)
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
