"""How well clusters agree with labels: pairwise and BCubed precision, recall and F (Amigó et al. 2009)."""

from __future__ import annotations

from typing import TypedDict

import numpy as np

ALONE = -1  # the cluster of what is in none: each of these is by itself


class Agreement(TypedDict):
    """All from 0 to 1. Pairwise: of the pairs of images in one cluster the fraction with one label, and the reverse; None where
    there are no such pairs. BCubed: the same of each image, itself included, and then the mean over images."""

    pairwise_precision: float | None
    pairwise_recall: float | None
    pairwise_f: float | None
    bcubed_precision: float
    bcubed_recall: float
    bcubed_f: float


def agreement(clusters: np.ndarray, labels: np.ndarray) -> Agreement:
    """Of N > 0 images the clusters (N,), integers, and the labels (N,), of any type."""
    from sklearn.metrics.cluster import contingency_matrix

    clusters = clusters.astype(np.int64)
    alone = clusters == ALONE
    clusters[alone] = clusters.max() + 1 + np.arange(alone.sum())
    table = contingency_matrix(labels, clusters, sparse=True)  # (labels, clusters) of counts
    both = table.data.astype(np.float64)
    by_label, by_cluster = (np.asarray(table.sum(axis)).ravel().astype(np.float64) for axis in (1, 0))
    precision, recall = _ratio(_pairs(both), _pairs(by_cluster)), _ratio(_pairs(both), _pairs(by_label))
    rows, columns = table.nonzero()
    bcubed = [float((both**2 / sizes).sum() / len(labels)) for sizes in (by_cluster[columns], by_label[rows])]
    return {
        "pairwise_precision": precision,
        "pairwise_recall": recall,
        "pairwise_f": None if precision is None or recall is None else f_measure(precision, recall),
        "bcubed_precision": bcubed[0],
        "bcubed_recall": bcubed[1],
        "bcubed_f": f_measure(*bcubed),
    }


def _pairs(counts: np.ndarray) -> float:
    return float((counts * (counts - 1) / 2).sum())


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def f_measure(precision: float, recall: float) -> float:
    """Their harmonic mean; 0 where both are."""
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
