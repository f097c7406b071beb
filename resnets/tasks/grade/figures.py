"""How well numbers or grades agree with the truth. NumPy, SciPy, scikit-learn. Values: (N,) float64 in the target's units."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from resnets.measures.intervals import bootstrap, wilson
from resnets.tasks.grade.answers import Z95


def r2(truth: np.ndarray, values: np.ndarray) -> float:
    """The coefficient of determination: 1 less the squared error divided by that of the mean of these truths; NaN where all
    truths are one. 1 is right, 0 as good as the mean, below 0 worse."""
    spread = float(((truth - truth.mean()) ** 2).sum())
    return 1 - float(((values - truth) ** 2).sum()) / spread if spread else math.nan


def agreement(truth: np.ndarray, values: np.ndarray, groups: np.ndarray | None) -> dict[str, Any]:
    """Figures of N values; those that have no value are None. Errors are value minus truth."""
    errors = values - truth
    sizes, num = np.abs(errors), len(errors)
    deviation = float(errors.std(ddof=1)) if num > 1 else math.nan
    found: dict[str, Any] = {
        "r2": r2(truth, values),
        "r2_interval": bootstrap(lambda at: r2(truth[at], values[at]), num, groups),
        "mae": float(sizes.mean()),
        "mae_interval": bootstrap(lambda at: float(sizes[at].mean()), num, groups),
        "rmse": float(np.sqrt((errors**2).mean())),
        "median_error": float(np.median(sizes)),
        "bias": float(errors.mean()),
        # Bland and Altman 1986: between these 95 % of the differences are, if they are normally distributed
        "limits_of_agreement": [float(errors.mean()) - Z95 * deviation, float(errors.mean()) + Z95 * deviation],
        "spearman": spearman(truth, values),
        "mae_of_median": float(np.abs(truth - np.median(truth)).mean()),
    }
    return {name: known(value) for name, value in found.items()}


def spearman(truth: np.ndarray, values: np.ndarray) -> float:
    """Spearman's rank correlation; NaN where all truths or all values are one."""
    from scipy.stats import spearmanr

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of one value only
        return float(spearmanr(truth, values).statistic) if len(truth) > 1 else math.nan


def grades(truth: np.ndarray, said: np.ndarray, labels: Sequence[str], groups: np.ndarray | None) -> dict[str, Any]:
    """Figures of answered grades; positions `truth` and `said` (N,) in `labels`."""
    from sklearn.metrics import cohen_kappa_score, confusion_matrix

    positions, distance = np.arange(len(labels)), np.abs(truth - said)
    right, num = distance == 0, len(truth)
    per_class = [
        {"label": label, "accuracy": share(right[own]), "within_one": share(distance[own] <= 1), "support": int(own.sum())}
        for label, own in zip(labels, (truth == position for position in positions), strict=True)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of one grade only
        kappa = float(cohen_kappa_score(truth, said, labels=positions, weights="quadratic"))
    by_groups = bootstrap(lambda at: float(right[at].mean()), num, groups) if groups is not None else None
    return {
        "accuracy": float(right.mean()),
        "accuracy_interval": by_groups or wilson(int(right.sum()), num),
        "within_one": float((distance <= 1).mean()),
        "kappa": known(kappa),
        "mae_of_grades": float(distance.mean()),
        "per_class": per_class,
        "confusion": confusion_matrix(truth, said, labels=positions).tolist(),
    }


def share(hits: np.ndarray) -> float | None:
    """None of nothing."""
    return float(hits.mean()) if len(hits) else None


def known(value: Any) -> Any:
    """As JSON has it: None where there is no number."""
    if isinstance(value, list):
        return value if all(map(math.isfinite, value)) else None
    return value if math.isfinite(value) else None
