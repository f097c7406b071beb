"""Figures of how the numbers or grades of a split came out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from resnets.data.words import PICTURES, called
from resnets.draw.confusion import confusion
from resnets.draw.gallery import gallery
from resnets.draw.style import TRAIN, VAL, blank, styled, write
from resnets.tasks.grade import figures
from resnets.tasks.grade.answers import Z95

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from resnets.tasks.grade.meter import GradeMeter

MOST = 24  # pictures that are shown
JITTER = 0.12  # of a grade: whole numbers would hide each other


def evaluation(meter: GradeMeter, images: Any, folder: Path) -> list[Path]:
    """Draw answers over truths, their differences, of grades the confusion matrix, and the pictures with the largest error;
    the drawings' paths."""
    truth, values, positions = meter.truth, meter.values, meter.kept.positions
    name = "grade" if meter.ordinal else meter.labels[0]
    shown = truth + np.random.default_rng(0).uniform(-JITTER, JITTER, len(truth)) if meter.ordinal else truth
    bounds = None if meter.ordinal else meter.intervals()
    drawings = [
        write(draw_scatter(truth, values, shown, name, bounds, of=called(images)), folder / "scatter.png"),
        write(draw_agreement(truth, values, name), folder / "agreement.png"),
    ]
    if meter.ordinal:
        targets, said = meter.kept.targets, meter.said
        matrix = figures.grades(targets, said, meter.labels, None)["confusion"]
        drawings.append(confusion(matrix, meter.labels, folder / "confusion.png", of=called(images)))
    errors = meter.errors()
    worst = np.argsort(-errors, kind="stable")[:MOST].tolist()
    answers = [f"{value:.3g}" for value in values]
    if meter.ordinal:
        answers = [f"{meter.labels[grade]} (expected {value:.1f})" for grade, value in zip(said, values, strict=True)]
    captions = [f"{answers[index]}\nis {truth[index]:.6g}" for index in worst]
    pictures = [images[int(positions[index])] for index in worst]
    drawings.append(gallery(pictures, captions, folder / "worst.png", title="Largest error first"))
    return drawings


@styled
def draw_scatter(
    truth: np.ndarray,
    values: np.ndarray,
    shown: np.ndarray,
    name: str,
    bounds: tuple[np.ndarray, np.ndarray] | None,
    of: str = PICTURES,
) -> Figure:
    """Answers over truths (N,), with the line on which they are equal; in grey the prediction intervals.

    Args:
        shown: truths as they are drawn, which may be moved a little so that points do not hide each other.
        bounds: the ends (N,) of the intervals.
        of: what the images are called.
    """
    figure = blank(5.0, 5.0)
    axes = figure.subplots()
    if bounds is not None:
        axes.vlines(shown, *bounds, color="#DDDDDD", linewidth=1.0, zorder=1)
    ends = spread([truth, values])
    axes.plot(ends, ends, color=VAL, linewidth=1.2, zorder=2)
    points(axes, shown, values)
    axes.set(xlim=ends, ylim=ends, aspect="equal")
    score = figures.r2(truth, values)
    told = f"R2 {score:.3f}, " if np.isfinite(score) else ""
    axes.set_title(f"{told}mean error {np.abs(values - truth).mean():.3g} on {len(truth):,} {of}")
    axes.set_xlabel(f"true {name}")
    axes.set_ylabel(f"predicted {name}")
    axes.grid()
    return figure


@styled
def draw_agreement(truth: np.ndarray, values: np.ndarray, name: str) -> Figure:
    """Bland and Altman's plot (1986): the error of each answer over the mean of answer and truth (N,), the mean error, and the
    limits between which 95 % of normally distributed errors are."""
    errors, middles = values - truth, (values + truth) / 2
    bias, deviation = float(errors.mean()), float(errors.std(ddof=1)) if len(errors) > 1 else 0.0
    figure = blank(6.4, 3.8)
    axes = figure.subplots()
    points(axes, middles, errors)
    axes.axhline(0, color="#AAAAAA", linewidth=0.8)
    for height, words, style in (
        (bias, "mean", "-"),
        (bias - Z95 * deviation, "-1.96 s", "--"),
        (bias + Z95 * deviation, "+1.96 s", "--"),
    ):
        axes.axhline(height, color=VAL, linestyle=style, linewidth=1.2)
        axes.annotate(
            f"{words} {height:.3g}", (1.01, height), xycoords=("axes fraction", "data"), color=VAL, va="center", fontsize=8
        )
    axes.set(xlim=spread([middles]))
    axes.set_title(f"error of the predicted {name}")
    axes.set_xlabel("mean of predicted and true")
    axes.set_ylabel("predicted - true")
    axes.grid(axis="y")
    return figure


def points(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Points that let each other be seen where there are many."""
    many = len(x) > 300
    axes.plot(x, y, "o", color=TRAIN, markersize=3 if many else 5, markeredgewidth=0, alpha=0.35 if many else 0.65, zorder=3)


def spread(columns: Sequence[np.ndarray]) -> tuple[float, float]:
    """The ends of an axis that holds all values, with some room."""
    low, high = min(float(column.min()) for column in columns), max(float(column.max()) for column in columns)
    room = 0.05 * (high - low) or 0.5
    return low - room, high + room
