"""Images with faces framed and named. As everywhere in `resnets.draw`, `draw_x` returns a `Figure`, `x(..., path)` saves it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from resnets.draw.panels import SIDE, show
from resnets.draw.style import EMPTY, blank, elide, styled, write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KNOWN, UNKNOWN = "#0072B2", "#222222"  # the colours of faces with a name, and without
MOST = 24  # images of a figure
TAG = 8  # points


class Named(NamedTuple):
    """A face: its box (left, top, right, bottom) in pixels, the name beside it, and whether that is someone's."""

    box: Sequence[int]
    name: str
    known: bool


def faces(images: Sequence[np.ndarray], found: Sequence[Sequence[Named]], captions: Sequence[str], path: Path | str) -> Path:
    """Save images with their faces as PNG. See `draw_faces`."""
    return write(draw_faces(images, found, captions), path)


@styled
def draw_faces(images: Sequence[np.ndarray], found: Sequence[Sequence[Named]], captions: Sequence[str]) -> Figure:
    """Images side by side, each face in a frame with a name above it.

    Args:
        images: uint8 (H, W, 3), at most `MOST`.
        found: the faces of each.
        captions: one for each image.
    """
    columns = min(len(images), 2 if len(images) < 5 else 4)
    rows, side, gap, over = math.ceil(len(images) / columns), SIDE / (1 if columns == 1 else columns / 2), 0.1, 0.3
    width, height = columns * (side + gap) + gap, rows * (side + over) + gap
    figure = blank(width, height)
    figure.set_layout_engine("none")
    for place, (image, named, caption) in enumerate(zip(images, found, captions, strict=True)):
        row, column = divmod(place, columns)
        tall, wide = image.shape[:2]
        high, broad = tall * side / max(tall, wide), wide * side / max(tall, wide)
        left, top = gap + column * (side + gap) + (side - broad) / 2, height - over - row * (side + over)
        axes = figure.add_axes((left / width, (top - high) / height, broad / width, high / height))
        show(axes, image, elide(caption, int(40 * side / SIDE) + 10))
        for box, name, known in named:
            colour = KNOWN if known else UNKNOWN
            corners = [(box[x], box[y]) for x, y in ((0, 1), (2, 1), (2, 3), (0, 3), (0, 1))]
            axes.plot(*zip(*corners, strict=True), color=EMPTY, linewidth=3, solid_joinstyle="miter")
            axes.plot(*zip(*corners, strict=True), color=colour, linewidth=1.6, solid_joinstyle="miter")
            inside = box[1] < 0.05 * tall  # where there is no room above it
            axes.text(
                min(max(box[0], 0), wide), max(box[1], 0), f" {elide(name, 24)} ", color="white", fontsize=TAG,
                va="top" if inside else "bottom",
                bbox={"facecolor": colour, "edgecolor": "none", "pad": 1},
            )  # fmt: skip
        axes.set(xlim=(0, wide), ylim=(tall, 0))
    return figure
