"""Scores of several labels per picture, for all labels at once and for pictures that count several times or not at all: that is
what a bootstrap asks a thousand times, and scikit-learn's functions, which give the same, take a label and a draw at a time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from resnets.measures import intervals
from resnets.tasks.means import mean, ratio

QUICK = 200_000  # outputs up to which 1,000 draws take a few seconds
NUM_DRAWS, FEW_DRAWS = intervals.NUM_DRAWS, 200


class Scores(NamedTuple):
    """Of each label (C,), NaN where all or none of the pictures have it; and over all labels and pictures."""

    ap: np.ndarray
    auc: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    all_precision: float
    all_recall: float
    all_f1: float
    exact: float  # pictures all of whose labels are right

    def figures(self) -> dict[str, float | None]:
        """The means over labels, and the figures of all together."""
        return {
            "map": mean(self.ap),
            "auc": mean(self.auc),
            "f1": self.all_f1,
            "precision": self.all_precision,
            "recall": self.all_recall,
            "macro_f1": mean(self.f1),
            "exact": self.exact,
        }


class Judgement:
    """Outputs beside the truth, sorted once.

    Args:
        outputs: (N, C), such as logits: the order alone counts.
        said: (N, C) bool, the labels that pictures are given.
        true: (N, C) bool.
    """

    def __init__(self, outputs: np.ndarray, said: np.ndarray, true: np.ndarray) -> None:
        self.said, self.true = said, true
        self.hits, self.right = (said & true).astype(float), (said == true).all(1).astype(float)
        self.order = np.argsort(-outputs.T, axis=1, kind="stable")  # (C, N), the highest first
        ordered = np.take_along_axis(outputs.T, self.order, 1)
        self.ordered_true = np.take_along_axis(true.T, self.order, 1)
        # Of equal outputs none comes before another: all stand at the first and at the last of them.
        differs = ordered[:, 1:] != ordered[:, :-1]
        edge, at = np.ones((len(ordered), 1), bool), np.arange(len(outputs))
        self.first = np.maximum.accumulate(np.where(np.hstack([edge, differs]), at, 0), 1)
        last = np.where(np.hstack([differs, edge]), at, len(outputs))
        self.last = np.minimum.accumulate(last[:, ::-1], 1)[:, ::-1]

    def scores(self, times: np.ndarray) -> Scores:
        """Where each picture counts so many times, `times` (N,)."""
        weights = times.astype(float)
        num, positives, named, hits = weights.sum(), weights @ self.true, weights @ self.said, weights @ self.hits
        known = (positives > 0) & (positives < num)

        def of_known(values: np.ndarray) -> np.ndarray:
            return np.where(known, values, np.nan)

        ap, auc = self._areas(weights, positives, num - positives)
        sums = hits.sum(), named.sum(), positives.sum()
        return Scores(
            ap=of_known(ap),
            auc=of_known(auc),
            precision=of_known(ratio(hits, named)),
            recall=of_known(ratio(hits, positives)),
            f1=of_known(ratio(2 * hits, named + positives)),
            all_precision=float(sums[0] / max(1, sums[1])),
            all_recall=float(sums[0] / max(1, sums[2])),
            all_f1=float(2 * sums[0] / max(1, sums[1] + sums[2])),
            exact=float(weights @ self.right / num),
        )

    def _areas(self, weights: np.ndarray, positives: np.ndarray, negatives: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Average precision, and the area under the ROC curve, which is the fraction of pairs of a positive and a negative in
        the right order, of equal outputs half."""
        ordered = weights[self.order]
        hits = ordered * self.ordered_true
        found, seen = np.cumsum(hits, 1), np.cumsum(ordered, 1)
        found_at, seen_at = (np.take_along_axis(sums, self.last, 1) for sums in (found, seen))
        precision = found_at / np.maximum(seen_at, 1)
        wrong = np.hstack([np.zeros((len(ordered), 1)), seen - found])  # negatives before each position
        above = (np.take_along_axis(wrong, self.first, 1) + (seen_at - found_at)) / 2
        pairs = (hits * (negatives[:, None] - above)).sum(1)
        return (hits * precision).sum(1) / np.maximum(positives, 1), pairs / np.maximum(positives * negatives, 1)


def intervals_of(judgement: Judgement, groups: np.ndarray | None = None) -> tuple[dict[str, list[float]], np.ndarray]:
    """The 95 % intervals of `Scores.figures` and, (3, C, 2), of AP, AUC and F1 of each label, by bootstrap; NaN where a label
    has no score. `groups` as in `measures.intervals.bootstrap`. Of many outputs there are 200 draws rather than 1,000.

    In a mean over labels one that a draw has on none or all of its pictures keeps its score of the whole: left out, the means
    of draws would be over other labels, the frequent ones, and their interval beside the mean.
    """
    num, num_labels = judgement.true.shape
    whole = judgement.scores(np.ones(num))

    def figure(positions: np.ndarray) -> np.ndarray:
        scores = judgement.scores(np.bincount(positions, minlength=num))
        each = np.stack([scores.ap, scores.auc, scores.f1])
        ap, auc, f1 = np.where(np.isnan(each), np.stack([whole.ap, whole.auc, whole.f1]), each)
        figures = scores._replace(ap=ap, auc=auc, f1=f1).figures()
        return np.concatenate([each.ravel(), [np.nan if v is None else v for v in figures.values()]])

    num_draws = NUM_DRAWS if num * num_labels <= QUICK else FEW_DRAWS
    draws = intervals.draws(figure, num, groups, num_draws=num_draws)
    found = np.array([intervals.central(column) for column in draws.T])
    means = {name: row.tolist() for name, row in zip(whole.figures(), found[3 * num_labels :], strict=True)}
    return means, found[: 3 * num_labels].reshape(3, num_labels, 2)
