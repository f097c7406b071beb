"""Pictures unlike those that a network was trained on (out of distribution): a score, its threshold, and how well it tells."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np

MOST_CLASSES = 50  # of a reference, which holds twice the square of it
LEAST_PER_CLASS = 10  # pictures that a reference is fitted to, on average
TAIL = 0.99  # quantile


def energy(logits: np.ndarray) -> np.ndarray:
    """(N,): -log sum exp of logits (N, num_classes); greater is less like the training data (Liu et al. 2020, arXiv
    2010.03759)."""
    return -np.logaddexp.reduce(np.asarray(logits, np.float64), axis=1)


class Reference(NamedTuple):
    """What the logits of pictures like the training data are: where they lie for each predicted class, and how far from there.

    The energy is small wherever some class is sure, whatever for: a deep network can be sure of noise. The distance to the
    nearest class (Lee et al. 2018, arXiv 1807.03888, on logits, in their common covariance) sees that no picture of the class
    looks so, but is worse for real pictures of other things. Their sum, each in units of its own upper tail, is better than
    either (benchmarks/confidence.md).
    """

    means: np.ndarray  # (M, num_classes) of the logits of the M classes that were predicted
    precision: np.ndarray  # (num_classes, num_classes): the inverse of the common covariance
    centre: np.ndarray  # (2,): the medians of energy and distance
    tail: np.ndarray  # (2,): how far their 99 % quantiles lie above

    @classmethod
    def fit(cls, logits: np.ndarray) -> Self | None:
        """Of pictures like the training data, (N, num_classes); None of too few, or too many classes."""
        logits = np.asarray(logits, np.float64)
        num, num_classes = logits.shape
        if num < LEAST_PER_CLASS * num_classes or num_classes > MOST_CLASSES:
            return None
        predicted, codes = np.unique(logits.argmax(1), return_inverse=True)
        means = np.stack([logits[codes == code].mean(0) for code in range(len(predicted))])
        rest = logits - means[codes]
        covariance = rest.T @ rest / num
        ridge = 1e-6 * np.trace(covariance) / num_classes * np.eye(num_classes)
        precision = np.linalg.pinv(covariance + ridge, hermitian=True)
        parts = np.stack([energy(logits), distance(logits, means, precision)])
        centre = np.median(parts, axis=1)
        tail = np.quantile(parts, TAIL, axis=1) - centre
        return cls(means, precision, centre, tail) if (tail > 0).all() else None

    def to_json(self) -> dict[str, Any]:
        """Lists of numbers of six digits; `parse` gives what they say."""
        return {name: _rounded(value) for name, value in self._asdict().items()}

    @classmethod
    def parse(cls, found: Mapping[str, Any]) -> Self:
        """From `to_json`. Raises `ValueError` or another of Python's for what that cannot have made."""
        means, precision, centre, tail = (np.asarray(found[name], np.float64) for name in cls._fields)
        num_classes = means.shape[1]
        fits = 0 < len(means) <= num_classes <= MOST_CLASSES and precision.shape == (num_classes, num_classes)
        if not fits or centre.shape != (2,) or tail.shape != (2,) or not (tail > 0).all():
            raise ValueError("no reference of logits")
        if not all(np.isfinite(part).all() for part in (means, precision, centre, tail)):
            raise ValueError("a reference of logits that is not finite")
        return cls(means, precision, centre, tail)


def _rounded(values: np.ndarray) -> Any:
    return [_rounded(value) for value in values] if values.ndim else float(f"{values:.6g}")


def distance(logits: np.ndarray, means: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """(N,): the squared Mahalanobis distance of logits (N, num_classes) to the nearest of `means`."""
    found = np.full(len(logits), np.inf)
    for mean in means:
        rest = logits - mean
        np.minimum(found, np.einsum("ni,ni->n", rest @ precision, rest), out=found)
    return found


def unlikeness(logits: np.ndarray, reference: Reference | None) -> np.ndarray:
    """(N,): greater is less like the training data: the sum of energy and distance, each less its median in units of its upper
    tail; without a reference the energy alone.

    Raises:
        ValueError: where the reference is of another number of classes.
    """
    logits = np.asarray(logits, np.float64)
    if reference is None:
        return energy(logits)
    if logits.shape[1] != reference.means.shape[1]:
        raise ValueError(f"a reference of {reference.means.shape[1]} classes for {logits.shape[1]}")
    parts = np.stack([energy(logits), distance(logits, reference.means, reference.precision)], axis=1)
    return ((parts - reference.centre) / reference.tail).sum(1)


def threshold(scores: np.ndarray, rate: float) -> float | None:
    """The score above which pictures are called unlike, so that of new pictures like these at most `rate` are, on average over
    the draw of both (the k-th smallest of N scores, k = ceil((N + 1) (1 - rate))); None where N is below `num_needed`.

    Args:
        scores: (N,) of pictures like the training data.
    """
    k = math.ceil((len(scores) + 1) * (1 - rate) - 1e-9)
    return float(np.sort(scores)[k - 1]) if k <= len(scores) else None


def num_needed(rate: float) -> int:
    """How many pictures a threshold for `rate` takes at least."""
    return math.ceil(1 / rate - 1 - 1e-9)


def auroc(known: np.ndarray, unknown: np.ndarray) -> float:
    """The probability that a picture unlike the training data has the greater score, 0 to 1; ties count half."""
    from sklearn.metrics import roc_auc_score

    is_unknown = np.repeat([0, 1], [len(known), len(unknown)])
    return float(roc_auc_score(is_unknown, np.concatenate([known, unknown])))


def fpr_at_tpr(known: np.ndarray, unknown: np.ndarray, tpr: float = 0.95) -> float:
    """The part of `unknown` pictures that passes as known where at least `tpr` of the known ones do: "FPR at 95 % TPR", with
    the known ones as the positive class, as in the literature."""
    limit = np.sort(known)[math.ceil(tpr * len(known) - 1e-9) - 1]
    return float((unknown <= limit).mean())
