"""What a threshold trades: the ROC curve and precision over recall of one class, with the point that was chosen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from resnets.draw.style import EMPTY, FAINT, TRAIN, VAL, blank, elide, styled, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Area = tuple[float, list[float] | None]  # a figure from 0 to 1 and its interval


def roc(
    alarms: np.ndarray,
    sensitivity: np.ndarray,
    path: Path | str,
    *,
    name: str,
    area: Area,
    at: tuple[float, float] | None = None,
) -> Path:
    """Save a ROC curve as PNG. See `draw_roc`."""
    return write(draw_roc(alarms, sensitivity, name=name, area=area, at=at), path)


def precision_recall(
    recall: np.ndarray,
    precision: np.ndarray,
    path: Path | str,
    *,
    name: str,
    area: Area,
    share: float,
    at: tuple[float, float] | None = None,
) -> Path:
    """Save precision over recall as PNG. See `draw_precision_recall`."""
    return write(draw_precision_recall(recall, precision, name=name, area=area, share=share, at=at), path)


@styled
def draw_roc(
    alarms: np.ndarray, sensitivity: np.ndarray, *, name: str, area: Area, at: tuple[float, float] | None = None
) -> Figure:
    """The ROC curve of a class: sensitivity over the part of negative pictures that are called positive.

    Args:
        alarms: (K,) 1 - specificity, rising from 0 to 1.
        sensitivity: (K,), rising from 0 to 1.
        name: of the class.
        area: under the curve.
        at: 1 - specificity and sensitivity of the operating point.
    """
    figure, axes = _square(f"AUC {_words(area)}", "1 - specificity (false alarms)", "sensitivity")
    axes.plot([0, 1], [0, 1], color=EMPTY, linewidth=1, linestyle="--")
    axes.plot(alarms, sensitivity, color=TRAIN)
    if at is not None:
        words = f"sensitivity {at[1]:.1%}\nspecificity {1 - at[0]:.1%}"
        _mark(axes, *at, words, (-1 if at[0] > 0.6 else 1, -1))
    axes.text(0.98, 0.03, f"{elide(name, 30)} against the rest", ha="right", color=FAINT)
    return figure


@styled
def draw_precision_recall(
    recall: np.ndarray,
    precision: np.ndarray,
    *,
    name: str,
    area: Area,
    share: float,
    at: tuple[float, float] | None = None,
) -> Figure:
    """Precision over recall of a class, as steps: between two recalls there is the precision of the greater one.

    Args:
        recall: (K,) rising to 1.
        precision: (K,).
        name: of the class.
        area: the average precision.
        share: of all pictures that are of the class: the precision of guessing.
        at: recall and precision of the operating point.
    """
    figure, axes = _square(f"average precision {_words(area)}", "recall (sensitivity)", "precision (PPV)")
    axes.axhline(share, color=EMPTY, linewidth=1, linestyle="--")
    axes.plot(np.append(0, recall), np.append(precision[:1], precision), color=TRAIN, drawstyle="steps-pre")
    if at is not None:
        _mark(axes, *at, f"recall {at[0]:.1%}\nprecision {at[1]:.1%}", (-1, -1 if at[1] > 0.3 else 1))
    axes.text(0.02, share - 0.015 if share > 0.1 else share + 0.015, f"{elide(name, 24)}: {share:.1%} of all",
              va="top" if share > 0.1 else "bottom", color=FAINT)  # fmt: skip
    return figure


def _square(title: str, across: str, up: str) -> tuple[Figure, Axes]:
    figure = blank(4.6, 4.6)
    axes = figure.subplots()
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02), xlabel=across, ylabel=up)
    axes.set_aspect("equal")
    axes.set_title(title)
    axes.grid()
    return figure, axes


def _words(area: Area) -> str:
    value, interval = area
    return f"{value:.3f}" + (f" (95 % interval {interval[0]:.3f} to {interval[1]:.3f})" if interval else "")


def _mark(axes: Axes, x: float, y: float, words: str, side: tuple[int, int]) -> None:
    """The operating point, with words to that side of it."""
    axes.plot(x, y, "o", markersize=8, markerfacecolor="none", markeredgewidth=1.8, color=VAL, zorder=5, clip_on=False)
    across, up = side
    axes.annotate(
        words, (x, y), (10 * across, 10 * up), textcoords="offset points", color=VAL,
        ha="left" if across > 0 else "right", va="bottom" if up > 0 else "top",
    )  # fmt: skip
