"""Pictures unlike those that a network was trained on (out of distribution): a score, its threshold, and how well it tells."""

from __future__ import annotations

import math

import numpy as np


def energy(logits: np.ndarray) -> np.ndarray:
    """(N,): -log sum exp of logits (N, num_classes); greater is less like the training data (Liu et al. 2020, arXiv
    2010.03759)."""
    return -np.logaddexp.reduce(np.asarray(logits, np.float64), axis=1)


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
