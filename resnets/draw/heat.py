"""Maps of what speaks for an answer, over the image that the network saw; signals as lines.

As everywhere in `resnets.draw`, `draw_x(...)` returns a matplotlib `Figure`, and `x(..., path)` saves it as PNG.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from resnets.draw.lines import SHOWN, warm
from resnets.draw.paint import three
from resnets.draw.panels import show
from resnets.draw.style import FAINT, INK, VAL, blank, elide, styled, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIDE = 2.3  # inches: the longer side of a panel
SIGNAL = 1.4, 3.2  # height and width of a panel with a signal
LINES = 4  # at most, of the words below a panel
WARNING = "does not depend on what was learnt"


class Heat(NamedTuple):
    """One map.

    Args:
        values: (H, W), or (L,) of a signal, from 0 to 1.
        title: what it speaks for.
        words: further lines.
        box: where the object is, in pixels: left, top, right, bottom; None: no object.
        fails: whether it failed the check with randomised weights.
    """

    values: np.ndarray
    title: str
    words: str = ""
    box: tuple[int, int, int, int] | None = None
    fails: bool = False


def heats(picture: np.ndarray, maps: Sequence[Heat], path: Path | str, *, title: str = "", caption: str = "") -> Path:
    """Save an image and maps over it as PNG. See `draw_heats`."""
    return write(draw_heats(picture, maps, title=title, caption=caption), path)


def sheet(images: Sequence[tuple[str, np.ndarray, Sequence[Heat]]], path: Path | str, **settings: Any) -> Path:
    """Save many images with their maps as PNG. See `draw_sheet`."""
    return write(draw_sheet(images, **settings), path)


@styled
def draw_sheet(
    images: Sequence[tuple[str, np.ndarray, Sequence[Heat]]], *, across: int = 2, side: float = 1.35, title: str = ""
) -> Figure:
    """Many images, each with its maps beside it, `across` images in a row.

    Args:
        images: (name, uint8 (H, W, C), maps) each; as many maps for every image.
        side: inches of the longer side of a panel.
    """
    panels = 1 + max(len(maps) for _, _, maps in images)
    gap, under, over, room = 0.06, 0.54, 0.42 if title else 0.08, int(side * 15)
    group, rows = panels * (side + gap) + 0.12, -(-len(images) // across)
    width, height = across * group + gap, over + rows * (side + under)
    figure = blank(width, height, title)
    figure.set_layout_engine("none")
    for number, (name, picture, maps) in enumerate(images):
        row, column = divmod(number, across)
        for place, heat in enumerate([Heat(np.zeros(0), name), *maps]):
            left, bottom = gap + column * group + place * (side + gap), height - over - row * (side + under) - side
            axes = figure.add_axes((left / width, bottom / height, side / width, side / height))
            show(axes, painted(picture, heat.values) if heat.values.size else picture)
            framed(axes, heat, fontsize=5)
            title_lines = heat.title.replace(" rather than ", "\nrather than ").splitlines()
            lines = [elide(line, room + 2) for line in (*title_lines, *heat.words.splitlines())][:4]
            words: dict[str, Any] = {"va": "top", "fontsize": 6.5, "linespacing": 1.25, "color": VAL if heat.fails else INK}
            figure.text(left / width, (bottom - 0.04) / height, "\n".join(lines), **words)
    return figure


def painted(picture: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The image in grey with the map over it, uint8 (H, W, 3): the warmer and clearer, the more speaks for the answer."""
    from matplotlib import colormaps

    grey = three(picture).astype(np.float32).mean(2, keepdims=True)
    share = np.clip(values, 0, 1)[..., None] ** 0.8
    warm = colormaps["inferno"](0.25 + 0.7 * np.clip(values, 0, 1))[..., :3] * 255
    return ((1 - 0.85 * share) * (0.35 * grey + 110) + 0.85 * share * warm).round().clip(0, 255).astype(np.uint8)


@styled
def draw_heats(picture: np.ndarray, maps: Sequence[Heat], *, title: str = "", caption: str = "") -> Figure:
    """The image as the network saw it, and beside it each map over it.

    Args:
        picture: uint8 (H, W, C) of 1 or 3 and more channels, or of a signal float32 (C, L).
        maps: at least one, of the image's size.
        title: the name of the image.
        caption: below the image itself: what made the maps.
    """
    signal = picture.ndim == 2
    tall, wide = picture.shape[:2]
    high, broad = SIGNAL if signal else (tall * SIDE / max(tall, wide), wide * SIDE / max(tall, wide))
    panels = [Heat(np.zeros(0), "", caption), *maps]
    num_lines = max(len(panel.words.splitlines()[:LINES]) for panel in panels)
    gap, over, under = 0.34 if signal else 0.1, 0.55 if title else 0.3, (0.26 if signal else 0.1) + 0.13 * num_lines
    width, height = (len(maps) + 1) * (broad + gap) + gap, over + high + under
    figure = blank(width, height)
    figure.set_layout_engine("none")
    if title:
        figure.text(gap / width, 1 - 0.12 / height, elide(title, int(width * 11)), va="top", fontsize=9.5, fontweight="bold")
    for number, heat in enumerate(panels):
        left = gap + number * (broad + gap)
        axes = figure.add_axes((left / width, under / height, broad / width, high / height))
        if signal:
            _signal(axes, picture, heat.values)
        else:
            show(axes, painted(picture, heat.values) if heat.values.size else picture)
        framed(axes, heat)
        room = int(broad * 13)
        axes.set_title(elide(heat.title or ("signal" if signal else "input"), room), fontsize=8.5, pad=3, color=INK)
        lines = [elide(line, room + 4) for line in heat.words.splitlines()[:LINES]]
        beneath = under - (0.22 if signal else 0.06)  # of a signal below the numbers of its axis
        figure.text(left / width, beneath / height, "\n".join(lines), va="top", fontsize=7, color=FAINT, linespacing=1.3)
    return figure


def framed(axes: Axes, heat: Heat, *, fontsize: float = 7.5) -> None:
    """The box of an object, and the warning over a map that failed."""
    if heat.box is not None:
        x0, y0, x1, y1 = heat.box
        axes.plot((x0, x1, x1, x0, x0), (y0, y0, y1, y1, y0), color="#46FFFF", linewidth=fontsize / 6)
    if heat.fails:
        words: dict[str, Any] = {"ha": "center", "va": "bottom", "fontsize": fontsize, "color": "white"}
        sheet = {"facecolor": VAL, "edgecolor": "none", "pad": 2}
        axes.text(0.5, 0.02, WARNING, transform=axes.transAxes, bbox=sheet, **words)


def _signal(axes: Axes, signal: np.ndarray, values: np.ndarray) -> None:
    """The first channels (C, L) as lines, coloured by the map: the darker and thicker, the more speaks for it."""
    from matplotlib.collections import LineCollection

    steps = np.arange(signal.shape[1])
    low, high = float(signal.min()), float(signal.max())
    inks = np.array(warm(values)) / 255 if values.size else None
    for channel in signal[:SHOWN]:
        if inks is None:
            axes.plot(steps, channel, linewidth=0.9)
            continue
        points = np.stack([steps, channel], 1)
        pairs = np.stack([points[:-1], points[1:]], 1)
        axes.add_collection(LineCollection(list(pairs), colors=inks[:-1], linewidths=0.8 + 1.4 * values[:-1]))
    room = 0.05 * (high - low) or 0.5
    axes.set(xlim=(-0.5, len(steps) - 0.5), ylim=(low - room, high + room))
    axes.tick_params(labelsize=6, length=2)
