"""Several runs in one figure: curves over each other, score over cost, differences with intervals. Numbers name the runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from resnets.draw.curves import METRIC_NAMES, _column, _over_epochs
from resnets.draw.style import FAINT, INK, blank, log_scale, styled, write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours without black and yellow, which are hard to see on one of the grounds; then with other dashes.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("-", "--", ":", "-.")


def look(group: int) -> tuple[str, str]:
    """The colour and the dashes of a group, from 1."""
    return COLOURS[(group - 1) % len(COLOURS)], DASHES[(group - 1) // len(COLOURS) % len(DASHES)]


def curves(
    runs: Sequence[Sequence[Mapping[str, Any]]], groups: Sequence[int], path: Path | str, *, metric: str, percent: bool
) -> Path:
    """Save the curves of several runs as PNG. See `draw_curves`."""
    return write(draw_curves(runs, groups, metric=metric, percent=percent), path)


def costs(rows: Sequence[Mapping[str, Any]], known: Mapping[str, str], path: Path | str, *, y_name: str) -> Path:
    """Save score over cost as PNG. See `draw_costs`."""
    return write(draw_costs(rows, known, y_name=y_name), path)


def differences(rows: Sequence[Mapping[str, Any]], path: Path | str) -> Path:
    """Save differences to the first run as PNG. See `draw_differences`."""
    return write(draw_differences(rows), path)


@styled
def draw_curves(
    runs: Sequence[Sequence[Mapping[str, Any]]], groups: Sequence[int], *, metric: str = "top1", percent: bool = True
) -> Figure:
    """Three panels over the epochs, training loss, validation loss and error (or metric) of validation: a line a run with its
    number at the end, those of a group in one colour.

    Args:
        runs: of each the rows of metrics.csv; a value that is missing or not finite gives no point.
        groups: of each its group, from 1.
        metric, percent: as in `draw.curves.draw_curves`.
    """
    figure, name = blank(11.0, 3.8), METRIC_NAMES.get(metric, metric.replace("_", " "))
    panels = {
        "train_loss": "training loss",
        "val_loss": "validation loss",
        f"val_{metric}": f"validation {name} error, %" if percent else f"validation {name}",
    }
    shown = {key: title for key, title in panels.items() if any(np.isfinite(_column(rows, key)).any() for rows in runs)}
    for axes, (key, title) in zip(np.atleast_1d(figure.subplots(1, max(1, len(shown)))), shown.items(), strict=False):
        ends = []
        for number, (rows, group) in enumerate(zip(runs, groups, strict=True), start=1):
            values, epochs = _column(rows, key), _column(rows, "epoch")
            seen = np.isfinite(values)
            if not seen.any():
                continue
            values = 100 * (1 - values) if percent and key == f"val_{metric}" else values
            colour, dashes = look(group)
            marker = "o" if seen.sum() == 1 else ""
            axes.plot(epochs[seen], values[seen], color=colour, linestyle=dashes, linewidth=1.4, marker=marker)
            ends.append((values[seen][-1], number, colour, epochs[seen][-1]))
        _over_epochs(axes, title)
        lows, highs = zip(*((min(line.get_ydata()), max(line.get_ydata())) for line in axes.lines), strict=True)
        if key.endswith("loss") and min(lows) > 0 and max(highs) > 20 * min(lows):
            log_scale(axes, math.log10(max(highs) / min(lows)))
        _number_ends(axes, ends)
    return figure


def _number_ends(axes: Any, ends: Sequence[tuple[float, int, str, float]]) -> None:
    """The number of each run at the right, at the height of its last point, without overlaps."""
    axes.get_ylim()  # applies pending autoscaling
    to_axes = axes.transData + axes.transAxes.inverted()
    found = sorted((to_axes.transform((x, y))[1], number, colour) for y, number, colour, x in ends)
    places: list[float] = []
    for height, _, _ in found:
        places.append(max(height, places[-1] + 0.065) if places else height)
    # Of numbers that push each other up, the middle stays where their lines end.
    drop = min(np.mean(places) - np.mean([height for height, _, _ in found]), places[0]) if found else 0.0
    for place, (_, number, colour) in zip(places, found, strict=True):
        axes.text(1.02, place - drop, str(number), transform=axes.transAxes, color=colour, va="center")


@styled
def draw_costs(rows: Sequence[Mapping[str, Any]], known: Mapping[str, str], *, y_name: str = "") -> Figure:
    """A panel for each cost, logarithmic: the score of each run over it with its 95 % interval; numbers name the runs.

    Args:
        rows: of each run "number", "group", "score", "interval" (or None) and the keys of `known`, None where it is unknown.
        known: costs, {key: what it is called}.
    """
    figure = blank(2.9 * len(known) + 0.4, 3.4)
    for axes, (key, words) in zip(figure.subplots(1, len(known), sharey=True, squeeze=False)[0], known.items(), strict=True):
        for row in rows:
            if row[key] is None or row[key] <= 0:
                continue
            colour, (low, high) = look(row["group"])[0], row["interval"] or (row["score"], row["score"])
            bars = [[max(0.0, row["score"] - low)], [max(0.0, high - row["score"])]]
            axes.errorbar(row[key], row["score"], yerr=bars, fmt="o", markersize=5, color=colour, elinewidth=1, capsize=2)
            axes.annotate(
                str(row["number"]), (row[key], row["score"]), (6, 4), textcoords="offset points", fontsize=8, color=colour
            )
        _plain_log(axes, [row[key] for row in rows if row[key]])
        axes.set_xlabel(words, color=INK)
        axes.margins(x=0.2)
        axes.grid(axis="y")
    figure.axes[0].set_ylabel(y_name, color=INK)
    return figure


def _plain_log(axes: Any, values: Sequence[float]) -> None:
    """An x axis whose few labels are numbers with a unit; logarithmic where the values differ by more than a factor of 2."""
    from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter

    if values and max(values) > 2 * min(values):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1,) if max(values) > 20 * min(values) else (1, 2, 5)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))


@styled
def draw_differences(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Each run's figure less the first run's, in percent points, with its 95 % interval; filled where that leaves out 0.

    Args:
        rows: of each "number", "difference", "interval".
    """
    figure = blank(6.4, 0.9 + 0.32 * len(rows))
    axes = figure.subplots()
    axes.axvline(0, color=FAINT, linewidth=1)
    for place, row in enumerate(rows):
        low, high = (100 * bound for bound in row["interval"])
        sure, value = low > 0 or high < 0, 100 * row["difference"]
        colour = COLOURS[0] if value > 0 else COLOURS[1]
        axes.plot([low, high], [place, place], color=colour)
        axes.plot(value, place, "o", markersize=7, color=colour, markerfacecolor=colour if sure else "white")
    axes.set_yticks(range(len(rows)), [f"run {row['number']}" for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel("percent points better than run 1", color=INK)
    axes.grid(axis="x")
    return figure
