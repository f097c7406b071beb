"""Two classes by a score, 0 to 1, where a picture is called positive from a threshold on: the ROC curve, precision over recall,
their areas with 95 % intervals, and thresholds for what is wanted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from resnets.measures.intervals import Estimate, estimate

Z = 1.959964  # of 95 %


class Curve(NamedTuple):
    """What each threshold does; the first is above all scores, so that nothing is positive, and the others are the scores seen.

    Args:
        scores: (K,) float64, falling.
        hits: (K,) int64, positive pictures with such a score or a higher one.
        alarms: (K,) int64, the same of negative pictures.
    """

    scores: np.ndarray
    hits: np.ndarray
    alarms: np.ndarray

    @property
    def num_positive(self) -> int:
        return int(self.hits[-1])

    @property
    def num_negative(self) -> int:
        return int(self.alarms[-1])

    @property
    def sensitivity(self) -> np.ndarray:
        """(K,): the share of positive pictures that are called positive (recall)."""
        return self.hits / self.num_positive

    @property
    def specificity(self) -> np.ndarray:
        """(K,): the share of negative pictures that are not called positive."""
        return 1 - self.alarms / self.num_negative

    @property
    def precision(self) -> np.ndarray:
        """(K,): the share of positive ones among pictures called positive (PPV); NaN where none is."""
        called = self.hits + self.alarms
        return self.hits / np.where(called, called, math.nan)

    def threshold(self, index: int) -> float:
        """Midway between a score and the next lower one, so that another runtime's rounding changes no answer; below the
        lowest score is 0. For index 0 a value that no score of the curve reaches."""
        above = self.scores[index]
        below = self.scores[index + 1] if index + 1 < len(self.scores) else 0.0
        if index == 0:
            return float((1 + below) / 2) if below < 1 else math.nextafter(1.0, 2.0)
        middle = float((above + below) / 2)
        return middle if middle > below else float(above)


def curve(scores: np.ndarray, positive: np.ndarray) -> Curve:
    """Of scores (N,), 0 to 1, and whether each picture is positive (N,) bool."""
    order = np.argsort(-scores, kind="stable")
    falling, true = scores[order].astype(np.float64), positive[order].astype(np.int64)
    last = np.flatnonzero(np.append(np.diff(falling) < 0, True)) if len(falling) else np.zeros(0, np.int64)
    hits, alarms = np.cumsum(true)[last], np.cumsum(1 - true)[last]
    return Curve(np.append(np.inf, falling[last]), np.append(0, hits), np.append(0, alarms))


# --- thresholds; each an index of the curve ---


def needed(wanted: float) -> int:
    """So many pictures a share needs, at least, that is to be reached and is not all: n with 1 in n + 1 left over."""
    return math.ceil(round(1 / (1 - wanted), 9)) - 1


def at_sensitivity(curve: Curve, wanted: float) -> int | None:
    """The highest threshold at which a new positive picture is found with probability `wanted` or more.

    Of n positive pictures the j-th lowest score has a new one below it with probability j / (n + 1), where all are drawn alike
    (the rank argument of split conformal prediction: Vovk, Gammerman and Shafer 2005, section 2.2). So fewer than j are missed
    here, j being (n + 1)(1 - wanted), rounded down. None where that is 0: see `needed`.
    """
    missed = _spare(curve.num_positive, wanted)
    return None if missed is None else int(np.argmax(curve.hits >= curve.num_positive - missed))


def at_specificity(curve: Curve, wanted: float) -> int | None:
    """The lowest threshold at which a new negative picture is not called positive with probability `wanted` or more; as
    `at_sensitivity`."""
    alarms = _spare(curve.num_negative, wanted)
    return None if alarms is None else int(np.flatnonzero(curve.alarms <= alarms)[-1])


def _spare(num: int, wanted: float) -> int | None:
    allowed = math.floor(round((num + 1) * (1 - wanted), 9))
    return allowed - 1 if allowed >= 1 else None


def at_precision(curve: Curve, wanted: float) -> int | None:
    """The lowest threshold from which the share of positive ones among those called positive is `wanted` or more, and that call
    at least as many as `needed`. None where there is none."""
    enough = curve.hits + curve.alarms >= max(1, needed(wanted))
    reached = np.flatnonzero(enough & (np.nan_to_num(curve.precision) >= wanted))
    return int(reached[-1]) if len(reached) else None


def costs(curve: Curve, false_alarm: float, miss: float, prevalence: float) -> np.ndarray:
    """(K,): the expected cost of a picture, where a share `prevalence` of them is positive."""
    return prevalence * (1 - curve.sensitivity) * miss + (1 - prevalence) * (1 - curve.specificity) * false_alarm


def at_cost(curve: Curve, false_alarm: float, miss: float, prevalence: float) -> int:
    """The threshold of the least expected cost; of equal ones the most sensitive."""
    expected = costs(curve, false_alarm, miss, prevalence)
    return int(np.flatnonzero(expected <= expected.min() * (1 + 1e-12))[-1])


def predictive(sensitivity: float, specificity: float, prevalence: float) -> tuple[float | None, float | None]:
    """PPV and NPV by Bayes' rule: the share of positive pictures among those called positive, and of negative ones among the
    others, where a share `prevalence` of all is positive. None where nothing would be called so."""
    found, alarms = prevalence * sensitivity, (1 - prevalence) * (1 - specificity)
    missed, cleared = prevalence * (1 - sensitivity), (1 - prevalence) * specificity
    ppv = found / (found + alarms) if found + alarms else None
    return ppv, cleared / (cleared + missed) if cleared + missed else None


# --- areas ---


def auc(scores: np.ndarray, positive: np.ndarray, groups: np.ndarray | None = None) -> Estimate | None:
    """The area under the ROC curve: how often a positive picture has a higher score than a negative one. None where either
    class has no picture.

    The interval is DeLong's, and None where a class has one picture; by `groups` (N,) the bootstrap over these. Where all pairs
    are in order, or none, for which both give no width, it is Newcombe's, counting groups where there are some.
    """
    if positive.all() or not positive.any():
        return None
    value, error = delong(scores, positive)
    if value in (0.0, 1.0):
        sides = [np.flatnonzero(positive), np.flatnonzero(~positive)]
        num, other = (len(side) if groups is None else len(np.unique(groups[side])) for side in sides)
        far = newcombe(num, other)
        return Estimate(value, [far, 1.0] if value else [0.0, 1 - far])
    if groups is None:
        if math.isnan(error):
            return Estimate(value, None)
        return Estimate(value, [max(0.0, value - Z * error), min(1.0, value + Z * error)])
    return Estimate(value, estimate(_weighted(scores, positive, _area), len(scores), groups).interval)


def delong(scores: np.ndarray, positive: np.ndarray) -> tuple[float, float]:
    """The area under the ROC curve and its standard error (DeLong, DeLong and Clarke-Pearson 1988), by mid-ranks (Sun and Xu
    2014). NaN where a class has a single picture."""
    from scipy.stats import rankdata

    high, low = scores[positive], scores[~positive]
    num_high, num_low = len(high), len(low)
    ranks = rankdata(np.concatenate([high, low]))
    # How far each picture of a class lies above, or below, those of the other.
    above = (ranks[:num_high] - rankdata(high)) / num_low
    below = 1 - (ranks[num_high:] - rankdata(low)) / num_high
    variance = sum(part.var(ddof=1) / len(part) if len(part) > 1 else math.nan for part in (above, below))
    return float(above.mean()), math.sqrt(variance)


def newcombe(num_positive: int, num_negative: int) -> float:
    """The lower 95 % limit of an area under the ROC curve that was 1 (Newcombe 2006, Statistics in Medicine 25:559, method 5):
    the area from which 1 is 1.96 standard errors away, by Hanley and McNeil's variance with both classes' mean size."""
    from scipy.optimize import brentq

    more = (num_positive + num_negative) / 2 - 1

    def gap(area: float) -> float:
        spread = 1 + more * ((1 - area) / (2 - area) + area / (1 + area))
        return (1 - area) - Z**2 * area * spread / (num_positive * num_negative)

    return float(brentq(gap, 0.0, 1.0))


def average_precision(scores: np.ndarray, positive: np.ndarray, groups: np.ndarray | None = None) -> Estimate | None:
    """The mean of precisions over steps of recall, without interpolation (scikit-learn's), with the interval of the bootstrap
    over pictures or `groups` (N,). None where no picture is positive."""
    if not positive.any():
        return None
    return estimate(_weighted(scores, positive, _precision), len(scores), groups)


Figure = Callable[[np.ndarray], float]


def _weighted(scores: np.ndarray, positive: np.ndarray, of: Callable[[np.ndarray, np.ndarray], float]) -> Figure:
    """A figure of pictures at some positions, which may repeat. They are sorted once, then only counted."""
    order = np.argsort(-scores, kind="stable")
    true, last = positive[order], np.append(np.diff(scores[order]) < 0, True)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))

    def figure(at: np.ndarray) -> float:
        counts = np.bincount(place[at], minlength=len(place))
        return of(np.cumsum(counts * true)[last], np.cumsum(counts * ~true)[last])

    return figure


def _area(hits: np.ndarray, alarms: np.ndarray) -> float:
    """From the counts of falling thresholds (K,); NaN without a class."""
    if not (hits[-1] and alarms[-1]):
        return math.nan
    steps, heights = np.diff(alarms, prepend=0), (hits + np.append(0, hits[:-1])) / 2
    return float((steps * heights).sum() / (hits[-1] * alarms[-1]))


def _precision(hits: np.ndarray, alarms: np.ndarray) -> float:
    if not hits[-1]:
        return math.nan
    return float((np.diff(hits, prepend=0) * hits / np.maximum(hits + alarms, 1)).sum() / hits[-1])
