"""How well the boundaries of segments fit: boundary F and surface Dice; edge pixels of pictures (of volumes see `surfaces`)."""

from __future__ import annotations

import numpy as np

from resnets.data.targets import IGNORE


def edges(classes: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Where (bool) a pixel has a neighbour of another class along an axis.

    The border of the picture and that of ignored regions are no edges: what lies beyond them nobody knows.
    """
    found = np.zeros(classes.shape, bool)
    for axis in range(classes.ndim):
        here, there = np.moveaxis(found, axis, 0)[:-1], np.moveaxis(found, axis, 0)[1:]
        values, sure = np.moveaxis(classes, axis, 0), np.moveaxis(known, axis, 0)
        differ = (values[:-1] != values[1:]) & sure[:-1] & sure[1:]
        here |= differ
        there |= differ
    return found


def edge_hits(predicted: np.ndarray, truth: np.ndarray, num_classes: int, tolerance: float, spacing: np.ndarray) -> np.ndarray:
    """(num_classes, 4) int64: edge pixels predicted, those within `tolerance` of a true one; true ones, those near a predicted.

    Distances are straight between the middles of pixels, in units of `spacing` (one value an axis).
    """
    from scipy.spatial import KDTree

    known = truth != IGNORE
    ours, theirs = (np.nonzero(edges(classes, known)) for classes in (predicted, truth))
    our_class, their_class = predicted[ours], truth[theirs]
    ours, theirs = np.stack(ours, 1) * spacing, np.stack(theirs, 1) * spacing
    # KDTree looks for what is nearer than its bound, and a distance that equals the tolerance is a hit, rounding aside.
    bound = tolerance * (1 + 1e-9) + 1e-12
    counts = np.zeros((num_classes, 4), np.int64)
    for index in np.union1d(our_class, their_class):
        a, b = ours[our_class == index], theirs[their_class == index]
        counts[index] = len(a), 0, len(b), 0
        if len(a) and len(b):
            counts[index, 1] = np.isfinite(KDTree(b).query(a, distance_upper_bound=bound)[0]).sum()
            counts[index, 3] = np.isfinite(KDTree(a).query(b, distance_upper_bound=bound)[0]).sum()
    return counts


def f_measure(hits: np.ndarray) -> np.ndarray:
    """Boundary F (C,), the harmonic mean of the shares of edges that are hit; NaN where a class has no edge on either side.

    Csurka et al. 2013, "What is a good evaluation measure for semantic segmentation?"

    Args:
        hits: (C, 4), pixels or areas: predicted, the part of it near the truth; true, the part near the prediction.
    """
    ours, our_hits, theirs, their_hits = hits.T.astype(np.float64)
    precision, recall = our_hits / np.maximum(ours, 1e-300), their_hits / np.maximum(theirs, 1e-300)
    value = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
    return np.where(ours + theirs > 0, value, np.nan)


def surface_dice(hits: np.ndarray) -> np.ndarray:
    """Surface Dice (C,), hits of both sides over edges of both; NaN as for `f_measure`. Nikolov et al., arXiv 1809.04430."""
    ours, our_hits, theirs, their_hits = hits.T.astype(np.float64)
    return np.where(ours + theirs > 0, (our_hits + their_hits) / np.maximum(ours + theirs, 1e-300), np.nan)
