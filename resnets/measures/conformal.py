"""Prediction sets that hold the truth as often as wanted: split conformal prediction (Vovk et al. 2005; Angelopoulos and Bates
2021, arXiv 2107.07511, section 1).

A class is in the set where its probability is at least a threshold (the score 1 - p of Sadinle et al. 2019, arXiv 1609.00451),
and the likeliest class always. Of N pictures of validation and a new one like them, in any order, the probability of the truth
in the new one is below the k-th smallest of the N with probability at most k / (N + 1): so with k = floor((N + 1) (1 -
coverage)) sets miss the truth at most so often, over the draw of both, whatever the network.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np

COVERAGES = tuple(round(percent / 100, 4) for percent in (*range(50, 99), *np.arange(99, 100, 0.1), 99.95, 99.99))


class Table(TypedDict):
    """Thresholds by coverage."""

    coverage: list[float]  # rising
    probability: list[float]  # falling: what a class must have at least


def tabulate(probability: np.ndarray) -> Table:
    """The threshold for each of `COVERAGES` that so many pictures can give.

    Args:
        probability: (N,) of the truth.
    """
    ordered = np.sort(probability)
    ranks = {coverage: rank(coverage, len(ordered)) for coverage in COVERAGES}
    given = [coverage for coverage in COVERAGES if ranks[coverage] > 0]
    return {"coverage": given, "probability": [below(float(ordered[ranks[coverage] - 1])) for coverage in given]}


def rank(coverage: float, num: int) -> int:
    """k: how many of `num` pictures, and one more, may miss the truth; 0 where these are too few."""
    return math.floor((num + 1) * (1 - coverage) + 1e-9)


def num_needed(coverage: float) -> int:
    """How many pictures a coverage takes at least."""
    return math.ceil(1 / (1 - coverage) - 1 - 1e-9)


def threshold(table: Table | Mapping[str, Any], coverage: float) -> float | None:
    """The threshold for a wanted coverage, or for the next higher one of the table; None where it has none."""
    place = bisect_left(table["coverage"], coverage - 1e-9)
    return table["probability"][place] if place < len(table["coverage"]) else None


def sets(probabilities: np.ndarray, least: float) -> np.ndarray:
    """(N, num_classes) bool: which classes are in the sets of probabilities (N, num_classes)."""
    found = probabilities >= least
    found[np.arange(len(found)), probabilities.argmax(1)] = True
    return found


def below(value: float) -> float:
    """`value` with five digits, rounded down, so that sets never lose a class by it."""
    if value <= 0:
        return 0.0
    scale = 10.0 ** (math.floor(math.log10(value)) - 4)
    return float(f"{max(math.floor(value / scale) - 1, 0) * scale:.6g}")
