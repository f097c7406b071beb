"""Curves and points: training curves, the learning-rate range test, and named points such as networks by cost and error."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from resnets.draw.style import TRAIN, VAL, blank, label_ends, log_scale, styled, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METRIC_NAMES = {"top1": "top-1", "top5": "top-5", "miou": "mIoU", "map": "mAP"}


def curves(
    rows: Sequence[Mapping[str, Any]], path: Path | str, *, title: str = "", metric: str = "top1", percent: bool = True
) -> Path:
    """Save the training curves as PNG. See `draw_curves`."""
    return write(draw_curves(rows, title=title, metric=metric, percent=percent), path)


def range_test(rates: Sequence[float], losses: Sequence[float], suggestion: float, path: Path | str) -> Path:
    """Save a learning-rate range test as PNG. See `draw_range_test`."""
    return write(draw_range_test(rates, losses, suggestion), path)


def points(x: Sequence[float], y: Sequence[float], names: Sequence[str], path: Path | str, **settings: Any) -> Path:
    """Save named points as PNG. See `draw_points`."""
    return write(draw_points(x, y, names, **settings), path)


@styled
def draw_curves(rows: Sequence[Mapping[str, Any]], *, title: str = "", metric: str = "top1", percent: bool = True) -> Figure:
    """Three panels over the epochs: loss, error (or metric) and learning rate, with the best validation epoch marked.

    The loss has a logarithmic axis if it is positive and spans a factor of more than 20.

    Args:
        rows: one per epoch, with the columns of metrics.csv; a value that is missing, empty or not finite gives no point.
        metric: the columns `train_<metric>` and `val_<metric>` are drawn; higher is better.
        percent: draw the error, 100 (1 - metric), in percent; otherwise the metric itself.
    """
    figure = blank(10.5, 3.4, title)
    loss, score, rate = figure.subplots(1, 3)
    epochs = _column(rows, "epoch")
    name = METRIC_NAMES.get(metric, metric.replace("_", " "))

    losses = {split: _column(rows, f"{split}_loss") for split in ("train", "val")}
    _lines(loss, epochs, losses, "loss")
    values = np.concatenate(list(losses.values()))
    values = values[np.isfinite(values)]
    if values.size and values.min() > 0 and values.max() / values.min() > 20:
        log_scale(loss, decades=math.log10(values.max() / values.min()))

    scores = {split: _column(rows, f"{split}_{metric}") for split in ("train", "val")}
    if percent:
        scores = {split: 100 * (1 - values) for split, values in scores.items()}
    _lines(score, epochs, scores, f"{name} error, %" if percent else name)
    if np.isfinite(scores["val"]).any():
        best = int(np.nanargmin(scores["val"]) if percent else np.nanargmax(scores["val"]))
        epoch, value = epochs[best], scores["val"][best]
        score.plot(epoch, value, "o", markersize=8, markerfacecolor="none", markeredgewidth=1.6, color=VAL, label="_best")
        words = f"{value:.2f} %" if percent else f"{value:.4g}"
        score.set_title(f"best {words}, epoch {epoch:g}", loc="right", color=VAL, fontsize=9)

    _lines(rate, epochs, {"lr": _column(rows, "lr")}, "learning rate")
    rate.set_ylim(bottom=0)
    for axes in (loss, score):
        label_ends(axes)
    return figure


def several(runs: Mapping[str, Sequence[Mapping[str, Any]]], path: Path | str, **settings: Any) -> Path:
    """Save the validation curves of several runs as PNG. See `draw_several`."""
    return write(draw_several(runs, **settings), path)


@styled
def draw_several(runs: Mapping[str, Sequence[Mapping[str, Any]]], *, metric: str = "top1", percent: bool = True) -> Figure:
    """Two panels over the epochs, loss and error (or metric) of validation: a thin line a run, and their mean where all have a
    value.

    Args:
        runs: by name, rows as in `draw_curves`.
        metric, percent: as there.
    """
    figure = blank(8.4, 3.4)
    name = METRIC_NAMES.get(metric, metric.replace("_", " "))
    titles = ("validation loss", f"validation {name} error, %" if percent else f"validation {name}")
    for axes, key, title in zip(figure.subplots(1, 2), ("val_loss", f"val_{metric}"), titles, strict=True):
        columns = []
        for rows in runs.values():
            values = _column(rows, key)
            columns.append(100 * (1 - values) if percent and key != "val_loss" else values)
            axes.plot(_column(rows, "epoch"), columns[-1], color=VAL, alpha=0.45, linewidth=1)
        length = min(map(len, columns))
        if length and all(len(rows) == length for rows in columns):
            epochs = _column(next(iter(runs.values())), "epoch")
            axes.plot(epochs, np.mean(columns, axis=0), color=VAL, linewidth=2.2, marker="o" if length == 1 else "")
        _over_epochs(axes, title)
    return figure


@styled
def draw_range_test(rates: Sequence[float], losses: Sequence[float], suggestion: float) -> Figure:
    """The smoothed training loss over the learning rate, with the `suggestion` as a vertical line."""
    figure = blank(5.5, 3.4)
    axes = figure.subplots()
    axes.plot(rates, losses, color=TRAIN)
    axes.set_xscale("log")
    axes.axvline(suggestion, color=VAL, linestyle="--")
    axes.set_title("smoothed training loss")
    axes.set_title(f"suggested {suggestion:g}", loc="right", color=VAL, fontsize=9)
    axes.set_xlabel("learning rate")
    axes.grid(axis="y")
    return figure


def _column(rows: Sequence[Mapping[str, Any]], key: str) -> np.ndarray:
    """(len(rows),) float64: the values under `key`, numbers or their text as read from CSV; NaN if missing or not finite."""
    values = [math.nan if row.get(key) in (None, "") else float(row[key]) for row in rows]
    return np.where(np.isfinite(values), values, math.nan)


def _lines(axes: Axes, epochs: np.ndarray, columns: Mapping[str, np.ndarray], title: str) -> None:
    for (name, values), colour in zip(columns.items(), (TRAIN, VAL), strict=False):
        seen = np.isfinite(values)  # the line connects measured epochs across those that were not
        if seen.any():
            axes.plot(epochs[seen], values[seen], color=colour, marker="o" if seen.sum() <= 30 else "", label=name)
    _over_epochs(axes, title)
    if len(epochs) == 1:
        axes.set_xlim(epochs[0] - 1, epochs[0] + 1)


def _over_epochs(axes: Axes, title: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(title)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.grid(axis="y")


@styled
def draw_points(
    x: Sequence[float],
    y: Sequence[float],
    names: Sequence[str],
    *,
    spreads: Sequence[float],
    filled: Sequence[bool],
    x_name: str,
    y_name: str,
) -> Figure:
    """Points over a logarithmic x axis, each with its name beside it.

    Args:
        x, y: the coordinates (N,).
        names: written beside the points; may have several lines.
        spreads: half the lengths of the vertical error bars, in units of y.
        filled: which points are filled and in the first colour; the others are hollow and in the second.
        x_name, y_name: labels of the axes.
    """
    figure = blank(6.4, 4.2)
    axes = figure.subplots()
    axes.set_xscale("log")
    axes.margins(y=0.15)
    beside = max(2.0, (max(x) / min(x)) ** 0.25)  # a logarithmic axis of one point has no margin of its own
    axes.set_xlim(min(x) / beside, max(x) * beside)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.tick_params(axis="x", which="minor", labelbottom=False)
    for across, up, name, spread, full in zip(x, y, names, spreads, filled, strict=True):
        colour = TRAIN if full else VAL
        axes.errorbar(
            across, up, spread, fmt="o", markersize=7, color=colour, markerfacecolor=colour if full else "white", capsize=3
        )
        axes.annotate(name, (across, up), (8, 0), textcoords="offset points", va="center", fontsize=8, color=colour)
    axes.set(xlabel=x_name, ylabel=y_name)
    axes.grid(axis="y")
    return figure
