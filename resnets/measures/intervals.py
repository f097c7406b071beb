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

    def members(pick: np.ndarray) -> np.ndarray:
        """The positions of all pictures of the groups `pick`, one group after the other."""
        own = sizes[pick]
        before = np.cumsum(own) - own
        return order[np.arange(own.sum()) + np.repeat(starts[pick] - before, own)]

    picks = (random.integers(len(sizes), size=len(sizes)) for _ in range(num_draws))
    return np.array([figure(members(pick)) for pick in picks])
