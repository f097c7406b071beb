"""Figures of detection: boxes over an image, object masks, and precision over recall.

As everywhere in `resnets.draw`, `draw_x(...)` returns a matplotlib `Figure`, and `x(..., path)` saves it as PNG.
Images are uint8 (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from resnets.data.targets import Boxes, Detections
from resnets.draw import precision_recall as precision_over_recall
from resnets.draw.paint import hex_colours, numbered, on, paint_instances
from resnets.draw.panels import Panel, cells, legend, show, text_width, width_of
from resnets.draw.panels import worst as draw_rows
from resnets.draw.style import EMPTY, styled, write
from resnets.tasks.dense.task import Shown
from resnets.tasks.detect.voc import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TAGGED = 60  # up to this many objects have their names beside them; with more, only the legend names the classes
TAG_SIZE = 7.5  # points


def boxes(picture: np.ndarray, objects: Boxes | Detections, labels: Sequence[str], path: Path | str, **settings: Any) -> Path:
    """Save boxes over an image as PNG. See `draw_boxes`."""
    return write(draw_boxes(picture, objects, labels, **settings), path)


def instances(picture: np.ndarray, masks: np.ndarray, path: Path | str, **settings: Any) -> Path:
    """Save object masks over an image as PNG. See `draw_instances`."""
    return write(draw_instances(picture, masks, **settings), path)


def precision_recall(curves: Sequence[Curve], labels: Sequence[str], path: Path | str) -> Path:
    """Save the curves of precision over recall as PNG. See `draw_precision_recall`."""
    return write(draw_precision_recall(curves, labels), path)


def framed(picture: np.ndarray, objects: Boxes | Detections, labels: Sequence[str]) -> Panel:
    """A panel for `resnets.draw.panels.worst`: the image with its boxes in the colours of their classes, without names."""
    return Panel(picture, partial(_frames, objects=objects, palette=hex_colours(len(labels)), width=1.1))


def evaluation(
    curves: Sequence[Curve], worst: Sequence[Shown], labels: Sequence[str], threshold: float, folder: Path
) -> list[Path]:
    """Draw precision over recall, and the worst images, whose objects have a score of `threshold` or more."""
    drawings = [precision_recall(curves, labels, folder / "precision_recall.png")]
    if worst:
        rows = [[framed(each.picture, objects, labels) for objects in (each.truth, each.found)] for each in worst]
        captions = [f"{each.name}\nF1 {each.score:.3f}" for each in worst]
        title = f"worst first; predictions with a score of {threshold} or more"
        names, path = ("truth", "predicted"), folder / "worst.png"
        drawings.append(draw_rows(rows, names, captions, labels, path, title=title))
    return drawings


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
    """An image with boxes in the colours of their classes, names and scores where there is room, and counts per class below.

    Objects to be ignored have dashed boxes.

    Args:
        threshold: detections with a lower score are left out.
        truth: true boxes, drawn in a second panel, with their counts.
    """
    sides = [_above(objects, threshold), *([truth] if truth is not None else [])]
    names = ["predicted", "truth"] if truth is not None else [""]
    figure, several = cells(picture, len(sides), title, with_legend=True)
    palette = hex_colours(len(labels))
    for axes, side, name in zip(several, sides, names, strict=True):
        show(axes, picture, name)
        _frames(axes, side, palette)
        if len(side.labels) <= TAGGED:
            _tags(axes, side, labels, palette)
    counts = [np.bincount(side.labels, minlength=len(labels)) for side in sides]
    entries = [
        (palette[i], f"{labels[i]}: {', truth '.join(str(count[i]) for count in counts)}")
        for i in np.flatnonzero(sum(counts)).tolist()
    ]
    legend(figure, entries or [(EMPTY, "no objects")])
    return figure


def _above(objects: Boxes | Detections, threshold: float) -> Boxes | Detections:
    """Detections with at least this score, the lowest first, so that higher ones are drawn over them; true boxes unchanged."""
    if isinstance(objects, Boxes):
        return objects
    order = np.argsort(objects.scores, kind="stable")
    order = order[objects.scores[order] >= threshold]
    masks = None if objects.masks is None else objects.masks[order]
    return Detections(objects.xyxy[order], objects.labels[order], objects.scores[order], masks)


def _frames(axes: Axes, objects: Boxes | Detections, palette: Sequence[str], width: float = 1.6) -> None:
    """Draw the boxes, clipped to the image, `width` points wide.

    A light or dark line on each side of the coloured one keeps it visible on any image.
    """
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import Normal, Stroke

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


def _tags(axes: Axes, objects: Boxes | Detections, labels: Sequence[str], palette: Sequence[str]) -> None:
    """Write the name and score of each object, the highest score first, in the first free one of four positions at its box.

    A tag stays within the image and covers no other tag. Where no position is free, the object has no tag.
    """
    per_inch = (axes.get_xlim()[1] - axes.get_xlim()[0]) / width_of(axes)
    right, bottom = axes.get_xlim()[1], axes.get_ylim()[0]
    taken = np.zeros((0, 4))
    high = 1.45 * TAG_SIZE / 72 * per_inch
    for i in reversed(range(len(objects.labels))):
        label = int(objects.labels[i])
        words = labels[label] + (f" {objects.scores[i]:.2f}" if isinstance(objects, Detections) else "")
        wide = (1.05 * text_width(words, TAG_SIZE) + 0.07) * per_inch
        inside = np.clip(objects.xyxy[i], 0, [right, bottom, right, bottom])
        tag = next(_free(inside, (wide, high), (right, bottom), taken), None)
        if tag is not None:
            taken = np.vstack([taken, tag])
            x, y = tag[:2].tolist()
            axes.fill([x, x + wide, x + wide, x], [y, y, y + high, y + high], color=palette[label], linewidth=0)
            axes.text(
                x + 0.03 * per_inch, y + high / 2, words, va="center_baseline", fontsize=TAG_SIZE, color=on(palette[label])
            )


def _free(box: np.ndarray, size: tuple[float, float], limits: tuple[float, float], taken: np.ndarray) -> Iterator[np.ndarray]:
    """Rectangles x0 y0 x1 y1 of `size` at the box that are within the image of the size `limits` and overlap none of `taken`.

    In this order: above the box, below it, inside at its top left, inside at its bottom right.
    """
    (wide, high), (right, bottom) = size, limits
    x0, y0, x1, y1 = box.tolist()
    for x, y in ((x0, y0 - high), (x0, y1), (x0, y0), (x1 - wide, y1 - high)):
        x = float(np.clip(x, 0, max(right - wide, 0)))
        tag = np.array([x, y, x + wide, y + high])
        overlapping = ((tag[:2] < taken[:, 2:]) & (tag[2:] > taken[:, :2])).all(1)
        if y >= 0 and y + high <= bottom and not overlapping.any():
            yield tag


# --- object masks ---


@styled
def draw_instances(picture: np.ndarray, masks: np.ndarray, *, truth: np.ndarray | None = None, title: str = "") -> Figure:
    """The image, and beside it the image with each object in one of twelve colours and outlined; titles count the objects.

    Args:
        masks: (K, H, W) bool, or (H, W) integers in which 0 is background and k the k-th object.
        truth: true masks in either form, drawn in a third panel.
    """
    sides = [("objects", masks)] if truth is None else [("predicted", masks), ("truth", truth)]
    figure, several = cells(picture, 1 + len(sides), title)
    show(several[0], picture, "picture")
    for axes, (name, side) in zip(several[1:], sides, strict=True):
        numbers = side if side.ndim == 2 else numbered(side)
        show(axes, paint_instances(picture, numbers), f"{name}: {len(np.unique(numbers[numbers > 0])):,}")
    return figure


# --- precision over recall ---


def draw_precision_recall(curves: Sequence[Curve], labels: Sequence[str]) -> Figure:
    """Precision over recall at IoU 0.5, one curve per class, with the area under each (VOC 2012's AP); a dot marks the
    threshold with the highest F1. Classes without objects are left out."""
    drawn: list[precision_over_recall.Curve | None] = []
    for curve in curves:
        best = curve.best()
        dot = None if best["recall"] is None else (best["recall"], best["precision"] or 0.0)
        whole = precision_over_recall.Curve(*_line(curve), curve.voc12, dot) if curve.num_objects else None
        drawn.append(whole)
    title = "precision over recall at IoU 0.5"
    return precision_over_recall.draw_precision_recall(drawn, labels, title, empty="no objects")


def _line(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision (N + 1,) of the first 1, 2, ... N detections; before them recall 0 with the first precision."""
    return np.append(0, curve.recall), np.append(curve.precision[:1], curve.precision) if len(curve.hits) else np.zeros(1)
