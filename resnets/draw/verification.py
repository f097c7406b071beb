"""Verification drawn: error rates over each other, and the distances of pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from resnets.draw.style import FAINT, INK, TRAIN, VAL, blank, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS = 60
Dot = tuple[float, float]


@styled
def draw_rates(
    far: np.ndarray,
    tar: np.ndarray,
    *,
    eer: float,
    dot: Dot | None = None,
    band: tuple[np.ndarray, np.ndarray] | None = None,
    least: float = 1e-4,
) -> Figure:
    """The ROC curve and the DET curve: the true accept rate, and the false reject rate, over the false accept rate.

    Args:
        far, tar: (K,) rising, 0 to 1.
        eer: the equal error rate, 0 to 1.
        dot: FAR and TAR of the threshold that is used.
        band: FAR (M,) and the bounds of TAR (M, 2), of 95 %.
        least: the lowest false accept rate that so many pairs can tell.
    """
    figure = blank(9.0, 4.2)
    roc, det = figure.subplots(1, 2)
    floor = min(0.1, max(least, 1e-6))
    if band is not None:
        known = np.isfinite(band[1]).all(1)
        roc.fill_between(band[0][known], band[1][known, 0], band[1][known, 1], color=TRAIN, alpha=0.18, linewidth=0)
    roc.step(np.maximum(far, floor / 2), tar, where="post", color=TRAIN, linewidth=1.6)
    roc.set(xscale="log", xlim=(floor, 1), ylim=(0, 1.02), xlabel="false accept rate", ylabel="true accept rate")
    roc.set_title(f"ROC{', 95 % interval by identities' * (band is not None)}")
    shown = (far >= floor / 2) & (tar < 1)
    if shown.any():
        det.plot(far[shown], 1 - tar[shown], color=TRAIN, linewidth=1.6)
    lowest = max(1e-4, min(floor, float((1 - tar[tar < 1]).min(initial=1.0)))) / 1.2
    det.plot([lowest, 1], [lowest, 1], color=FAINT, linewidth=0.8, linestyle="--")
    det.set(xscale="log", yscale="log", xlim=(floor, 1), ylim=(lowest, 1.05))
    det.set(xlabel="false accept rate", ylabel="false reject rate")
    det.set_title(f"DET, equal error rate {eer:.2%}")
    if dot is not None:
        at = max(dot[0], floor)
        roc.plot(at, dot[1], "o", color=VAL, markersize=7, markeredgecolor=INK, clip_on=False)
        det.plot(at, max(1 - dot[1], lowest), "o", color=VAL, markersize=7, markeredgecolor=INK, clip_on=False)
        roc.text(0.97, 0.05, "● the threshold", color=VAL, ha="right", transform=roc.transAxes)
    for axes in (roc, det):
        axes.grid()
    return figure


@styled
def draw_distances(same: np.ndarray, different: np.ndarray, *, name: str, threshold: float | None = None) -> Figure:
    """Histograms of the distances of pairs of the same identity (N,) and of different ones (M,), each of area 1.

    Args:
        name: of the distance.
        threshold: up to which pairs are called the same.
    """
    figure = blank(6.4, 3.6)
    axes = figure.subplots()
    every = np.concatenate([same, different])
    edges = np.linspace(float(every.min()), float(every.max()) or 1.0, BINS + 1) if len(every) else np.linspace(0, 1, BINS + 1)
    for values, colour in ((different, VAL), (same, TRAIN)):
        if len(values):
            axes.hist(values, edges.tolist(), density=True, color=colour, alpha=0.55)
    axes.text(0.02, 0.95, f"■ same, {len(same):,} pairs", color=TRAIN, va="top", transform=axes.transAxes)
    axes.text(0.02, 0.87, f"■ different, {len(different):,} pairs", color=VAL, va="top", transform=axes.transAxes)
    if threshold is not None:
        axes.axvline(threshold, color=INK, linestyle="--", linewidth=1.2)
        axes.set_title(f"threshold {threshold:.4g}", loc="right", fontsize=9)
    axes.set(xlabel=f"{name} distance", ylabel="density", yticks=[])
    return figure
