"""Amounts measured in two ways, as Bland and Altman (1986) draw them: differences over means, and the limits of agreement."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from resnets.draw.style import FAINT, INK, TRAIN, VAL, blank, elide, styled, write
from resnets.measures.agreement import Agreement

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ACROSS = 3  # panels side by side


def agreement(several: Mapping[str, Agreement], path: Path | str, *, unit: str) -> Path:
    """Save the panels as PNG. See `draw_agreement`."""
    return write(draw_agreement(several, unit=unit), path)


@styled
def draw_agreement(several: Mapping[str, Agreement], *, unit: str) -> Figure:
    """A panel for each of `several`, by name: a dot a pair; lines at no difference, the bias with its interval, and the limits
    of agreement, with their values at the right."""
    across = min(ACROSS, len(several))
    down = -(-len(several) // across)
    figure = blank(3.9 * across + 0.3, 3.1 * down + 0.35, "Predicted less true volume")
    grid = figure.subplots(down, across, squeeze=False)
    for axes, (name, pairs) in zip(grid.flat, several.items(), strict=False):
        axes.plot((pairs.measured + pairs.true) / 2, pairs.measured - pairs.true, "o", color=TRAIN, alpha=0.7, zorder=3)
        axes.axhline(0, color="#BBBBBB", linewidth=1)
        axes.axhline(pairs.bias, color=VAL)
        if pairs.bias_interval:
            axes.axhspan(*pairs.bias_interval, color=VAL, alpha=0.15, linewidth=0)
        for limit in pairs.limits or ():
            axes.axhline(limit, color=VAL, linestyle="--", linewidth=1.2)
        lines = [pairs.bias, *(pairs.limits or ())]
        reach = max(*map(abs, lines), float(np.abs(pairs.measured - pairs.true).max()), 1e-12)
        axes.set_ylim(-1.25 * reach, 1.25 * reach)
        decimals = min(max(2 - math.floor(math.log10(reach)), 0), 6)  # three digits of the largest number, and all alike
        axes.margins(x=0.08)
        for value, words in zip(lines, ("bias", "", ""), strict=False):
            number = f"{words} {value:+.{decimals}f}".strip()
            axes.text(1.02, value, number, transform=axes.get_yaxis_transform(), color=VAL, va="center")
        axes.set_title(elide(name, 30))
        axes.set_xlabel(f"mean of predicted and true, {unit}", color=INK)
        axes.set_ylabel(f"predicted - true, {unit}", color=INK)
    for axes in grid.flat[len(several) :]:
        axes.set_axis_off()
    top = 1 - 0.06 / figure.get_figheight()
    figure.text(0.995, top, "dashed: 95 % limits of agreement", ha="right", va="top", fontsize=8, color=FAINT)
    return figure
