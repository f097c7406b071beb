"""Drawings of dense tasks as PNG files: boxes, segments, instances, precision over recall, and the worst pictures.

As everywhere in `resnets.draw`, `draw_x(...)` returns a matplotlib `Figure`, and `x(..., path)` saves it as PNG.
Pictures are uint8 (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from resnets.data.targets import IGNORE, Boxes, Detections
from resnets.draw.paint import hex_colours, numbered, on, paint, paint_instances, three
from resnets.draw.style import DPI, EMPTY, FAINT, INK, blank, elide, styled, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from resnets.tasks.detect.voc import Curve

SIDE = 7.5  # inches: the longer side of a picture that stands alone
TAGGED = 60  # up to so many objects have their names beside them; of more, the legend tells the classes
LISTED = 12  # curves that have a colour and a name


class Panel(NamedTuple):
    """A picture, and what to draw over it."""

    picture: np.ndarray
    objects: Boxes | Detections | None = None


def boxes(picture: np.ndarray, objects: Boxes | Detections, labels: Sequence[str], path: Path | str, **settings: Any) -> Path:
    """Draw boxes over a picture. See `draw_boxes`."""
    return write(draw_boxes(picture, objects, labels, **settings), path)


def segments(picture: np.ndarray, predicted: np.ndarray, labels: Sequence[str], path: Path | str, **settings: Any) -> Path:
    """Draw classes over a picture. See `draw_segments`."""
    return write(draw_segments(picture, predicted, labels, **settings), path)


def instances(picture: np.ndarray, masks: np.ndarray, path: Path | str, **settings: Any) -> Path:
    """Draw objects over a picture, each in a colour. See `draw_instances`."""
    return write(draw_instances(picture, masks, **settings), path)


def precision_recall(curves: Sequence[Curve], labels: Sequence[str], path: Path | str) -> Path:
    """Draw precision over recall. See `draw_precision_recall`."""
    return write(draw_precision_recall(curves, labels), path)


def worst(
    rows: Sequence[Sequence[Panel]], names: Sequence[str], captions: Sequence[str], labels: Sequence[str], path: Path | str,
    **settings: Any,
) -> Path:  # fmt: skip
    """Draw pictures, truths and predictions in rows. See `draw_worst`."""
    return write(draw_worst(rows, names, captions, labels, **settings), path)


# --- boxes ---


@styled
def draw_boxes(
    picture: np.ndarray,
    objects: Boxes | Detections,
    labels: Sequence[str],
    *,
    threshold: float = 0.0,
    truth: Boxes | None = None,
    title: str = "",
) -> Figure:
    """The boxes in the colours of their classes, with names and scores where there is room, and a count of each class below.

    Detections below `threshold` are left out. What is to be ignored is dashed. With `truth`, that stands beside it, and so do
    its counts.
    """
    panels = [Panel(picture, _surest(objects, threshold)), *([Panel(picture, truth)] if truth is not None else [])]
    names = ["predicted", "truth"] if truth is not None else [""]
    figure, cells = _cells(picture, len(panels), title, legend=True)
    for axes, panel, name in zip(cells, panels, names, strict=True):
        _show(axes, panel.picture, name)
        assert panel.objects is not None
        _frames(axes, panel.objects, labels)
    counts = [np.bincount(panel.objects.labels, minlength=len(labels)) for panel in panels if panel.objects is not None]
    shown = [
        (hex_colours(len(labels))[i], f"{labels[i]}: {', truth '.join(str(count[i]) for count in counts)}")
        for i in np.flatnonzero(sum(counts)).tolist()
    ]
    _legend(figure, shown or [(EMPTY, "no objects")])
    return figure


def _surest(objects: Boxes | Detections, threshold: float) -> Boxes | Detections:
    """Without detections below the threshold, the least sure first, so that the surest are drawn over them."""
    if isinstance(objects, Boxes):
        return objects
    order = np.argsort(objects.scores, kind="stable")
    order = order[objects.scores[order] >= threshold]
    masks = None if objects.masks is None else objects.masks[order]
    return Detections(objects.xyxy[order], objects.labels[order], objects.scores[order], masks)


def _frames(axes: Axes, objects: Boxes | Detections, labels: Sequence[str], tags: bool = True, width: float = 1.6) -> None:
    """A light or dark line on each side of the coloured one makes it stand out from any picture."""
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import Normal, Stroke

    palette = hex_colours(len(labels))
    ignore = objects.ignore if isinstance(objects, Boxes) else np.zeros(len(objects.labels), bool)
    right, bottom = axes.get_xlim()[1], axes.get_ylim()[0]
    inside = np.clip(objects.xyxy, 0, [right, bottom, right, bottom])
    for (x0, y0, x1, y1), label, dashed in zip(inside.tolist(), objects.labels.tolist(), ignore.tolist(), strict=True):
        halo = [Stroke(linewidth=width + 1.4, foreground=on(palette[label]), alpha=0.75), Normal()]
        frame = Rectangle(
            (x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=palette[label], linewidth=width,
            linestyle=(0, (3, 2)) if dashed else "-", path_effects=halo, joinstyle="miter", clip_on=False,
        )  # fmt: skip
        axes.add_patch(frame)
    if tags and len(objects.labels) <= TAGGED:
        _tags(axes, objects, labels, palette)


def _tags(axes: Axes, objects: Boxes | Detections, labels: Sequence[str], palette: Sequence[str]) -> None:
    """The name and score of each object, the surest first, at the first of four places where it covers no other tag.

    Where all four are taken the frame has its colour alone.
    """
    per_inch = (axes.get_xlim()[1] - axes.get_xlim()[0]) / _width(axes)
    right, bottom = axes.get_xlim()[1], axes.get_ylim()[0]
    size, taken = 7.5, np.zeros((0, 4))
    high = 1.45 * size / 72 * per_inch
    for i in reversed(range(len(objects.labels))):
        label = int(objects.labels[i])
        score = f" {objects.scores[i]:.2f}" if isinstance(objects, Detections) else ""
        words = f"{labels[label]}{score}"
        wide = (1.05 * _inches(words, size) + 0.07) * per_inch
        x0, y0, x1, y1 = np.clip(objects.xyxy[i], 0, [right, bottom, right, bottom]).tolist()
        for x, y in ((x0, y0 - high), (x0, y1), (x0, y0), (x1 - wide, y1 - high)):
            x = float(np.clip(x, 0, max(right - wide, 0)))
            place = np.array([x, y, x + wide, y + high])
            if y < 0 or y + high > bottom or ((place[:2] < taken[:, 2:]) & (place[2:] > taken[:, :2])).all(1).any():
                continue
            taken = np.vstack([taken, place])
            axes.fill([x, x + wide, x + wide, x], [y, y, y + high, y + high], color=palette[label], linewidth=0)
            axes.text(x + 0.03 * per_inch, y + high / 2, words, va="center_baseline", fontsize=size, color=on(palette[label]))
            break


def _width(axes: Axes) -> float:
    """In inches."""
    return float(axes.bbox.width / axes.figure.dpi)


def _inches(words: str, size: float) -> float:
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    return float(TextPath((0, 0), words or " ", size=size, prop=FontProperties(family="DejaVu Sans")).get_extents().x1) / 72


# --- segments ---


@styled
def draw_segments(
    picture: np.ndarray,
    predicted: np.ndarray,
    labels: Sequence[str],
    *,
    truth: np.ndarray | None = None,
    background: int | None = None,
    title: str = "",
) -> Figure:
    """The picture, the predicted classes (H, W) over it and, where given, the true ones; a legend of the classes that occur.

    The `background` is not painted. Where the truth is ignored it is dark and striped.
    """
    panels = [("picture", picture), ("predicted", paint(picture, predicted, background=background))]
    if truth is not None:
        panels.append(("truth", paint(picture, truth, background=background)))
    figure, cells = _cells(picture, len(panels), title, legend=True)
    for axes, (name, painted) in zip(cells, panels, strict=True):
        _show(axes, painted, name)
    occur = np.union1d(predicted, predicted if truth is None else truth)
    palette = hex_colours(len(labels))
    shown = [(palette[i], labels[i]) for i in occur.tolist() if i not in (background, IGNORE)]
    _legend(figure, shown + ([(FAINT, "ignored")] if IGNORE in occur else []))
    return figure


@styled
def draw_instances(picture: np.ndarray, masks: np.ndarray, *, truth: np.ndarray | None = None, title: str = "") -> Figure:
    """The picture, and over it each object in one of twelve colours with its outline; how many there are.

    `masks` and `truth` are (K, H, W) bool, or (H, W) integers in which 0 is background and k the k-th object.
    """
    sides = [("objects", masks)] if truth is None else [("predicted", masks), ("truth", truth)]
    figure, cells = _cells(picture, 1 + len(sides), title)
    _show(cells[0], picture, "picture")
    for axes, (name, side) in zip(cells[1:], sides, strict=True):
        numbers = side if side.ndim == 2 else numbered(side)
        _show(axes, paint_instances(picture, numbers), f"{name}: {len(np.unique(numbers[numbers > 0])):,}")
    return figure


# --- the worst pictures ---


@styled
def draw_worst(
    rows: Sequence[Sequence[Panel]],
    names: Sequence[str],
    captions: Sequence[str],
    labels: Sequence[str],
    *,
    title: str = "",
    background: int | None = None,
) -> Figure:
    """Rows of panels, such as picture, truth and predicted (`names`), with a caption each: its name and score.

    For segments, panels are pictures that were `paint`ed; for boxes they have objects, which are framed without names.
    """
    wide, high, caption, over, legend = 2.7, 2.0, 1.45, 0.66 if title else 0.3, 0.34
    width, height = caption + len(names) * (wide + 0.06) + 0.1, over + len(rows) * (high + 0.06) + legend
    figure = blank(width, height, title)
    figure.set_layout_engine("none")
    for row, (panels, words) in enumerate(zip(rows, captions, strict=True)):
        bottom = height - over - (row + 1) * (high + 0.06) + 0.06
        figure.text(0.1 / width, (bottom + high) / height, _folded(words, 20), va="top", fontsize=8, linespacing=1.4)
        for column, panel in enumerate(panels):
            place = ((caption + column * (wide + 0.06)) / width, bottom / height, wide / width, high / height)
            axes = figure.add_axes(place)
            _show(axes, panel.picture, names[column] if row == 0 else "")
            if panel.objects is not None:
                _frames(axes, panel.objects, labels, tags=False, width=1.1)
    palette = hex_colours(len(labels))
    _legend(figure, [(palette[i], name) for i, name in enumerate(labels) if i != background])
    return figure


def _folded(words: str, limit: int) -> str:
    """Long names are broken anywhere: those of files have no spaces."""
    lines = [line[at : at + limit] for line in words.splitlines() for at in range(0, max(len(line), 1), limit)]
    return "\n".join(lines[:7])


# --- panels ---


def _cells(picture: np.ndarray, num: int, title: str, legend: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure with `num` axes side by side, each of the picture's proportions, whose longer side is at most `SIDE`."""
    tall, wide = picture.shape[:2]
    side = SIDE if num == 1 else SIDE * 0.62
    high, broad = tall * side / max(tall, wide), wide * side / max(tall, wide)
    gap, over, under = 0.08, (0.3 if title else 0.0) + (0.28 if num > 1 else 0.08), 0.4 if legend else 0.08
    width, height = num * (broad + gap) + gap, high + over + under
    figure = blank(width, height, title)
    figure.set_layout_engine("none")
    places = [((gap + i * (broad + gap)) / width, under / height, broad / width, high / height) for i in range(num)]
    return figure, [figure.add_axes(place) for place in places]


def _show(axes: Axes, picture: np.ndarray, name: str = "") -> None:
    tall, wide = picture.shape[:2]
    inches = _width(axes)
    axes.imshow(
        three(picture),
        extent=(0, wide, tall, 0),
        interpolation="nearest" if wide < inches * DPI else "antialiased",
        aspect="equal",
    )
    axes.set(xlim=(0, wide), ylim=(tall, 0))
    axes.set_axis_off()
    if name:
        axes.set_title(name, fontsize=8.5, color=FAINT, pad=3)


def _legend(figure: Figure, entries: Sequence[tuple[str, str]]) -> None:
    """Squares with names along the foot of the figure, in as many lines as they take; the figure grows by them."""
    width, height = figure.get_size_inches()
    lines: list[list[tuple[float, str, str]]] = [[]]
    across = 0.1
    for colour, name in entries:
        name = elide(name, 30)
        needed = 0.2 + _inches(name, 8) + 0.16
        if across + needed > width and lines[-1]:
            lines.append([])
            across = 0.1
        lines[-1].append((across, colour, name))
        across += needed
    extra = 0.2 * (len(lines) - 1)
    if extra:
        figure.set_size_inches(width, height + extra)
        for axes in figure.axes:
            left, bottom, wide, high = axes.get_position().bounds
            axes.set_position((left, (bottom * height + extra) / (height + extra), wide, high * height / (height + extra)))
        for text in figure.texts:
            text.set_y((text.get_position()[1] * height + extra) / (height + extra))
        height += extra
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.patch.set_alpha(0)
    for row, line in enumerate(lines):
        y = 0.16 + 0.2 * (len(lines) - 1 - row)
        for x, colour, name in line:
            axes.fill([x, x + 0.13, x + 0.13, x], [y - 0.065, y - 0.065, y + 0.065, y + 0.065], color=colour, linewidth=0)
            axes.text(x + 0.2, y, name, va="center", fontsize=8)


# --- precision over recall ---


@styled
def draw_precision_recall(curves: Sequence[Curve], labels: Sequence[str]) -> Figure:
    """Precision over recall at IoU .5 by class, with the area under each (VOC 2012's AP) and a dot where F1 is greatest.

    Of more than twelve classes the twelve with the least area have colours and names; the others are grey.
    """
    from matplotlib.patheffects import Normal, Stroke

    known = [i for i, curve in enumerate(curves) if curve.num_objects]
    named = sorted(known, key=lambda i: curves[i].voc12)[:LISTED]
    few = len(labels) <= LISTED
    colour = {i: hex_colours(LISTED)[i if few else place] for place, i in enumerate(named)}
    figure = blank(6.6, 4.2)
    axes, aside = figure.subplots(1, 2, width_ratios=(3, 1))
    for i in (i for i in known if i not in colour):
        axes.plot(*_line(curves[i]), color=EMPTY, linewidth=0.8, label="_")
    for place, i in enumerate(reversed(named)):
        halo = [Stroke(linewidth=2.4, foreground=INK, alpha=0.6), Normal()]  # the light colours are faint on white
        axes.plot(*_line(curves[i]), color=colour[i], linewidth=1.4, label=labels[i], path_effects=halo)
        best = curves[i].best()
        if best["recall"] is not None:
            axes.plot(best["recall"], best["precision"], "o", color=colour[i], markersize=6, markeredgecolor=INK, label="_")
        top = 0.97 - 0.075 * place
        aside.text(0, top, "■", color=colour[i], transform=aside.transAxes, va="center", path_effects=halo[1:])
        words = f"{elide(labels[i], 16)}  {curves[i].voc12:.3f}"
        aside.text(0.12, top, words, transform=aside.transAxes, va="center", fontsize=8)
    aside.set_axis_off()
    area = f"{np.mean([curves[i].voc12 for i in known]):.3f}" if known else "no objects"
    axes.set_title(f"precision over recall at IoU 0.5, mean area {area}")
    axes.set(xlim=(0, 1.01), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    axes.grid()
    return figure


def _line(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision from the first detection on; from recall 0 with the precision of the first."""
    return np.append(0, curve.recall), np.append(curve.precision[:1], curve.precision) if len(curve.hits) else np.zeros(1)
