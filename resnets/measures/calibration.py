"""Whether a classifier's confidence agrees with how often it is right, and the temperature by which it does."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

LEAST_IMAGES = 100  # pictures that a temperature is fitted to, at least
LOWEST, HIGHEST = 0.1, 10.0  # temperatures


class Bins(NamedTuple):
    """Predictions grouped by confidence into n bins of equal width; an empty bin has NaN as its means."""

    counts: np.ndarray  # (n,) int64
    confidence: np.ndarray  # (n,) float64, mean of each bin
    accuracy: np.ndarray  # (n,) float64, mean of each bin
    ece: float  # expected calibration error, 0 to 1: |accuracy - confidence| of the bins, weighted by their counts


def calibration(confidence: ArrayLike, correct: ArrayLike, num_bins: int = 15) -> Bins:
    """The calibration of a classifier, after Guo et al. 2017 (arXiv 1706.04599), section 2.

    Args:
        confidence: (N,), the probability of the predicted class, 0 to 1.
        correct: (N,), whether the prediction is right.
        num_bins: n; the bins are (0, 1/n], ..., ((n-1)/n, 1].
    """
    confidence, correct = np.asarray(confidence, np.float64), np.asarray(correct, np.float64)
    index = np.clip(np.ceil(confidence * num_bins) - 1, 0, num_bins - 1).astype(int)
    counts = np.bincount(index, minlength=num_bins)
    known = np.where(counts > 0, counts, math.nan)
    mean_confidence, accuracy = (np.bincount(index, values, num_bins) / known for values in (confidence, correct))
    gaps = np.nan_to_num(np.abs(accuracy - mean_confidence))
    return Bins(counts, mean_confidence, accuracy, ece=float((gaps * counts).sum() / max(counts.sum(), 1)))


def fit_temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    """The temperature T for which softmax(logits / T) has the least cross-entropy (Guo et al. 2017, section 4.2).

    From `LOWEST` to `HIGHEST`. 1, which changes nothing, of fewer than `LEAST_IMAGES` pictures; and at least 1 where every
    answer is right, since then nothing shows how sure is too sure.

    Args:
        logits: (N, num_classes).
        truth: (N,) class indices.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    if len(logits) < LEAST_IMAGES:
        return 1.0
    logits = np.asarray(logits, np.float64)
    gaps = logits - logits[np.arange(len(logits)), truth][:, None]  # to the logit of the truth

    def loss(log_temperature: float) -> float:
        return float(logsumexp(gaps / math.exp(log_temperature), axis=1).mean())

    # Convex in 1/T, so that there is one minimum.
    found = minimize_scalar(loss, bounds=(math.log(LOWEST), math.log(HIGHEST)), method="bounded", options={"xatol": 1e-5})
    temperature = round(math.exp(found.x), 4)
    return max(temperature, 1.0) if (logits.argmax(1) == truth).all() else temperature
