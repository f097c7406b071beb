"""Panels: images side by side or in rows, with something drawn over them and a legend below.

What the figures of several tasks share; it knows no task. Images are uint8 (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from resnets.draw.paint import hex_colours, three
from resnets.draw.style import DPI, FAINT, blank, elide, styled, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIDE = 7.5  # inches: the longer side of an image that stands alone
CAPTION = 22  # characters in a line beside a row: `hippocampus_245.nii.gz` is not broken


class Panel(NamedTuple):
    """An image, and optionally a function that draws over it.

    `over` is called with the axes that show the image; their units are its pixels, with the origin at its top left corner. A
    pixel that is no square is `pixel` high and wide, in any unit, which is then that of the axes.
    """

    picture: np.ndarray
    over: Callable[[Axes], None] | None = None
    pixel: tuple[float, float] = (1.0, 1.0)


def worst(
    rows: Sequence[Sequence[Panel]], names: Sequence[str], captions: Sequence[str], labels: Sequence[str], path: Path | str,
    **settings: Any,
) -> Path:  # fmt: skip
    """Save rows of panels as PNG. See `draw_worst`."""
    return write(draw_worst(rows, names, captions, labels, **settings), path)


@styled
def draw_worst(
    rows: Sequence[Sequence[Panel]],
    names: Sequence[str],
    captions: Sequence[str],
    labels: Sequence[str],
    *,
    title: str = "",
    background: int | None = None,
    cell: tuple[float, float] = (2.7, 2.0),
) -> Figure:
    """Rows of panels, each row with a caption on its left; below, a legend of all classes.

    Args:
        rows: one row for each image, with one panel for each of `names`.
        names: the titles of the columns, such as picture, truth, predicted.
        captions: one for each row, such as the file's name and its score; cut to seven lines of `CAPTION` characters.
        labels: the class names, for the legend.
        background: the class that is left out of the legend.
        cell: width and height of a panel in inches.
    """
    (wide, high), caption, over, under = cell, 1.45, 0.66 if title else 0.3, 0.34
    width, height = caption + len(names) * (wide + 0.06) + 0.1, over + len(rows) * (high + 0.06) + under
    figure = blank(width, height, title, down=0.08)
    figure.set_layout_engine("none")
    for row, (panels, words) in enumerate(zip(rows, captions, strict=True)):
        bottom = height - over - (row + 1) * (high + 0.06) + 0.06
        figure.text(0.1 / width, (bottom + high) / height, _folded(words, CAPTION), va="top", fontsize=8, linespacing=1.4)
        for column, panel in enumerate(panels):
            place = ((caption + column * (wide + 0.06)) / width, bottom / height, wide / width, high / height)
            axes = figure.add_axes(place)
            show(axes, panel.picture, names[column] if row == 0 else "", panel.pixel)
            if panel.over is not None:
                panel.over(axes)
    palette = hex_colours(len(labels))
    legend(figure, [(palette[i], name) for i, name in enumerate(labels) if i != background])
    return figure


def _folded(words: str, limit: int) -> str:
    """The text in lines of at most `limit` characters, broken anywhere, because names of files have no spaces."""
    lines = [line[at : at + limit] for line in words.splitlines() for at in range(0, max(len(line), 1), limit)]
    return "\n".join(lines[:7])


# --- parts of a figure ---


def cells(picture: np.ndarray, num: int, title: str, with_legend: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure with `num` axes side by side, with the proportions of the image, and room below for a legend of one line.

    The longer side of the axes is `SIDE` inches for one, and 0.62 of that for several.
    """
    tall, wide = picture.shape[:2]
    side = SIDE if num == 1 else SIDE * 0.62
    high, broad = tall * side / max(tall, wide), wide * side / max(tall, wide)
    gap, over, under = 0.08, (0.3 if title else 0.0) + (0.28 if num > 1 else 0.08), 0.4 if with_legend else 0.08
    width, height = num * (broad + gap) + gap, high + over + under
    figure = blank(width, height, title)
    figure.set_layout_engine("none")
    places = [((gap + i * (broad + gap)) / width, under / height, broad / width, high / height) for i in range(num)]
    return figure, [figure.add_axes(place) for place in places]


def show(axes: Axes, picture: np.ndarray, name: str = "", pixel: tuple[float, float] = (1.0, 1.0)) -> None:
    """Show the image in the axes, whose units become its pixels, under a small title. Small images are not blurred. `pixel` is
    as of `Panel`."""
    tall, wide = (length * side for length, side in zip(picture.shape[:2], pixel, strict=True))
    axes.imshow(
        three(picture),
        extent=(0, wide, tall, 0),
        interpolation="nearest" if picture.shape[1] < width_of(axes) * DPI else "antialiased",
        aspect="equal",
    )
    axes.set(xlim=(0, wide), ylim=(tall, 0))
    axes.set_axis_off()
    if name:
        axes.set_title(name, fontsize=8.5, color=FAINT, pad=3)


def legend(figure: Figure, entries: Sequence[tuple[str, str]]) -> None:
    """Squares in colours with names, (colour, name) each, along the bottom of the figure.

    Room for one line is there already; for each further line that the entries need, the figure becomes higher.
    """
    width = float(figure.get_size_inches()[0])
    lines = _legend_lines(entries, width)
    _grow(figure, 0.2 * (len(lines) - 1))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, width), ylim=(0, figure.get_size_inches()[1]))
    axes.patch.set_alpha(0)
    for row, line in enumerate(lines):
        y = 0.16 + 0.2 * (len(lines) - 1 - row)
        for x, colour, name in line:
            axes.fill([x, x + 0.13, x + 0.13, x], [y - 0.065, y - 0.065, y + 0.065, y + 0.065], color=colour, linewidth=0)
            axes.text(x + 0.2, y, name, va="center", fontsize=8)


def _legend_lines(entries: Sequence[tuple[str, str]], width: float) -> list[list[tuple[float, str, str]]]:
    """The entries as (x in inches, colour, name), broken into lines that fit into `width` inches."""
    lines: list[list[tuple[float, str, str]]] = [[]]
    across = 0.1
    for colour, name in entries:
        name = elide(name, 30)
        needed = 0.2 + text_width(name, 8) + 0.16
        if across + needed > width and lines[-1]:
            lines.append([])
            across = 0.1
        lines[-1].append((across, colour, name))
        across += needed
    return lines


def _grow(figure: Figure, extra: float) -> None:
    """Make the figure `extra` inches higher at its bottom; what it holds keeps its size and its distance from the top."""
    if not extra:
        return
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + extra)
    for axes in figure.axes:
        left, bottom, wide, high = axes.get_position().bounds
        axes.set_position((left, (bottom * height + extra) / (height + extra), wide, high * height / (height + extra)))
    for text in figure.texts:
        text.set_y((text.get_position()[1] * height + extra) / (height + extra))


def width_of(axes: Axes) -> float:
    """The width of the axes in inches."""
    return float(axes.bbox.width / axes.figure.dpi)


def text_width(words: str, size: float) -> float:
    """The width in inches of text of `size` points in matplotlib's own font."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    return float(TextPath((0, 0), words or " ", size=size, prop=FontProperties(family="DejaVu Sans")).get_extents().x1) / 72
