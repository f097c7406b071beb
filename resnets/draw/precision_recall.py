"""Precision over recall, a curve for each class or label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from resnets.draw.paint import hex_colours
from resnets.draw.style import EMPTY, INK, blank, elide, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LISTED = 12  # curves that have a colour and a name


class Curve(NamedTuple):
    """Of one class. `recall` and `precision` are (N,)."""

    recall: np.ndarray
    precision: np.ndarray
    area: float
    dot: tuple[float, float] | None  # recall and precision of the threshold that is used


@styled
def draw_precision_recall(curves: Sequence[Curve | None], labels: Sequence[str], title: str, empty: str) -> Figure:
    """The curves, with the area under each. None: of a class that has none, which is left out.

    With more than twelve classes, the twelve of the lowest area have colours and names; the others are grey.

    Args:
        title: what is drawn; the mean area follows.
        empty: what follows where there is no curve.
    """
    from matplotlib.patheffects import Normal, Stroke

    known = {i: curve for i, curve in enumerate(curves) if curve is not None}
    named = sorted(known, key=lambda i: known[i].area)[:LISTED]
    few = len(labels) <= LISTED
    colour = {i: hex_colours(LISTED)[i if few else place] for place, i in enumerate(named)}
    figure = blank(6.6, 4.2)
    axes, aside = figure.subplots(1, 2, width_ratios=(3, 1))
    for i in (i for i in known if i not in colour):
        axes.plot(known[i].recall, known[i].precision, color=EMPTY, linewidth=0.8, label="_")
    for place, i in enumerate(reversed(named)):
        halo = [Stroke(linewidth=2.4, foreground=INK, alpha=0.6), Normal()]  # light colours are hard to see on white
        axes.plot(known[i].recall, known[i].precision, color=colour[i], linewidth=1.4, label=labels[i], path_effects=halo)
        if (dot := known[i].dot) is not None:
            axes.plot(*dot, "o", color=colour[i], markersize=6, markeredgecolor=INK, label="_")
        top = 0.97 - 0.075 * place
        aside.text(0, top, "■", color=colour[i], transform=aside.transAxes, va="center", path_effects=halo[1:])
        words = f"{elide(labels[i], 16)}  {known[i].area:.3f}"
        aside.text(0.12, top, words, transform=aside.transAxes, va="center", fontsize=8)
    aside.set_axis_off()
    area = f"{np.mean([curve.area for curve in known.values()]):.3f}" if known else empty
    axes.set_title(f"{title}, mean area {area}")
    axes.set(xlim=(0, 1.01), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    axes.grid()
    return figure
