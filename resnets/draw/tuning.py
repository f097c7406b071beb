"""A search for settings: the score by trial and by each setting, beside the noise of seeds; the finalists' differences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from resnets.draw.style import EMPTY, FAINT, INK, TRAIN, VAL, blank, styled, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SEEDS, PER_ROW = "#009E73", 4  # colour of the defaults; panels in a row


def tuning(record: Mapping[str, Any], path: Path | str, *, score: str) -> Path:
    """Save the figure of a search as PNG. See `draw_tuning`."""
    return write(draw_tuning(record, score=score), path)


@styled
def draw_tuning(record: Mapping[str, Any], *, score: str) -> Figure:
    """Above: the score of each trial, with the band of the defaults (mean and one standard deviation over seeds), and each
    finalist's difference to the defaults with its 95 % interval and the noise. Below: the score by each setting.

    Args:
        record: the content of tune.json.
        score: what the score is called.
    """
    space, finalists = record["space"], record["verdict"]["finalists"]
    num_rows = math.ceil(len(space) / PER_ROW)
    figure = blank(11.0, 3.4 + 2.6 * num_rows)
    grid = figure.add_gridspec(1 + num_rows, 12)
    trials = [row for row in record["runs"] if row["part"] == "trials"]
    above = figure.add_subplot(grid[0, :8])
    _trials(above, trials, record["noise"], score)
    _finalists(figure.add_subplot(grid[0, 8:]), finalists, record["noise"])
    each = 12 // min(len(space), PER_ROW)
    for index, row in enumerate(space):
        line, place = divmod(index, PER_ROW)
        axes = figure.add_subplot(grid[1 + line, place * each : (place + 1) * each], sharey=above)
        _slice(axes, row, trials, record["noise"])
        if place == 0:
            axes.set_ylabel(score)
        else:
            axes.tick_params(labelleft=False)
    return figure


def _band(axes: Axes, noise: Mapping[str, float]) -> None:
    axes.axhspan(noise["mean"] - noise["deviation"], noise["mean"] + noise["deviation"], color=SEEDS, alpha=0.15, linewidth=0)
    axes.axhline(noise["mean"], color=SEEDS, linewidth=1)
    axes.grid(axis="y")


def _lowest(rows: Sequence[Mapping[str, Any]], noise: Mapping[str, float]) -> float:
    """The lower end of the scale: by finished trials and the band. What was stopped far below would squeeze these."""
    values = [row["value"] for row in rows if row["state"] == "done"]
    low, high = min([*values, noise["mean"] - noise["deviation"]]), max([*values, noise["mean"] + noise["deviation"]])
    return low - 0.15 * (high - low)


def _points(axes: Axes, x: Sequence[float], rows: Sequence[Mapping[str, Any]], lowest: float) -> None:
    """Finished trials filled, stopped ones hollow; those below the scale are on its edge."""
    looks: dict[str, tuple[str, dict[str, Any]]] = {
        "done": ("finished", {"color": TRAIN}),
        "pruned": ("stopped early (at the edge: far below)", {"facecolors": "none", "edgecolors": FAINT}),
    }
    for state, (word, look) in looks.items():
        own = [(at, max(row["value"], lowest)) for at, row in zip(x, rows, strict=True) if row["state"] == state]
        if own:
            places, values = zip(*own, strict=True)
            axes.scatter(places, values, s=26, zorder=3, linewidth=1, clip_on=False, label=word, **look)
    axes.set_ylim(bottom=lowest)


def _trials(axes: Axes, rows: Sequence[Mapping[str, Any]], noise: Mapping[str, float], score: str) -> None:
    _band(axes, noise)
    _points(axes, range(len(rows)), rows, _lowest(rows, noise))
    done = [row["value"] if row["state"] == "done" else -math.inf for row in rows]
    best = np.maximum.accumulate(done) if done else np.array([])
    shown = np.isfinite(best)
    axes.step(np.arange(len(rows))[shown], best[shown], where="post", color=INK, linewidth=1, label="best so far")
    failed = [at for at, row in enumerate(rows) if row["state"] == "failed"]
    if failed:
        axes.plot(failed, [noise["mean"] - noise["deviation"]] * len(failed), "x", color=VAL, markersize=6, label="failed")
    axes.set(title="validation by trial; trial 0 has the defaults", xlabel="trial", ylabel=score)
    axes.set_xticks(range(0, len(rows), max(1, len(rows) // 12)))
    axes.plot([], [], color=SEEDS, linewidth=4, alpha=0.5, label="defaults, mean ± deviation over seeds")
    axes.legend(frameon=False, fontsize=7.5, loc="best")


def _finalists(axes: Axes, rows: Sequence[Mapping[str, Any]], noise: Mapping[str, float]) -> None:
    axes.axvspan(-noise["of_means"], noise["of_means"], color=EMPTY, alpha=0.5, linewidth=0)
    axes.axvline(0, color=FAINT, linewidth=1)
    for at, row in enumerate(rows):
        colour = TRAIN if row["better"] else FAINT
        low, high = row["interval"]
        if math.isfinite(low if low is not None else math.nan):
            axes.plot([low, high], [at, at], color=colour, linewidth=2, solid_capstyle="butt")
        axes.plot(row["difference"], at, "o", color=colour, markersize=6)
    axes.set(title="the best, against the defaults", xlabel="difference over seeds, 95 % interval; grey: noise")
    axes.set_yticks(range(len(rows)), [row["trial"] for row in rows])
    axes.set_ylim(max(len(rows), 1) - 0.5, -0.5)
    if not rows:
        axes.text(0.5, 0.5, "no trial was above the defaults", transform=axes.transAxes, ha="center", color=FAINT)


def _slice(axes: Axes, dimension: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], noise: Mapping[str, float]) -> None:
    name, choices = dimension["name"], list(dimension["choices"])
    _band(axes, noise)
    values = [row["params"][name] for row in rows]
    if choices:
        _points(axes, [choices.index(value) if value in choices else -1 for value in values], rows, _lowest(rows, noise))
        axes.set_xticks(range(len(choices)), choices, rotation=40, ha="right", rotation_mode="anchor")
        axes.set_xlim(-0.5, len(choices) - 0.5)
    else:
        _points(axes, values, rows, _lowest(rows, noise))
        if dimension["log"]:
            axes.set_xscale("log")
        axes.set_xlim(dimension["low"], dimension["high"])
    axes.set_title(name)
