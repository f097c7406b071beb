"""Confidence intervals: of a fraction, and of any figure by drawing pictures, or groups of them, again."""

from __future__ import annotations

import math
from collections.abc import Callable

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
    from scipy.stats import beta

    return 1.0 if hits >= num else float(beta.ppf(confidence, hits + 1, num - hits))


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
    found = draws(figure, num, groups, num_draws=num_draws, seed=seed)
    found = found[np.isfinite(found)]
    if not len(found):
        return [math.nan, math.nan]
    return np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()


def draws(
    figure: Callable[[np.ndarray], float],
    num: int,
    groups: np.ndarray | None = None,
    *,
    num_draws: int = NUM_DRAWS,
    seed: int = 0,
) -> np.ndarray:
    """(num_draws,): the figure of each draw; see `bootstrap`."""
    random = np.random.default_rng(seed)
    if groups is None:
        return np.array([figure(random.integers(num, size=num)) for _ in range(num_draws)])
    codes = np.unique(groups, return_inverse=True)[1]
    order = np.argsort(codes, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(codes))[:-1])
    picks = (random.integers(len(members), size=len(members)) for _ in range(num_draws))
    return np.array([figure(np.concatenate([members[group] for group in pick])) for pick in picks])
