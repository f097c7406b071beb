"""Two models on the same pictures: is one better, or is it chance?"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from resnets.measures.intervals import LEVEL, NUM_DRAWS, draws


def mcnemar(only_first: int, only_second: int) -> float:
    """The p-value of two classifiers being right equally often, from the numbers of pictures that only one of them has right
    (McNemar 1947; exact and two-sided, by the binomial distribution). Pictures are taken to be independent."""
    from scipy.stats import binomtest

    num = only_first + only_second
    return float(binomtest(only_first, num).pvalue) if num else 1.0


class Difference(NamedTuple):
    """The first figure minus the second, over all pictures; its 95 % interval; the two-sided p-value of there being none."""

    value: float
    interval: list[float]
    p_value: float


def paired_bootstrap(
    first: Callable[[np.ndarray], float],
    second: Callable[[np.ndarray], float],
    num: int,
    groups: np.ndarray | None = None,
    *,
    num_draws: int = NUM_DRAWS,
    seed: int = 0,
) -> Difference:
    """The difference of a figure of two models on the same `num` pictures, drawn again together (Efron and Tibshirani 1993).

    Args:
        first, second: the figure of each model, of the pictures at some positions (K,), which may repeat.
        groups: (num,) what each picture belongs to: groups are drawn, whole, instead of pictures.
    """
    found = draws(lambda at: first(at) - second(at), num, groups, num_draws=num_draws, seed=seed)
    found = found[np.isfinite(found)]
    everything = np.arange(num)
    value = first(everything) - second(everything)
    if not len(found):
        return Difference(value, [np.nan, np.nan], np.nan)
    interval = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
    # How often a draw lies on the other side of zero; one draw more, for a thousand cannot say "never".
    beyond = min((found <= 0).sum(), (found >= 0).sum())
    return Difference(value, interval, float(min(1.0, 2 * (beyond + 1) / (len(found) + 1))))
