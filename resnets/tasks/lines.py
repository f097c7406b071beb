"""What the rows of several tasks share: a line of CSV, errors, the table of classes. No torch."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from typing import Any

from resnets.data.words import PICTURES, worded
from resnets.draw.text import columns, share, visible


def failed(row: Mapping[str, Any]) -> str:
    """The row of an image that could not be read, as one line for people."""
    return visible(f"{row['path']}  error: {row['error']}")


def with_interval(result: Mapping[str, Any], name: str) -> str:
    """A figure as a percentage with its 95 % interval behind it, where it has one, and by how many groups that is."""
    if result.get(f"{name}_interval") is None:
        return share(result[name])
    low, high = result[f"{name}_interval"]
    num = result.get("num_groups")
    groups = "" if num is None else f" by {num:,} group{'s' * (num != 1)}"
    return f"{share(result[name])} (95 % interval {low:.2%} to {high:.2%}{groups})"


def probabilities_in(record: Mapping[str, Any]) -> dict[str, float]:
    """The columns p_CLASS of a record, in their order, by class."""
    return {name[2:]: float(value) for name, value in record.items() if name.startswith("p_")}


def images_of(result: Mapping[str, Any]) -> str:
    """What the images of an evaluation are called, of `data.words.IMAGES_OF`."""
    return str(result.get("images", PICTURES))


def unreadable(result: Mapping[str, Any]) -> list[str]:
    """How many images of an evaluation could not be read, with the first names, as one line; no line where there are none."""
    if not result["bad_images"]:
        return []
    few = visible(", ".join(list(result["bad_images"])[:5]))
    return [f"{len(result['bad_images'])} {images_of(result)} could not be read: {few}"]


def first_cell(text: str, num_cells: int) -> str:
    """The first cell of a row of CSV. Raises `ValueError` where it is no whole row of `num_cells`."""
    try:
        cells = next(csv.reader([text], strict=True))
    except csv.Error as error:
        raise ValueError(str(error)) from error
    if len(cells) != num_cells:
        raise ValueError(f"{len(cells)} cells")
    return cells[0]


def class_table(
    rows: Sequence[Mapping[str, Any]], headings: Mapping[str, str], counted: str, first: str = "class", images: str = PICTURES
) -> str:
    """One row per class: its scores, those of `headings` ({key: heading}) that were measured, and how much of it was there.

    Args:
        rows: one per class, with "label", scores (None: undefined), and the key `counted`.
        counted: what was counted; a key, and the heading of the last column, in the words of `images`.
        first: the heading of the first column.
        images: what the images are called.
    """
    shown = {key: heading for key, heading in headings.items() if key in rows[0]}
    cells = [
        [visible(row["label"]), *("-" if row[key] is None else f"{row[key]:.4f}" for key in shown), f"{row[counted]:,}"]
        for row in rows
    ]
    return columns([[first, *shown.values(), worded(counted, images)], *cells], "l" + "r" * (len(shown) + 1))
