"""Labels that are likely wrong, from probabilities of a model that has not seen them. Numbers only: no model, image or file.

By confident learning (Northcutt, Jiang, Chuang 2021, arXiv 1911.00068): a class is believed of an image where its probability
reaches what the class has on average on images that are labelled so. `cleanlab` has the same rule, and is compared with it in
the tests; these lines of NumPy spare pandas and two more packages.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Doubts(NamedTuple):
    """What is to be said of N labels.

    Args:
        confidence: (N,) the probability of the label that is given; the lower, the more likely it is wrong. As an order that
            is better than the margin to the likeliest other class (benchmarks/repair.md).
        likely: (N,) bool, whether another class than the label is believed.
        suggested: (N,) int64: the class that is believed or, where the label is, the likeliest other one.
    """

    confidence: np.ndarray
    likely: np.ndarray
    suggested: np.ndarray


def doubts(probabilities: np.ndarray, labels: np.ndarray) -> Doubts:
    """Of classes that exclude each other.

    Args:
        probabilities: (N, num_classes), out of sample.
        labels: (N,) the classes that are given, as integers.
    """
    rows = np.arange(len(labels))
    given = probabilities[rows, labels]
    others = probabilities.copy()
    others[rows, labels] = -np.inf
    believed = np.where(probabilities >= thresholds(probabilities, labels), probabilities, -np.inf)
    winner = believed.argmax(1)
    likely = np.isfinite(believed.max(1)) & (winner != labels)
    return Doubts(given, likely, np.where(likely, winner, others.argmax(1)))


def thresholds(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(num_classes,) the mean probability of each class where it is the label; infinite for a class that no image has."""
    found = np.full(probabilities.shape[1], np.inf)
    for label in np.unique(labels):
        found[label] = probabilities[labels == label, label].mean()
    return found


def doubts_of_each(probabilities: np.ndarray, given: np.ndarray) -> Doubts:
    """Of labels that do not exclude each other: each is a question of two classes, yes or no, and has doubts of its own.

    Args:
        probabilities: (N, num_labels), out of sample.
        given: (N, num_labels) bool.

    Returns:
        Arrays (N, num_labels); `suggested` is 1 or 0, the other answer than the one given.
    """
    each = [
        doubts(np.stack([1 - column, column], axis=1), labels.astype(np.int64))
        for column, labels in zip(probabilities.T, given.T, strict=True)
    ]
    return Doubts(*(np.stack(part, axis=1) for part in zip(*each, strict=True)))
