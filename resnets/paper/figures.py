"""Drawings of the items: curves of networks side by side, and errors beside the paper's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from resnets.draw.style import INK, blank, label_ends, styled, write
from resnets.paper.comparing import short
from resnets.paper.history import Curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The colours of Okabe and Ito that are dark enough for lines; the shallowest network has the first.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", INK)


class Panel(NamedTuple):
    """One panel of a figure: the curves of networks, in the order of the colours."""

    title: str
    networks: Mapping[str, Curves]


def degradation(panels: Sequence[Panel], path: Path, *, title: str = "") -> Path:
    """Draw training and validation errors over steps, one panel per family; returns `path`. See `draw_degradation`."""
    return write(draw_degradation(panels, title=title), path)


def two_errors(networks: Mapping[str, Curves], path: Path, *, title: str = "") -> Path:
    """Draw training errors (left) and validation errors (right), as in Figure 1; returns `path`."""
    return write(draw_two_errors(networks, title=title), path)


def errors(
    rows: Mapping[str, Sequence[float]], path: Path, *, published: Mapping[str, float] | None = None, title: str
) -> Path:
    """Draw test errors in percent of networks, one below the other; returns `path`. See `draw_errors`."""
    return write(draw_errors(rows, published=published or {}, title=title), path)


@styled
def draw_degradation(panels: Sequence[Panel], *, title: str = "") -> Figure:
    """As Figures 4 and 6: thin dashed lines for training errors, bold lines for validation errors, a dot for the test error
    after the last step. Means over seeds, with the range (minimum to maximum) as a band."""
    figure = blank(5.1 * len(panels), 3.7, title)
    for axes, panel in zip(figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels, strict=True):
        for colour, (name, curves) in zip(COLOURS, panel.networks.items(), strict=False):
            _line(axes, curves, curves.train, colour, label="_", linestyle="--", linewidth=1.0)
            _line(axes, curves, curves.val, colour, label=short(name), linewidth=2.2)
            axes.plot(curves.steps[-1], curves.test.mean(), "o", color=colour, markersize=6, markeredgecolor="white", label="_")
        _finish(axes, panel.title)
        axes.set_xlabel("steps; dashed: training, bold: validation, dot: test")
    name_lines(figure)
    return figure


@styled
def draw_two_errors(networks: Mapping[str, Curves], *, title: str = "") -> Figure:
    """As Figure 1: training errors (left), validation errors and a dot for the test error after the last step (right)."""
    figure = blank(9.4, 3.5, title)
    left, right = figure.subplots(1, 2, sharey=True)
    for colour, (name, curves) in zip(COLOURS, networks.items(), strict=False):
        _line(left, curves, curves.train, colour, label=short(name))
        _line(right, curves, curves.val, colour, label=short(name))
        right.plot(curves.steps[-1], curves.test.mean(), "o", color=colour, markersize=6, markeredgecolor="white", label="_")
    _finish(left, "training error, %")
    _finish(right, "validation error, %; dot: test error at the end")
    name_lines(figure)
    return figure


@styled
def draw_errors(rows: Mapping[str, Sequence[float]], *, published: Mapping[str, float], title: str) -> Figure:
    """One line per network: a dot for each seed, a bar at the mean, and a diamond for the paper's error."""
    figure = blank(7.2, 0.9 + 0.42 * max(2, len(rows)))
    axes = figure.subplots()
    for y, (name, values) in enumerate(rows.items()):
        axes.plot(values, [y] * len(values), "o", color=COLOURS[0], markersize=6, alpha=0.55)
        axes.plot([float(np.mean(values))] * 2, [y - 0.28, y + 0.28], color=COLOURS[0], linewidth=2.2)
        if name in published:
            axes.plot(published[name], y, "D", color=COLOURS[1], markerfacecolor="none", markersize=7)
    axes.set_yticks(range(len(rows)), [short(name) for name in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_title(title)
    axes.set_xlabel("test error, %" + ("; ◇ the paper" if any(name in published for name in rows) else ""))
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    return figure


def _line(axes: Axes, curves: Curves, values: np.ndarray, colour: str, **style: Any) -> None:
    """Plot the mean over seeds of `values` (S, K) and, with several seeds, the range as a band."""
    few = len(curves.steps) <= 12 and style.get("linestyle") != "--"
    axes.plot(curves.steps, values.mean(axis=0), color=colour, marker="o" if few else "", **style)
    if len(values) > 1:
        axes.fill_between(curves.steps, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.15, linewidth=0)


def _finish(axes: Axes, title: str) -> None:
    """Set title, labels and grid."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_title(title)
    axes.set_xlabel("steps")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.grid(axis="y")
    axes.tick_params(labelleft=True)


def name_lines(figure: Figure) -> None:
    """Write the names beside the ends of the lines. To be called last, because panels with a shared axis change its limits."""
    for axes in figure.axes:
        label_ends(axes)
