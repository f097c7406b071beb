"""Whether a class can be told from a few numbers that are not the image: a small tree, across patients, against chance."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

FOLDS, DEPTH = 5, 3
NUM_PERMUTATIONS = 99
LEVEL = 0.01  # largest p of what is said
LEAST = 0.25  # of the way from chance to always, from which on it is said


class Told(NamedTuple):
    """Balanced accuracy in cross-validation, that by chance, and the probability of doing as well by chance, by shuffled
    labels until one does as well: `LEVEL` where none of them did, 1 where the accuracy is too low to matter."""

    accuracy: float
    chance: float
    p: float

    @property
    def matters(self) -> bool:
        return self.accuracy - self.chance >= LEAST * (1 - self.chance)

    @property
    def sure(self) -> bool:
        return self.matters and self.p <= LEVEL


def told_apart(values: np.ndarray, labels: np.ndarray, groups: np.ndarray, *, test: bool = True) -> Told:
    """How well `values` (N, C) tell `labels` (N,), where each of `groups` (N,) is in one fold alone.

    Each group counts once for each of its classes, by the median of its values, so that one with many images is no proof.
    Classes with fewer groups than folds are left out. Without `test` the labels are not shuffled, and `p` says nothing.
    """
    classes, codes = np.unique(labels, return_inverse=True)
    pairs, where = np.unique(np.stack([np.unique(groups, return_inverse=True)[1], codes], 1), axis=0, return_inverse=True)
    where = where.ravel()
    order = np.argsort(where, kind="stable")
    starts = np.searchsorted(where[order], np.arange(len(pairs)))
    rows = np.array([np.median(part, 0) for part in np.split(values[order], starts[1:])]).reshape(len(pairs), -1)
    enough = np.isin(pairs[:, 1], np.flatnonzero(np.bincount(pairs[:, 1], minlength=len(classes)) >= FOLDS))
    rows, who = np.ascontiguousarray(rows[enough], np.float32), pairs[enough, 0]
    codes = np.unique(pairs[enough, 1], return_inverse=True)[1]
    chance = 1 / max(1, len(np.unique(codes)))
    if chance == 1 or not rows.shape[1]:
        return Told(chance, chance, 1.0)
    folds = _folds(who)
    found = _accuracy(rows, codes, folds)
    if not (test and Told(found, chance, 1.0).matters):
        return Told(found, chance, 1.0)
    random = np.random.RandomState(0)
    for n in range(NUM_PERMUTATIONS):
        if _accuracy(rows, random.permutation(codes), folds) >= found:
            return Told(found, chance, 2 / (2 + n))
    return Told(found, chance, 1 / (1 + NUM_PERMUTATIONS))


def _folds(who: np.ndarray) -> np.ndarray:
    """(N,) the part of each row, by its group alone, so that shuffled labels have the same chance as the true ones."""
    groups, numbers = np.unique(who, return_inverse=True)
    return (np.random.RandomState(0).permutation(len(groups)) % FOLDS)[numbers]


def _accuracy(rows: np.ndarray, codes: np.ndarray, folds: np.ndarray) -> float:
    """Balanced accuracy of a tree over the parts that it was not grown on; `folds` (N,) is the part of each row."""
    from sklearn.tree import DecisionTreeClassifier

    weights = (1 / np.maximum(np.bincount(codes), 1))[codes]
    right = np.zeros(len(codes), bool)
    for fold in range(FOLDS):
        left = folds == fold
        if left.any():
            tree = DecisionTreeClassifier(max_depth=DEPTH, min_samples_leaf=2, random_state=0)
            tree.fit(rows[~left], codes[~left], sample_weight=weights[~left], check_input=False)
            right[left] = tree.predict(rows[left], check_input=False) == codes[left]
    return float((right * weights).sum() / weights.sum())
