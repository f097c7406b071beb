"""The reliability diagram: how well a classifier's confidence agrees with its accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from resnets.draw.style import FAINT, TRAIN, VAL, blank, styled, write
from resnets.measures.calibration import calibration

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike


def reliability(confidence: ArrayLike | Mapping[str, ArrayLike], correct: ArrayLike, path: Path | str) -> Path:
    """Save the reliability diagram as PNG. See `draw_reliability`."""
    return write(draw_reliability(confidence, correct), path)


@styled
def draw_reliability(confidence: ArrayLike | Mapping[str, ArrayLike], correct: ArrayLike) -> Figure:
    """Reliability diagram: accuracy and mean confidence in 15 bins of confidence; below, the share of predictions in each bin.

    Where the bar of the accuracy ends below the mark of the confidence, the network is overconfident.

    Args:
        confidence: (N,), the probability of the predicted class, 0 to 1; or several of the same predictions by name (before
            and after a temperature), side by side.
        correct: (N,), whether the prediction is right.
    """
    several = confidence if isinstance(confidence, Mapping) else {"": confidence}
    figure = blank(4.6 * len(several), 5.4)
    axes = figure.subplots(2, len(several), sharex=True, sharey="row", squeeze=False, height_ratios=(3, 1))
    for (upper, lower), (name, values) in zip(axes.T, several.items(), strict=True):
        draw_bins(upper, lower, name, values, correct)
    return figure


def draw_bins(upper: Any, lower: Any, name: str, confidence: ArrayLike, correct: ArrayLike) -> None:
    """One diagram, on two axes of matplotlib."""
    bins = calibration(confidence, correct)
    num_bins = len(bins.counts)
    middles = (np.arange(num_bins) + 0.5) / num_bins

    width = 0.88 / num_bins
    upper.bar(middles, bins.accuracy, width, color=TRAIN)
    upper.hlines(bins.confidence, middles - width / 2, middles + width / 2, color=VAL, linewidth=2.5)
    upper.set(xlim=(0, 1), ylim=(0, 1.02))
    upper.set_title(f"{name}{': ' if name else ''}calibration error (ECE) {100 * bins.ece:.2f} %")
    upper.text(0.03, 0.97, "■ accuracy", color=TRAIN, va="top")
    upper.text(0.03, 0.905, "▬ mean confidence", color=VAL, va="top")
    upper.grid(axis="y")

    total = max(int(bins.counts.sum()), 1)
    lower.bar(middles, 100 * bins.counts / total, width, color="#999999")
    lower.set(xlabel="confidence", ylabel="% of answers")
    lower.grid(axis="y")
    mean, right = (float(np.asarray(values, np.float64).mean()) for values in (confidence, correct))
    side = {"x": 0.03, "ha": "left"} if mean > 0.5 else {"x": 0.97, "ha": "right"}  # on the side where bars are low
    words = f"mean confidence {100 * mean:.1f} %\naccuracy {100 * right:.1f} %"
    lower.text(y=0.92, s=words, va="top", color=FAINT, fontsize=8, transform=lower.transAxes, **side)
