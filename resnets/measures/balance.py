"""Figures of each class, and those in which every class counts the same, however few pictures it has."""

from __future__ import annotations

import numpy as np

from resnets.measures.intervals import Estimate, around, draws

FEW = 10  # a class with fewer pictures is too small to judge
FEW_TO_CHOOSE = 5  # and in validation too small to choose by
UNBALANCED = 2  # so many times as many pictures as the smallest class has


def confusion(truth: np.ndarray, answers: np.ndarray, num_classes: int) -> np.ndarray:
    """(C, C) pictures, a row for each true class and a column for each answer, of class indices (N,)."""
    return np.bincount(truth * num_classes + answers, minlength=num_classes**2).reshape(num_classes, num_classes)


def per_class(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall and F1 (C,) of each class, from the `confusion` (C, C); 0 where there is nothing to divide by."""
    support, hits, named = confusion.sum(1), confusion.diagonal(), confusion.sum(0)
    parts = (hits, named), (hits, support), (2 * hits, support + named)
    precision, recall, f1 = (np.divide(part, of, out=np.zeros(len(hits)), where=of > 0) for part, of in parts)
    return precision, recall, f1


def is_unbalanced(counts: np.ndarray) -> bool:
    """Whether, of pictures by class, the largest class has at least `UNBALANCED` times as many as the smallest that has any."""
    there = counts[counts > 0]
    return len(there) > 1 and bool(there.max() >= UNBALANCED * there.min())


def balanced_accuracy(support: np.ndarray, hits: np.ndarray, predicted: np.ndarray) -> float:
    """The mean recall of classes that have pictures; from pictures of each class (C,), hits, and answers that name it."""
    there = support > 0
    return float((hits[there] / support[there]).mean())


def macro_f1(support: np.ndarray, hits: np.ndarray, predicted: np.ndarray) -> float:
    """The mean F1 of classes that have pictures; arguments as of `balanced_accuracy`."""
    there = support > 0
    return float((2 * hits[there] / (support[there] + predicted[there])).mean())


FIGURES = (balanced_accuracy, macro_f1)


def balanced(
    truth: np.ndarray, answers: np.ndarray, num_classes: int, groups: np.ndarray | None = None
) -> tuple[Estimate, ...]:
    """Each of `FIGURES`, of class indices (N,), with its interval by the bootstrap over pictures, or `groups` (N,)."""
    right = truth[truth == answers]
    first, order = len(right), np.argsort(truth != answers, kind="stable")  # hits first
    truth, answers = truth[order], answers[order]

    def of(at: np.ndarray) -> np.ndarray:
        counts = [np.bincount(values, minlength=num_classes) for values in (truth[at], right[at[at < first]], answers[at])]
        return np.array([figure(*counts) for figure in FIGURES])

    # All of the same draws, for most of the time goes into drawing and counting.
    found = draws(of, len(truth), None if groups is None else groups[order])
    values = of(np.arange(len(truth))).tolist()
    return tuple(Estimate(value, around(value, column)) for value, column in zip(values, found.T, strict=True))
