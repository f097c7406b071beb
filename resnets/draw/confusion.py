"""The confusion matrix as a figure, and the largest confusions in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from resnets.draw.style import EMPTY, FAINT, INK, blank, elide, styled, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

COUNTED, NAMED = 20, 50  # up to this many classes, counts are written into the cells, and names along the sides


class Confusion(NamedTuple):
    """Items of the class `truth` that were predicted as `predicted`."""

    truth: str
    predicted: str
    num_pictures: int  # or pixels, or whatever the matrix counts
    share: float  # of all items of the class `truth`, 0 to 1


def confusion(matrix: ArrayLike, labels: Sequence[str], path: Path | str, *, of: str = "pictures") -> Path:
    """Save a confusion matrix as PNG. See `draw_confusion`."""
    return write(draw_confusion(matrix, labels, of=of), path)


def largest_confusions(matrix: ArrayLike, labels: Sequence[str], limit: int = 10) -> list[Confusion]:
    """The up to `limit` largest entries off the diagonal, the largest first.

    Args:
        matrix: counts (K, K), rows are true classes and columns predicted ones.
        labels: the K class names.
    """
    matrix = np.asarray(matrix)
    wrong = np.where(np.eye(len(matrix), dtype=bool), 0, matrix)
    found = []
    for flat in np.argsort(-wrong, axis=None, kind="stable")[:limit]:
        truth, predicted = divmod(int(flat), len(matrix))
        if count := int(wrong[truth, predicted]):
            found.append(Confusion(labels[truth], labels[predicted], count, count / int(matrix[truth].sum())))
    return found


@styled
def draw_confusion(matrix: ArrayLike, labels: Sequence[str], *, of: str = "pictures") -> Figure:
    """A confusion matrix, coloured by the share of the true class; rows are true classes and columns predicted ones.

    The colour grows with the square root of the share, so that a confusion of 1 % is visible. Up to 20 classes the counts are
    written into the cells; with more, the ten largest confusions are listed beside the matrix. Rows of classes without items
    are grey.

    Args:
        matrix: counts (K, K).
        labels: the K class names.
        of: what is counted, for the title.
    """
    matrix = np.asarray(matrix)
    num_classes, total = len(matrix), int(matrix.sum())
    counted, named = num_classes <= COUNTED, num_classes <= NAMED
    side = float(np.clip(num_classes * (0.42 if counted else 0.17), 2.6, 8.5)) if named else 5.6  # inches, as all lengths here
    names = [elide(label, 18) for label in labels] if named else []
    longest = 0.085 * max(map(len, names), default=0)
    upright = longest > side / num_classes

    figure = blank(side + longest + (1.3 if counted else 4.9), side + (longest if upright else 0.2) + 0.7)
    axes, *aside = figure.subplots(1, 1 if counted else 2, squeeze=False, width_ratios=(1,) if counted else (side, 3))[0]
    _show_shares(axes, matrix)
    axes.set_title(f"accuracy {100 * np.trace(matrix) / max(total, 1):.2f} % of {total:,} {of}")
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.tick_params(length=0)
    if named:
        size = 8.5 if counted else 7
        axes.set_xticks(range(num_classes), names, rotation=90 if upright else 0, fontsize=size)
        axes.set_yticks(range(num_classes), names, fontsize=size)
    if counted:
        _write_counts(axes, matrix)
    else:
        _list_confusions(aside[0], largest_confusions(matrix, labels), of)
    return figure


def _show_shares(axes: Axes, matrix: np.ndarray) -> None:
    """The matrix as an image of the shares of the true classes, with a colour bar."""
    from matplotlib import colormaps
    from matplotlib.colors import PowerNorm

    support = matrix.sum(axis=1, keepdims=True)
    shares = np.ma.array(_shares(matrix), mask=np.broadcast_to(support == 0, matrix.shape))
    image = axes.imshow(shares, cmap=colormaps["Blues"].with_extremes(bad=EMPTY), norm=PowerNorm(0.5, 0, 1))
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.8, aspect=30, ticks=[0, 0.01, 0.05, 0.2, 0.5, 1])
    bar.set_ticklabels(["0", "1", "5", "20", "50", "100"])
    bar.set_label("% of the true class")
    for spine in (*axes.spines.values(), bar.outline):
        spine.set_visible(False)


def _shares(matrix: np.ndarray) -> np.ndarray:
    """Counts (K, K) divided by the sums of their rows; 0 in rows without counts."""
    return matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)


def _write_counts(axes: Axes, matrix: np.ndarray) -> None:
    shares = _shares(matrix)
    for (row, column), count in np.ndenumerate(matrix):
        if count:
            colour = "white" if shares[row, column] > 0.35 else INK
            axes.text(column, row, compact(int(count)), ha="center", va="center", fontsize=7.5, color=colour)


def compact(count: int) -> str:
    """A count short enough for a cell: 1533081 becomes "1.5M"."""
    return str(count) if count < 1e5 else f"{count / 1e3:.0f}k" if count < 999_500 else f"{count / 1e6:.1f}M"


def _list_confusions(axes: Axes, found: Sequence[Confusion], of: str) -> None:
    axes.set_axis_off()
    axes.set_title("largest confusions: true → predicted")
    for place, row in enumerate(found):
        top = 0.98 - place * 0.095
        axes.text(0, top, f"{elide(row.truth, 20)} → {elide(row.predicted, 20)}", va="top", transform=axes.transAxes)
        words = f"{row.num_pictures:,} {of}, {100 * row.share:.0f} % of the class"
        axes.text(0, top - 0.038, words, va="top", color=FAINT, fontsize=8, transform=axes.transAxes)
