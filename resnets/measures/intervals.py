"""Confidence intervals: of a fraction, and of any figure by drawing pictures, or groups of them, again."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

LEVEL = 0.95
NUM_DRAWS = 1000


def wilson(hits: int, num: int, z: float = 1.959964) -> list[float]:
    """The 95 % interval of a fraction of `num` independent pictures (Wilson 1927)."""
    share, scale = hits / num, 1 + z**2 / num
    middle = (share + z**2 / (2 * num)) / scale
    half = z * math.sqrt(share * (1 - share) / num + z**2 / (4 * num**2)) / scale
    return [max(0.0, middle - half), min(1.0, middle + half)]


def clopper_pearson_upper(hits: int, num: int, confidence: float = LEVEL) -> float:
    """The upper bound of a fraction of which `hits` of `num` were seen: with this confidence the fraction is not above it
    (exact, one-sided; Clopper and Pearson 1934). 1 where nothing was seen."""
    from scipy.special import betaincinv  # the quantile of a beta distribution; scipy.stats takes two seconds to import

    return 1.0 if hits >= num else float(betaincinv(hits + 1, num - hits, confidence))


def clopper_pearson_lower(hits: int, num: int, confidence: float = LEVEL) -> float:
    """The lower bound of such a fraction. 0 where nothing was seen."""
    return 1 - clopper_pearson_upper(num - hits, num, confidence)


def clopper_pearson(hits: int, num: int, confidence: float = LEVEL) -> list[float]:
    """[low, high]: the exact two-sided interval of such a fraction; 0 to 1 where nothing was seen."""
    one_sided = 1 - (1 - confidence) / 2
    if not num:
        return [0.0, 1.0]
    return [clopper_pearson_lower(hits, num, one_sided), clopper_pearson_upper(hits, num, one_sided)]


def bootstrap(
    figure: Callable[[np.ndarray], float],
    num: int,
    groups: np.ndarray | None = None,
    *,
    num_draws: int = NUM_DRAWS,
    seed: int = 0,
) -> list[float]:
    """The 95 % interval of a figure of `num` pictures: the 2.5 % and 97.5 % quantiles over draws with replacement (Efron 1979).

    Args:
        figure: of the pictures at some positions (K,), which may repeat; NaN where it has no value, which is left out.
        groups: (num,) what each picture belongs to. Groups are then drawn, whole, rather than pictures: those of one group are
            alike, so that they say less than as many independent ones (cluster bootstrap; Field and Welsh 2007).

    Returns:
        [low, high]; NaN where no draw has a value.
    """
    return central(draws(figure, num, groups, num_draws=num_draws, seed=seed))


def central(found: np.ndarray) -> list[float]:
    """The 2.5 % and 97.5 % quantiles of the draws (N,) of a figure, those without a value left out; NaN where none has one."""
    found = found[np.isfinite(found)]
    if not len(found):
        return [math.nan, math.nan]
    return np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()


def draws(
    figure: Callable[[np.ndarray], float | np.ndarray],
    num: int,
    groups: np.ndarray | None = None,
    *,
    num_draws: int = NUM_DRAWS,
    seed: int = 0,
) -> np.ndarray:
    """(num_draws, ...): the figure, or several, of each draw; see `bootstrap`."""
    random = np.random.default_rng(seed)
    if groups is None:
        return np.array([figure(random.integers(num, size=num)) for _ in range(num_draws)])
    codes = np.unique(groups, return_inverse=True)[1]
    order, sizes = np.argsort(codes, kind="stable"), np.bincount(codes)
    starts = np.cumsum(sizes) - sizes
    picks = (random.integers(len(sizes), size=len(sizes)) for _ in range(num_draws))
    return np.array([figure(order[_runs(starts[pick], sizes[pick])]) for pick in picks])


def _runs(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Whole numbers that follow each other: from each start, so many."""
    return np.repeat(starts - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())


class Estimate(NamedTuple):
    """A figure from 0 to 1 with its 95 % interval; None where there is none."""

    value: float
    interval: list[float] | None


def estimate(figure: Callable[[np.ndarray], float], num: int, groups: np.ndarray | None = None) -> Estimate:
    """A figure from 0 to 1 of `num` pictures, with the interval of the bootstrap; arguments as of `bootstrap`."""
    value = float(figure(np.arange(num)))
    return Estimate(value, around(value, draws(figure, num, groups)))


def around(value: float, found: np.ndarray, confidence: float = LEVEL) -> list[float] | None:
    """The interval of a figure from 0 to 1 by the standard deviation of its draws (K,), taken on the scale of log odds.

    Unlike quantiles of the draws it always holds the value itself, from which means over small classes differ in every draw,
    and it does not end at 1 where few errors were seen. None where the draws are all alike, for they cannot show errors that
    the pictures do not have.
    """
    from scipy.special import expit, logit, ndtri

    found = found[np.isfinite(found)]
    if len(found) < 2 or not 0 < value < 1 or not found.std():
        return None
    half = ndtri((1 + confidence) / 2) * found.std(ddof=1) / (value * (1 - value))
    return [float(expit(logit(value) - half)), float(expit(logit(value) + half))]


def of_share(right: np.ndarray, groups: np.ndarray | None = None, confidence: float = LEVEL) -> list[float] | None:
    """The interval of the share of pictures that are right, (N,) bool: exact or, by `groups` (N,), the bootstrap over these;
    where all or none are right, which a bootstrap cannot judge, exact for as many as there are groups. None of no picture."""
    num, hits = len(right), int(right.sum())
    if not num:
        return None
    if groups is not None and 0 < hits < num:
        by_group = around(hits / num, draws(lambda at: float(right[at].mean()), num, groups), confidence)
        if by_group is not None:
            return by_group
    units = num if groups is None else len(np.unique(groups))
    return clopper_pearson(round(hits / num * units), units, confidence)
