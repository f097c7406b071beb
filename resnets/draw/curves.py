"""Drawings as PNG files: training curves, the confusion matrix, calibration, and galleries of pictures.

Each drawing is two functions: `draw_x(...)` returns a matplotlib `Figure`, and `x(..., path)` saves it, whole or not at all.
Lines are labelled where they end rather than in a legend. Only matplotlib's object interface is used, so that nothing needs
a display and no window or "current figure" is left behind.
"""

from __future__ import annotations

import functools
import math
import textwrap
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec

import numpy as np

from resnets.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

P = ParamSpec("P")

# Okabe and Ito's colours, which colour-blind readers can tell apart; they differ in lightness too, for print in grey.
TRAIN, VAL, INK, FAINT, EMPTY = "#0072B2", "#D55E00", "#222222", "#777777", "#CCCCCC"
DPI = 120
STYLE: dict[str, Any] = {
    "figure.constrained_layout.use": True,
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#AAAAAA",
    "axes.labelcolor": FAINT,
    "axes.axisbelow": True,
    "grid.color": "#E8E8E8",
    "grid.linewidth": 0.8,
    "xtick.color": "#AAAAAA",
    "ytick.color": "#AAAAAA",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "text.parse_math": False,  # class names and paths are data: "$5" is not the start of a formula
    "lines.linewidth": 1.6,
    "lines.markersize": 3.5,
}
# Scripts that matplotlib's own font lacks are drawn in the first of these that is installed.
MORE_FONTS = ("Noto Sans CJK JP", "Noto Sans CJK SC", "Hiragino Sans", "PingFang SC", "Microsoft YaHei", "Arial Unicode MS")
METRIC_NAMES = {"top1": "top-1", "top5": "top-5", "miou": "mIoU", "map": "mAP"}
COUNTED, NAMED = 20, 50  # up to so many classes a confusion matrix has counts in its cells, and names along its sides
CELL = 1.3  # inches: the side of one picture of a gallery


def curves(
    rows: Sequence[Mapping[str, Any]], path: Path | str, *, title: str = "", metric: str = "top1", percent: bool = True
) -> Path:
    """Draw loss, error and learning rate over the epochs. See `draw_curves`."""
    return write(draw_curves(rows, title=title, metric=metric, percent=percent), path)


def range_test(rates: Sequence[float], losses: Sequence[float], suggestion: float, path: Path | str) -> Path:
    """Draw a learning-rate range test. See `draw_range_test`."""
    return write(draw_range_test(rates, losses, suggestion), path)


def points(x: Sequence[float], y: Sequence[float], names: Sequence[str], path: Path | str, **settings: Any) -> Path:
    """Draw named points. See `draw_points`."""
    return write(draw_points(x, y, names, **settings), path)


def confusion(matrix: ArrayLike, labels: Sequence[str], path: Path | str, *, of: str = "pictures") -> Path:
    """Draw a confusion matrix. See `draw_confusion`."""
    return write(draw_confusion(matrix, labels, of=of), path)


def reliability(confidence: ArrayLike, correct: ArrayLike, path: Path | str) -> Path:
    """Draw how far confidence can be trusted. See `draw_reliability`."""
    return write(draw_reliability(confidence, correct), path)


def gallery(
    pictures: Sequence[np.ndarray], captions: Sequence[str], path: Path | str, *, columns: int = 8, title: str = ""
) -> Path:
    """Draw pictures in rows, each with its caption. See `draw_gallery`."""
    return write(draw_gallery(pictures, captions, columns=columns, title=title), path)


def write(figure: Figure, path: Path | str) -> Path:
    with replacing(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)  # drawn as a box
        figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})
    return Path(path)


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in the package's style whatever the user's own matplotlib settings are, and leave those as they were."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        from matplotlib import font_manager, style

        installed = set(font_manager.get_font_names())
        fonts = ["DejaVu Sans", *(name for name in MORE_FONTS if name in installed)]
        with style.context(["default", STYLE | {"font.family": fonts}]):
            return draw(*args, **kwargs)

    return drawn


def blank(width: float, height: float, title: str = "") -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    if title:
        figure.suptitle(title, x=0.008, ha="left", fontsize=11, fontweight="bold")
    return figure


# --- training curves ---


@styled
def draw_curves(rows: Sequence[Mapping[str, Any]], *, title: str = "", metric: str = "top1", percent: bool = True) -> Figure:
    """Three panels over the epochs: loss, error and learning rate.

    Args:
        rows: those of metrics.csv; a value that is missing, empty or not finite leaves no point.
        metric: the columns `train_<metric>` and `val_<metric>`, in which more is better.
        percent: draw the error, 100 (1 - metric), in percent; otherwise the metric as it is.
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


@styled
def draw_range_test(rates: Sequence[float], losses: Sequence[float], suggestion: float) -> Figure:
    """The smoothed loss over the learning rate, and the rate that is suggested."""
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
    """One value a row; NaN where there is none. Takes numbers and, as the csv module reads them, their text."""
    values = [math.nan if row.get(key) in (None, "") else float(row[key]) for row in rows]
    return np.where(np.isfinite(values), values, math.nan)


def _lines(axes: Axes, epochs: np.ndarray, columns: Mapping[str, np.ndarray], title: str) -> None:
    from matplotlib.ticker import MaxNLocator

    for (name, values), colour in zip(columns.items(), (TRAIN, VAL), strict=False):
        seen = np.isfinite(values)  # the line goes on over epochs that were not measured
        if seen.any():
            axes.plot(epochs[seen], values[seen], color=colour, marker="o" if seen.sum() <= 30 else "", label=name)
    axes.set_title(title)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.grid(axis="y")
    if len(epochs) == 1:
        axes.set_xlim(epochs[0] - 1, epochs[0] + 1)


def log_scale(axes: Axes, decades: float) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 3 else (1,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def label_ends(axes: Axes) -> None:
    """Write each line's name beside its end, in its colour, and apart from the others'."""
    axes.get_ylim()  # settles the scale that `transData` goes by
    to_axes = axes.transData + axes.transAxes.inverted()
    ends = [(to_axes.transform(np.asarray(line.get_xydata())[-1])[1], str(line.get_label()), line) for line in axes.lines]
    lowest = -math.inf
    for height, name, line in sorted(ends, key=lambda end: end[0]):
        if not name.startswith("_"):
            lowest = max(height, lowest + 0.08)
            axes.text(1.02, lowest, name, transform=axes.transAxes, color=line.get_color(), va="center")


# --- the confusion matrix ---


class Confusion(NamedTuple):
    """Pictures of the class `truth` that were taken for `predicted`: how many, and their share of the class."""

    truth: str
    predicted: str
    num_pictures: int
    share: float


def largest_confusions(matrix: ArrayLike, labels: Sequence[str], limit: int = 10) -> list[Confusion]:
    """The pairs of classes most often taken for each other, the most frequent first."""
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
    """Counts (K, K) `of` what is counted, true classes down and predicted ones across, coloured by the share of the true class.

    Colour grows with the square root of the share, so that a confusion of one in a hundred can be seen. Up to 20 classes the
    counts stand in the cells; with more, the ten largest confusions are listed beside it. Classes without pictures are grey.
    """
    from matplotlib import colormaps
    from matplotlib.colors import PowerNorm

    matrix = np.asarray(matrix)
    num_classes, total = len(matrix), int(matrix.sum())
    support = matrix.sum(axis=1, keepdims=True)
    shares = np.ma.array(matrix / np.maximum(support, 1), mask=np.broadcast_to(support == 0, matrix.shape))
    counted, named = num_classes <= COUNTED, num_classes <= NAMED
    side = float(np.clip(num_classes * (0.42 if counted else 0.17), 2.6, 8.5)) if named else 5.6  # inches, as all here
    names = [elide(label, 18) for label in labels] if named else []
    longest = 0.085 * max(map(len, names), default=0)
    upright = longest > side / num_classes

    figure = blank(side + longest + (1.3 if counted else 4.9), side + (longest if upright else 0.2) + 0.7)
    axes, *aside = figure.subplots(1, 1 if counted else 2, squeeze=False, width_ratios=(1,) if counted else (side, 3))[0]
    image = axes.imshow(shares, cmap=colormaps["Blues"].with_extremes(bad=EMPTY), norm=PowerNorm(0.5, 0, 1))
    axes.set_title(f"accuracy {100 * np.trace(matrix) / max(total, 1):.2f} % of {total:,} {of}")
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.tick_params(length=0)
    if named:
        size = 8.5 if counted else 7
        axes.set_xticks(range(num_classes), names, rotation=90 if upright else 0, fontsize=size)
        axes.set_yticks(range(num_classes), names, fontsize=size)
    bar = figure.colorbar(image, ax=axes, shrink=0.8, aspect=30, ticks=[0, 0.01, 0.05, 0.2, 0.5, 1])
    bar.set_ticklabels(["0", "1", "5", "20", "50", "100"])
    bar.set_label("% of the true class")
    for spine in (*axes.spines.values(), bar.outline):
        spine.set_visible(False)

    if counted:
        for (row, column), count in np.ndenumerate(matrix):
            if count:
                colour = "white" if shares[row, column] > 0.35 else INK
                axes.text(column, row, compact(int(count)), ha="center", va="center", fontsize=7.5, color=colour)
    else:
        _list_confusions(aside[0], largest_confusions(matrix, labels), of)
    return figure


def compact(count: int) -> str:
    """A count that fits into a cell: 1533081 is "1.5M"."""
    return str(count) if count < 1e5 else f"{count / 1e3:.0f}k" if count < 999_500 else f"{count / 1e6:.1f}M"


def _list_confusions(axes: Axes, found: Sequence[Confusion], of: str) -> None:
    axes.set_axis_off()
    axes.set_title("largest confusions: true → predicted")
    for place, row in enumerate(found):
        top = 0.98 - place * 0.095
        axes.text(0, top, f"{elide(row.truth, 20)} → {elide(row.predicted, 20)}", va="top", transform=axes.transAxes)
        words = f"{row.num_pictures:,} {of}, {100 * row.share:.0f} % of the class"
        axes.text(0, top - 0.038, words, va="top", color=FAINT, fontsize=8, transform=axes.transAxes)


def elide(text: object, limit: int) -> str:
    """At most `limit` signs of one line of text. What is left out is left out near the end: endings tell names apart."""
    line = " ".join(str(text).split())
    return line if len(line) <= limit else f"{line[: limit - limit // 3 - 1].rstrip()}…{line[-(limit // 3) :].lstrip()}"


# --- points ---


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
    """Points over a logarithmic x, each with its name beside it and `spreads` up and down; those `filled` in another colour."""
    figure = blank(6.4, 4.2)
    axes = figure.subplots()
    axes.set_xscale("log")
    axes.margins(x=0.25, y=0.15)
    for across, up, name, spread, full in zip(x, y, names, spreads, filled, strict=True):
        colour = TRAIN if full else VAL
        axes.errorbar(
            across, up, spread, fmt="o", markersize=7, color=colour, markerfacecolor=colour if full else "white", capsize=3
        )
        axes.annotate(name, (across, up), (8, 0), textcoords="offset points", va="center", fontsize=8, color=colour)
    axes.set(xlabel=x_name, ylabel=y_name)
    axes.grid(axis="y")
    return figure


# --- calibration ---


class Bins(NamedTuple):
    """Predictions sorted into bins of equal width by their confidence; NaN where a bin is empty."""

    counts: np.ndarray
    confidence: np.ndarray  # mean of each bin
    accuracy: np.ndarray  # mean of each bin
    ece: float  # expected calibration error: the mean of |accuracy - confidence| over the predictions


def calibration(confidence: ArrayLike, correct: ArrayLike, num_bins: int = 15) -> Bins:
    """Guo et al. 2017 (arXiv 1706.04599): bins (0, 1/n], ..., ((n-1)/n, 1]."""
    confidence, correct = np.asarray(confidence, np.float64), np.asarray(correct, np.float64)
    index = np.clip(np.ceil(confidence * num_bins) - 1, 0, num_bins - 1).astype(int)
    counts = np.bincount(index, minlength=num_bins)
    known = np.where(counts > 0, counts, math.nan)
    mean_confidence, accuracy = (np.bincount(index, values, num_bins) / known for values in (confidence, correct))
    gaps = np.nan_to_num(np.abs(accuracy - mean_confidence))
    return Bins(counts, mean_confidence, accuracy, ece=float((gaps * counts).sum() / max(counts.sum(), 1)))


@styled
def draw_reliability(confidence: ArrayLike, correct: ArrayLike) -> Figure:
    """Accuracy beside confidence in 15 bins of it, and below how many predictions each bin holds.

    Where a bar ends under its mark, the network is too sure of itself.
    """
    bins = calibration(confidence, correct)
    num_bins = len(bins.counts)
    middles = (np.arange(num_bins) + 0.5) / num_bins
    figure = blank(4.6, 5.4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))

    width = 0.88 / num_bins
    upper.bar(middles, bins.accuracy, width, color=TRAIN)
    upper.hlines(bins.confidence, middles - width / 2, middles + width / 2, color=VAL, linewidth=2.5)
    upper.set(xlim=(0, 1), ylim=(0, 1.02))
    upper.set_title(f"calibration error (ECE) {100 * bins.ece:.2f} %")
    upper.text(0.03, 0.97, "■ accuracy", color=TRAIN, va="top")
    upper.text(0.03, 0.905, "▬ mean confidence", color=VAL, va="top")
    upper.grid(axis="y")

    total = max(int(bins.counts.sum()), 1)
    lower.bar(middles, 100 * bins.counts / total, width, color="#999999")
    lower.set(xlabel="confidence", ylabel="% of pictures")
    lower.grid(axis="y")
    mean, right = (float(np.asarray(values, np.float64).mean()) for values in (confidence, correct))
    side = {"x": 0.03, "ha": "left"} if mean > 0.5 else {"x": 0.97, "ha": "right"}  # where the bars are low
    words = f"mean confidence {100 * mean:.1f} %\naccuracy {100 * right:.1f} %"
    lower.text(y=0.92, s=words, va="top", color=FAINT, fontsize=8, transform=lower.transAxes, **side)
    return figure


# --- galleries ---


@styled
def draw_gallery(pictures: Sequence[np.ndarray], captions: Sequence[str], *, columns: int = 8, title: str = "") -> Figure:
    """Pictures (H, W, C) of any shapes, uint8 with 1, 3 or 4 (the last is opacity) channels, each in a square of one size.

    Small pictures are enlarged without blurring. Captions take two lines at most.
    """
    columns = max(1, min(columns, len(pictures)))
    num_rows = math.ceil(len(pictures) / columns)
    gap, under, over = 0.12, 0.38, 0.42 if title else 0.08  # inches: between pictures, for a caption, for the title
    width, height = columns * (CELL + gap) + gap, num_rows * (CELL + under) + over
    figure = blank(width, height)
    figure.set_layout_engine("none")
    # One axes in inches for all of them: an axes for each picture would take seconds to lay out.
    axes = figure.add_axes((0, 0, 1, 1))
    axes.text(gap, 0.1, title, va="top", fontsize=11, fontweight="bold")
    for place, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        row, column = divmod(place, columns)
        left, top = gap + column * (CELL + gap), over + row * (CELL + under)
        tall, wide = (CELL * side / max(picture.shape[:2]) for side in picture.shape[:2])
        x, y = left + (CELL - wide) / 2, top + (CELL - tall) / 2
        small = max(picture.shape[:2]) < CELL * DPI
        axes.imshow(
            _showable(picture), cmap="gray", vmin=0, vmax=255, extent=(x, x + wide, y + tall, y),
            interpolation="nearest" if small else "antialiased",
        )  # fmt: skip
        axes.plot((x, x + wide, x + wide, x, x), (y, y, y + tall, y + tall, y), color=EMPTY, linewidth=0.6)
        lines = caption.splitlines() if "\n" in caption else textwrap.wrap(caption, 22)
        words = "\n".join(elide(line, 22) for line in (lines if len(lines) <= 2 else [lines[0], " ".join(lines[1:])]))
        axes.text(left + CELL / 2, top + CELL + 0.04, words, ha="center", va="top", fontsize=7, linespacing=1.15)
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="auto")
    axes.set_axis_off()
    return figure


def _showable(picture: np.ndarray) -> np.ndarray:
    """What imshow takes: (H, W) grey, (H, W, 3) or (H, W, 4); of a large picture only as much as the drawing can show."""
    step = max(1, int(max(picture.shape[:2]) // (4 * CELL * DPI)))
    picture = picture[::step, ::step]
    return picture if picture.ndim == 2 or picture.shape[2] in (3, 4) else picture[:, :, 0]
