"""Calibration: how well a classifier's confidence agrees with its accuracy, as numbers and as a figure."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from resnets.draw.style import FAINT, TRAIN, VAL, blank, styled, write

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike


def reliability(confidence: ArrayLike, correct: ArrayLike, path: Path | str) -> Path:
    """Save the reliability diagram as PNG. See `draw_reliability`."""
    return write(draw_reliability(confidence, correct), path)


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


@styled
def draw_reliability(confidence: ArrayLike, correct: ArrayLike) -> Figure:
    """Reliability diagram: accuracy and mean confidence in 15 bins of confidence; below, the share of predictions in each bin.

    Where the bar of the accuracy ends below the mark of the confidence, the network is overconfident.

    Args:
        confidence: (N,), the probability of the predicted class, 0 to 1.
        correct: (N,), whether the prediction is right.
    """
    bins = calibration(confidence, correct)
    num_bins = len(bins.counts)
    middles = (np.arange(num_bins) + 0.5) / num_bins
    figure = blank(4.6, 5.4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))

    width = 0.88 / num_bins
    upper.bar(middles, bins.accuracy, width, color=TRAIN)
    upper.hlines(bins.confidence, middles - width / 2, middles + width / 2, color=VAL, linewidth=2.5)
    upper.set(xlim=(0, 1), ylim=(0, 1.02))
    upper.set_title(f"calibration error (ECE) {100 * bins.ece:.2f} %")
    upper.text(0.03, 0.97, "■ accuracy", color=TRAIN, va="top")
    upper.text(0.03, 0.905, "▬ mean confidence", color=VAL, va="top")
    upper.grid(axis="y")

    total = max(int(bins.counts.sum()), 1)
    lower.bar(middles, 100 * bins.counts / total, width, color="#999999")
    lower.set(xlabel="confidence", ylabel="% of pictures")
    lower.grid(axis="y")
    mean, right = (float(np.asarray(values, np.float64).mean()) for values in (confidence, correct))
    side = {"x": 0.03, "ha": "left"} if mean > 0.5 else {"x": 0.97, "ha": "right"}  # on the side where bars are low
    words = f"mean confidence {100 * mean:.1f} %\naccuracy {100 * right:.1f} %"
    lower.text(y=0.92, s=words, va="top", color=FAINT, fontsize=8, transform=lower.transAxes, **side)
    return figure
