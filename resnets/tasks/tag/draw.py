"""Figures of how a split was tagged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from resnets.draw.gallery import gallery
from resnets.draw.precision_recall import Curve, draw_precision_recall
from resnets.draw.style import EMPTY, INK, TRAIN, blank, elide, styled, write
from resnets.engine.values import Decision
from resnets.tasks.image_level.kept import Kept
from resnets.tasks.tag.meter import judgement
from resnets.tasks.tag.rows import words
from resnets.tasks.tag.scores import Judgement

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 24  # pictures that are shown
NAMED = 30  # labels that are told apart
COUNTED = 20  # up to so many labels, counts are written into the cells


def evaluation(kept: Kept, labels: Sequence[str], decision: Decision, images: Any, folder: Path) -> list[Path]:
    """Draw which labels come together, precision over recall, and the pictures with the largest loss; the drawings' paths."""
    judged = judgement(kept.answers, kept.targets, labels, decision)
    true, said = judged.true, judged.said
    drawings = [
        write(draw_cooccurrence(true.T.astype(int) @ true.astype(int), labels), folder / "cooccurrence.png"),
        write(precision_over_recall(kept.answers, judged, labels), folder / "precision_recall.png"),
    ]
    losses = np.logaddexp(0, np.where(true, -kept.answers, kept.answers)).mean(1)
    wrong = [index for index in np.argsort(-losses, kind="stable")[:MOST].tolist() if (true[index] != said[index]).any()]
    if wrong:
        captions = [f"{words(said[index], labels)}\nis {words(true[index], labels)}" for index in wrong]
        pictures = [images[int(kept.positions[index])] for index in wrong]
        drawings.append(gallery(pictures, captions, folder / "errors.png", title="Largest loss first"))
    return drawings


def precision_over_recall(outputs: np.ndarray, judged: Judgement, labels: Sequence[str]) -> Figure:
    """A curve for each label that some of the pictures have and others have not; a dot at its threshold."""
    from sklearn.metrics import precision_recall_curve

    scores = judged.scores(np.ones(len(outputs)))
    curves: list[Curve | None] = []
    for i, area in enumerate(scores.ap.tolist()):
        if np.isnan(area):
            curves.append(None)
            continue
        precision, recall, _ = precision_recall_curve(judged.true[:, i], outputs[:, i])
        named = judged.said[:, i].any()
        dot = (float(scores.recall[i]), float(scores.precision[i])) if named else None
        curves.append(Curve(recall, precision, area, dot))
    return draw_precision_recall(curves, labels, "precision over recall, a dot at the threshold", empty="-")


@styled
def draw_cooccurrence(counts: np.ndarray, labels: Sequence[str]) -> Figure:
    """Pictures with two labels (C, C), coloured by the fraction of the pictures with the label of the row; in the diagonal the
    pictures with one label."""
    from matplotlib.colors import LinearSegmentedColormap

    often = np.sort(np.argsort(-np.diag(counts), kind="stable")[:NAMED])
    few = f": the {NAMED} commonest of {len(labels)}" * (len(labels) > NAMED)
    counts, labels, num = counts[np.ix_(often, often)], [labels[index] for index in often], len(often)
    side = min(10.0, max(3.6, 0.32 * num + 2.6))
    figure = blank(side, side * 0.92, f"Labels that come together{few}")
    axes = figure.subplots()
    fractions = counts / np.maximum(np.diag(counts), 1)[:, None]
    colours = axes.imshow(fractions, cmap=LinearSegmentedColormap.from_list("fractions", ["white", TRAIN]), vmin=0, vmax=1)
    figure.colorbar(colours, ax=axes, shrink=0.6, label="part of the row")
    names = [elide(label, 16) for label in labels]
    axes.set_xticks(range(num), names, rotation=90)
    axes.set_yticks(range(num), names)
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color(EMPTY)
    if num <= COUNTED:
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if fractions[row, column] > 0.6 else INK
            axes.text(column, row, f"{count:,}", ha="center", va="center", fontsize=7, color=colour)
    return figure
