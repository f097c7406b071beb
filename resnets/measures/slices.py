"""A figure on parts of a split that have something in common, and which of them is the worst beyond chance. Numbers only."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from resnets.measures.intervals import LEVEL, around, central, draws, of_share

LEAST = 20  # images of a slice; of fewer a figure says little
MOST_VALUES = 12  # of a property with words: the commonest are slices
QUARTERS = 4
NUM_DRAWS = 200  # of the bootstrap, where a figure is no share


class Slice(NamedTuple):
    """Images that have something in common.

    Args:
        by: the property, such as "brightness".
        words: which of its values, such as "darkest quarter (below 81.2)".
        at: the places (K,) of its images in the sample.
    """

    by: str
    words: str
    at: np.ndarray


def cut(properties: Iterable[tuple[str, np.ndarray]], ends: Mapping[str, tuple[str, str]]) -> Iterator[Slice]:
    """Slices of at least `LEAST` images: quarters of numbers, and the commonest words.

    Args:
        properties: (name, values (N,)); text that reads as many different numbers is numbers.
        ends: what the first and the last quarter of a property are called.
    """
    for name, values in properties:
        numbers = numeric(values)
        parts = of_words(values) if numbers is None else of_numbers(numbers, *ends.get(name, ("lowest", "highest")))
        yield from (Slice(name, words, at) for words, at in parts if len(at) >= LEAST)


def numeric(values: np.ndarray) -> np.ndarray | None:
    """The values as numbers, if all that are not empty are, and they are more than are told apart by words."""
    if values.dtype.kind in "fiu":
        return values.astype(np.float64)
    words = np.unique(values)
    try:
        known = {word: float(word) if str(word).strip() else math.nan for word in words.tolist()}
    except ValueError:
        return None
    if len(words) <= MOST_VALUES:
        return None
    return np.array([known[word] for word in values.tolist()])


def of_words(values: np.ndarray) -> list[tuple[str, np.ndarray]]:
    names, codes, counts = np.unique(values, return_inverse=True, return_counts=True)
    often = np.argsort(-counts, kind="stable")[:MOST_VALUES]
    return [(str(names[code]) or "(empty)", np.flatnonzero(codes == code)) for code in often]


def of_numbers(values: np.ndarray, low: str, high: str) -> list[tuple[str, np.ndarray]]:
    """Quarters of the values that are finite; fewer where many are equal."""
    known = np.isfinite(values)
    if not known.any() or values[known].min() == values[known].max():
        return []
    bounds = np.unique(np.quantile(values[known], np.linspace(0, 1, QUARTERS + 1)))
    codes = np.clip(np.searchsorted(bounds, values, side="right") - 1, 0, len(bounds) - 2)
    found, last = [], len(bounds) - 2
    for code in range(last + 1):
        below, above = (written(bound) for bound in bounds[code : code + 2])
        words = f"{below} to {above}"
        if code in (0, last):
            words = f"{low} quarter (below {above})" if code == 0 else f"{high} quarter ({below} and more)"
        found.append((words, np.flatnonzero(known & (codes == code))))
    return found


def written(bound: float) -> str:
    return f"{bound:,.0f}" if abs(bound) >= 1000 else f"{bound:.3g}"


def judge(
    slices: Iterable[Slice],
    figure: Callable[[np.ndarray], float],
    num: int,
    right: np.ndarray | None = None,
    groups: np.ndarray | None = None,
) -> dict[str, Any]:
    """The figure of each slice with its 95 % interval, and the worst.

    Of many slices one looks bad by chance, so the interval of the worst is wider: with the level 1 - 0.05 / (number of slices)
    for each, all hold at once with 95 % (Bonferroni). Where even its upper end is below the figure of all, it is
    "beyond_chance".

    Args:
        figure: of the images at some places (K,), which may repeat.
        num: images of the sample.
        right: (N,) bool, whether each answer is right, where the figure is their share; intervals are then exact.
        groups: (N,) what each image belongs to, for the intervals.
    """
    whole, parts = float(figure(np.arange(num))), list(slices)
    rows: list[dict[str, Any]] = []
    level = 1 - (1 - LEVEL) / max(1, len(parts))
    for part in parts:
        value = float(figure(part.at))
        if not math.isfinite(value):
            continue
        plain, wide = intervals(part.at, value, figure, right, groups, level)
        row = {"by": part.by, "slice": part.words, "num_images": len(part.at), "value": value, "interval": plain}
        rows.append(row | {"corrected": wide})
    worst = min(rows, key=lambda row: row["value"], default=None)
    found: dict[str, Any] = {"value": whole, "num_slices": len(parts), "slices": rows, "worst": None}
    if worst is not None and worst["value"] < whole:
        bounds = worst["corrected"]
        found["worst"] = {**worst, "beyond_chance": bounds is not None and bounds[1] < whole}
    return found


def intervals(
    at: np.ndarray,
    value: float,
    figure: Callable[[np.ndarray], float],
    right: np.ndarray | None,
    groups: np.ndarray | None,
    level: float,
) -> tuple[list[float] | None, list[float] | None]:
    """The interval of 95 %, and the one of `level`; None where there is none."""
    own = None if groups is None else groups[at]
    if right is not None:
        return of_share(right[at], own), of_share(right[at], own, level)
    found = draws(lambda places: figure(at[places]), len(at), own, num_draws=NUM_DRAWS)
    plain = central(found)
    return (plain if math.isfinite(plain[0]) else None), around(value, found, level)
