"""Two models on the same pictures: is one better, or is it chance?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from resnets.measures.intervals import LEVEL, NUM_DRAWS, draws


def mcnemar(only_first: int, only_second: int) -> float:
    """The p-value of two classifiers being right equally often, from the numbers of pictures that only one of them has right
    (McNemar 1947; exact and two-sided, by the binomial distribution). Pictures are taken to be independent."""
    from scipy.stats import binomtest

    num = only_first + only_second
    return float(binomtest(only_first, num).pvalue) if num else 1.0


def right_together(first: np.ndarray, second: np.ndarray) -> dict[str, Any]:
    """Of two models' answers to the same pictures, (N,) bool whether they are right: {"both", "neither", "only_first",
    "only_second": numbers of pictures, "p_value": McNemar's}."""
    pairs = {"both": first & second, "neither": ~first & ~second}
    pairs |= {"only_first": first & ~second, "only_second": ~first & second}
    counts: dict[str, Any] = {name: int(pair.sum()) for name, pair in pairs.items()}
    return counts | {"p_value": mcnemar(counts["only_first"], counts["only_second"])}


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values of several comparisons, so enlarged that all of them together err as rarely as one would (Holm 1979). Those
    that are NaN stay so, and do not count."""
    found, least = list(p_values), 0.0
    order = sorted((at for at, value in enumerate(found) if np.isfinite(value)), key=lambda at: found[at])
    for rank, at in enumerate(order):
        least = found[at] = max(least, min(1.0, (len(order) - rank) * found[at]))
    return found


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


def of_runs(first: Sequence[float], second: Sequence[float]) -> Difference | None:
    """The mean of the first runs' figures minus that of the second, such as over seeds (Welch's t-test: the deviations may
    differ); None where one of them has fewer than two runs, or no run differs."""
    from scipy.stats import ttest_ind

    if min(len(first), len(second)) < 2 or not (np.std(first) or np.std(second)):
        return None
    found = ttest_ind(first, second, equal_var=False)
    interval = [float(bound) for bound in found.confidence_interval(LEVEL)]
    return Difference(float(np.mean(first) - np.mean(second)), interval, float(found.pvalue))


def of_pairs(first: Sequence[float], second: Sequence[float]) -> Difference:
    """The mean difference of two settings' figures that were measured with the same seeds, (N,) each (Student's paired t-test).
    Where all differences are the same, as with few pictures, chance cannot be told: the p-value is 1, without an interval."""
    from scipy.stats import ttest_rel

    apart = np.asarray(first) - np.asarray(second)
    if len(apart) < 2 or np.ptp(apart) < 1e-12:
        return Difference(float(apart.mean()), [np.nan, np.nan], 1.0)
    found = ttest_rel(first, second)
    return Difference(float(apart.mean()), [float(bound) for bound in found.confidence_interval(LEVEL)], float(found.pvalue))
