"""Data that a program has in memory, in whatever form: one table of them. No torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from resnets.data.frames import NAME as FRAME
from resnets.data.frames import Frame, is_frame
from resnets.data.pictures.stored import ArrayImages
from resnets.data.readers import arrays, datasets, lists, series
from resnets.data.readers.layouts import SPLITS, Found, Part
from resnets.errors import InputError


class Form(NamedTuple):
    """One form.

    Args:
        words: what is to be given, for people.
        recognises: whether a value is in this form.
        read: (value, split, channels or None) -> the split.
        settings: of a value: what it says of training.
    """

    words: str
    recognises: Callable[[Any], bool]
    read: Callable[[Any, str, int | None], Part]
    settings: Callable[[Any], dict[str, Any]] = lambda data: {}


def _read_frame(table: Any, split: str, in_chans: int | None) -> Part:
    return lists.read_part(Frame(table), split, 3 if in_chans is None else in_chans)


# By what the data is called in a recipe.
FORMS: dict[str, Form] = {
    FRAME: Form("a DataFrame with path,label", is_frame, _read_frame),
    "DataLoader": Form("a DataLoader", datasets.is_loader, datasets.read_loader, datasets.settings_of),
    "Dataset": Form("a Dataset of (picture, class)", datasets.is_dataset, datasets.read_dataset),
    arrays.NAME: Form("(X, y)", lambda data: True, arrays.read_pair),
}


def in_memory(data: object) -> bool:
    """Whether it is meant as data itself, and is no name or path."""
    return data is not None and not isinstance(data, str | os.PathLike)


def form_of(data: Any) -> str:
    """The key in `FORMS` of data, or of the first of its splits."""
    first = next(iter(data.values()), None) if isinstance(data, Mapping) else data
    return next(name for name, form in FORMS.items() if form.recognises(first))


def name_of(data: Any) -> Any:
    """The name or path of the data, as a recipe has it."""
    return form_of(data) if in_memory(data) else data


def settings_of(data: Any) -> dict[str, Any]:
    """What data in memory says of training, as settings."""
    train = data.get("train") if isinstance(data, Mapping) else data
    return FORMS[form_of(train)].settings(train) if in_memory(train) else {}


def read(data: Any, in_chans: int | None = None, dims: int | None = None) -> Found:
    """Images or series and classes from memory.

    Args:
        data: one of `FORMS` for training, or a mapping from "train", "val" and "test" to such.
        in_chans: channels that the images are converted to; None: those of the first split.
        dims: 1 for series; None: they are that where X has the axes (N, L).

    Raises:
        InputError: where it is none of these.
    """
    if (listed := series_in(data, dims)) is not None:
        return series.with_classes(listed)
    splits, parts = splits_of(data), dict[str, Part]()
    for split in splits:
        parts[split] = FORMS[form_of(splits[split])].read(splits[split], split, in_chans)
        in_chans = channels(parts[split].images) if in_chans is None else in_chans
    kept = [part.images.array for part in parts.values() if isinstance(part.images, ArrayImages)]
    sizes = {array.shape[1:3] for array in kept}
    if len(sizes) > 1:
        raise InputError(f"data with images of the sizes {', '.join(map(str, sorted(sizes)))}; give all of one size")
    size = sizes.pop() if len(kept) == len(parts) else None
    return Found(form_of(data), parts, size=size, in_chans=in_chans)


def series_in(data: Any, dims: int | None = None) -> series.Listed | None:
    """The series in memory, and their labels; None where they are no series. The arguments are those of `read`."""
    splits = splits_of(data)
    if dims == 1 or (dims is None and all(map(arrays.are_series, splits.values()))):
        return series.of_memory({split: _series(pair, split) for split, pair in splits.items()}, form_of(data))
    return None


def splits_of(data: Any) -> dict[str, Any]:
    """The splits in their order. Raises `InputError` for others."""
    splits = data if isinstance(data, Mapping) else {"train": data}
    if not splits or not set(splits) <= set(SPLITS):
        raise InputError(f"data with the splits {', '.join(map(str, splits)) or 'none'}; {arrays.GIVE}")
    return {split: splits[split] for split in SPLITS if split in splits}


def _series(pair: Any, split: str) -> list[Any]:
    """X and y of series. Raises `InputError` for other forms, of which pictures are read."""
    if (form := form_of(pair)) != arrays.NAME:
        raise InputError(f"{split}: a {form} is read as pictures; {arrays.SERIES}")
    return arrays.two(pair, split)


def channels(images: Any) -> int:
    """Of images in memory, or that are read when they are asked for."""
    num: int = images.array.shape[3] if isinstance(images, ArrayImages) else images.in_chans
    return num
