"""Shards whose samples have several labels each, or a number; of classes see `shards`. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from resnets.data.pictures.images import printable
from resnets.data.readers import shards
from resnets.data.readers.layouts import quoted
from resnets.data.readers.shards import Rows
from resnets.data.readers.tags import learnable
from resnets.data.types import Source, Split
from resnets.errors import InputError

TARGET = "target"  # what numbers are called, where classes.txt does not say it


def is_tagged(source: str | Path) -> bool:
    """Whether it is shards with several labels for an image, by their first sample."""
    return isinstance(_first(source), list)


def is_numbered(source: str | Path) -> bool:
    """Whether it is shards with a number for each image, by their first sample."""
    return isinstance(_first(source), float)


def _first(source: str | Path) -> shards.Label | None:
    """The label of the first sample; None where it is no shards."""
    if not shards.is_shards(source):
        return None
    first = next(iter(shards.listed(source).values()))[:1]
    return shards.rows_of(first, 3).labels[0]


def read_tags(source: str | Path, in_chans: int, labels: Sequence[str] | None = None) -> Source:
    """Read shards with several labels for an image, as `tags.read_list` a list.

    Args:
        labels: names of a saved model; None: those of classes.txt or, without it, that occur in the training split, sorted.

    Raises:
        InputError: where an image has a label that is none of these, and as `shards.read_shards`.
    """
    found = shards.listed(source)
    parts = {split: shards.rows_of(each, in_chans) for split, each in found.items()}
    given = {split: [_several(label, rows, at) for at, label in enumerate(rows.labels)] for split, rows in parts.items()}
    own = {name for each in given.get("train", ()) for name in each}
    names = tuple(labels or shards.class_names(found) or shards.in_order(own, ()))
    places, name = {label: place for place, label in enumerate(names)}, shards.name_of(found)
    if labels is None and "train" not in parts:
        raise InputError(f"{name}: no training split, only {', '.join(parts)}; add train-*.tar")
    splits = {}
    for split, rows in parts.items():
        targets = np.zeros((len(rows.labels), len(names)), np.float32)
        for at, each in enumerate(given[split]):
            if strange := [label for label in each if label not in places]:
                known = "the model does not know" if labels else "the training split does not have"
                raise InputError(f"{rows.images.name(at)}: {known} {quoted(strange)}; it has {quoted(names, 20)}")
            targets[at, [places[label] for label in each]] = 1
        splits[split] = Split(rows.images, targets, rows.columns)
    return learnable(Source(name, names, splits, in_chans, kind="tags"), labels is None)


def _several(label: shards.Label, rows: Rows, at: int) -> list[str]:
    if not isinstance(label, list):
        raise InputError(f"{rows.images.name(at)}: {label!r:.80} beside images with several labels; write it as a list")
    return [printable(name) for name in label]


class Numbers(NamedTuple):
    """A split of images with a number each, (N,) float64."""

    images: shards.ShardImages
    values: np.ndarray
    columns: dict[str, np.ndarray]


def read_numbers(source: str | Path, in_chans: int) -> tuple[str, str, dict[str, Numbers]]:
    """Read shards with a number for each image: the name of the data, what the numbers are called, and the splits.

    Raises:
        InputError: where an image has another label, and as `shards.read_shards`.
    """
    found = shards.listed(source)
    parts = {}
    for split, each in found.items():
        rows = shards.rows_of(each, in_chans)
        for at, label in enumerate(rows.labels):
            if isinstance(label, list | str):
                raise InputError(f"{rows.images.name(at)}: {label!r:.80} beside images with a number each; write a number")
        parts[split] = Numbers(rows.images, np.array(rows.labels, np.float64), rows.columns)
    return shards.name_of(found), next(iter(shards.class_names(found)), TARGET), parts
