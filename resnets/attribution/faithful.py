"""Whether a map tells what the network goes by: deletion and insertion curves, beside those of random maps.

Positions are taken from the greatest value of the map down. Deletion makes them blank, insertion shows them in a blank input;
the curve is the network's answer (Petsiuk et al. 2018, arXiv 1806.07421, section 3.3). A good map has a small area under the
first and a large one under the second. Random maps, as coarse as the map itself, say what small and large are here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from resnets.attribution.methods import enlarged
from resnets.attribution.seen import Seen

STEPS = 20
NUM_RANDOM = 2


class Curves(NamedTuple):
    """The answer (from 0 to 1) with each of `shares` (P,) of the positions taken, by deletion and by insertion: (P,) each."""

    shares: np.ndarray
    deletion: np.ndarray
    insertion: np.ndarray

    @property
    def areas(self) -> tuple[float, float]:
        """The areas under both."""
        return float(np.trapezoid(self.deletion, self.shares)), float(np.trapezoid(self.insertion, self.shares))


class Faithfulness(NamedTuple):
    """The curves of a map, and the mean areas (deletion, insertion) of random maps."""

    curves: Curves
    random: tuple[float, float]

    @property
    def better(self) -> bool:
        """Whether both areas are on the right side of those of random maps."""
        deletion, insertion = self.curves.areas
        return deletion < self.random[0] and insertion > self.random[1]


def curves(seen: Seen, values: np.ndarray, steps: int = STEPS) -> Curves:
    """The curves of a map (*size) of the size of the input; of equal values the first in memory comes first."""
    order = np.argsort(-values, axis=None, kind="stable")
    num, step = len(order), -(-len(order) // steps)
    counts = [*range(0, num, step), num]
    ranks = np.empty(num, np.int64)
    ranks[order] = np.arange(num)
    rank = ranks.reshape(values.shape)

    def inputs() -> Iterator[np.ndarray]:
        for count in counts:
            yield np.where(rank < count, seen.blank, seen.pixels).astype(seen.pixels.dtype)
        for count in counts[1:-1]:
            yield np.where(rank < count, seen.pixels, seen.blank).astype(seen.pixels.dtype)

    found = seen.chances(inputs())
    deletion, between = found[: len(counts)], found[len(counts) :]
    insertion = np.concatenate([deletion[-1:], between, deletion[:1]])  # all blank and nothing blank are in both
    return Curves(np.array(counts) / num, deletion, insertion)


def faithfulness(seen: Seen, values: np.ndarray, *, seed: int = 0, num_random: int = NUM_RANDOM) -> Faithfulness:
    """The curves of a map (*positions), and of `num_random` maps of random values as coarse as it."""
    random = np.random.default_rng(seed)
    maps = [random.random(values.shape, np.float32) for _ in range(num_random)]
    areas = [curves(seen, enlarged(each, seen.size)).areas for each in maps]
    deletion, insertion = (float(np.mean(part)) for part in zip(*areas, strict=True))
    return Faithfulness(curves(seen, enlarged(values, seen.size)), (deletion, insertion))


def points_at(values: np.ndarray, place: np.ndarray) -> bool:
    """Whether the greatest value of a map (*size) lies in a place (*size), bool: the pointing game (Zhang et al. 2018, arXiv
    1608.00507, section 4.2), without its tolerance of 15 pixels. Of several such values, whether the most of them do."""
    return bool(place[values >= values.max()].mean() > 0.5) if values.max() > 0 else False
