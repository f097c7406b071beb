"""Whether a class can be told from a few numbers that are not the image: a small tree, across patients, against chance."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np

FOLDS, DEPTH = 5, 3
NUM_PERMUTATIONS = 99
LEVEL = 0.01  # largest p of what is said
LEAST = 0.25  # of the way from chance to always, from which on it is said


class Told(NamedTuple):
    """Balanced accuracy in cross-validation, that by chance, and the fraction of shuffled labels (with the true ones among
    them) that do as well; `p` is 1 where the accuracy is too low to matter."""

    accuracy: float
    chance: float
    p: float

    @property
    def sure(self) -> bool:
        return self.p <= LEVEL and self.accuracy - self.chance >= LEAST * (1 - self.chance)


def told_apart(values: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> Told:
    """How well `values` (N, C) tell `labels` (N,), where each of `groups` (N,) is in one fold alone.

    Each group counts once for each of its classes, by the median of its values, so that one with many images is no proof.
    Classes with fewer groups than folds are left out.
    """
    classes, codes = np.unique(labels, return_inverse=True)
    pairs, where = np.unique(np.stack([np.unique(groups, return_inverse=True)[1], codes], 1), axis=0, return_inverse=True)
    where = where.ravel()
    order = np.argsort(where, kind="stable")
    starts = np.searchsorted(where[order], np.arange(len(pairs)))
    rows = np.array([np.median(part, 0) for part in np.split(values[order], starts[1:])]).reshape(len(pairs), -1)
    enough = np.isin(pairs[:, 1], np.flatnonzero(np.bincount(pairs[:, 1], minlength=len(classes)) >= FOLDS))
    rows, who, codes = rows[enough], pairs[enough, 0], pairs[enough, 1]
    chance = 1 / max(1, len(np.unique(codes)))
    if chance == 1 or not rows.shape[1]:
        return Told(chance, chance, 1.0)
    found = _accuracy(rows, codes, who)
    if found - chance < LEAST * (1 - chance):
        return Told(found, chance, 1.0)
    random = np.random.RandomState(0)
    better = sum(_accuracy(rows, random.permutation(codes), who) >= found for _ in range(NUM_PERMUTATIONS))
    return Told(found, chance, (1 + better) / (1 + NUM_PERMUTATIONS))


def _accuracy(rows: np.ndarray, codes: np.ndarray, who: np.ndarray) -> float:
    """Balanced accuracy of a tree over the parts that it was not grown on."""
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.tree import DecisionTreeClassifier

    guessed = np.zeros_like(codes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes with fewer rows than folds
        for grown, left in StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0).split(rows, codes, who):
            tree = DecisionTreeClassifier(max_depth=DEPTH, min_samples_leaf=2, class_weight="balanced", random_state=0)
            guessed[left] = tree.fit(rows[grown], codes[grown]).predict(rows[left])
        return float(balanced_accuracy_score(codes, guessed))
