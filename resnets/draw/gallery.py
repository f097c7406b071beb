"""Images in rows, each with its caption."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from resnets.draw.pictured import pictured
from resnets.draw.style import DPI, EMPTY, blank, elide, styled, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CELL = 1.3  # inches: the side of the square that each image is fitted into


def gallery(
    pictures: Sequence[np.ndarray | None], captions: Sequence[str], path: Path | str, *, columns: int = 8, title: str = ""
) -> Path:
    """Save images in rows, each with its caption, as PNG. See `draw_gallery`."""
    return write(draw_gallery(pictures, captions, columns=columns, title=title), path)


@styled
def draw_gallery(
    pictures: Sequence[np.ndarray | None], captions: Sequence[str], *, columns: int = 8, title: str = ""
) -> Figure:
    """Images in rows, each fitted into a square of `CELL` inches, above its caption.

    Small images are enlarged without blurring.

    Args:
        pictures: uint8 (H, W) or (H, W, C) of any sizes; C is 1, 3 or 4 (the last is opacity), of other C the first is drawn;
            or series and volumes as `pictured` draws them. None: the place stays empty.
        captions: one for each image; at most two lines of 22 characters are drawn, longer text is shortened.
        columns: the number of images in a row.
    """
    columns = max(1, min(columns, len(pictures)))
    num_rows = math.ceil(len(pictures) / columns)
    gap, under, over = 0.12, 0.38, 0.42 if title else 0.08  # inches: between images, for a caption, for the title
    width, height = columns * (CELL + gap) + gap, num_rows * (CELL + under) + over
    figure = blank(width, height)
    figure.set_layout_engine("none")
    # One axes in inches for all of them: an axes for each image would take seconds to lay out.
    axes = figure.add_axes((0, 0, 1, 1))
    axes.text(gap, 0.1, title, va="top", fontsize=11, fontweight="bold")
    for place, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        row, column = divmod(place, columns)
        left, top = gap + column * (CELL + gap), over + row * (CELL + under)
        if picture is not None:
            _show(axes, pictured(picture), left, top)
        axes.text(left + CELL / 2, top + CELL + 0.04, _two_lines(caption), ha="center", va="top", fontsize=7, linespacing=1.15)
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="auto")
    axes.set_axis_off()
    return figure


def _show(axes: Axes, picture: np.ndarray, left: float, top: float) -> None:
    """The image with a thin frame, in the middle of the square whose corner is at (left, top)."""
    tall, wide = (CELL * side / max(picture.shape[:2]) for side in picture.shape[:2])
    x, y = left + (CELL - wide) / 2, top + (CELL - tall) / 2
    small = max(picture.shape[:2]) < CELL * DPI
    axes.imshow(
        _showable(picture), cmap="gray", vmin=0, vmax=255, extent=(x, x + wide, y + tall, y),
        interpolation="nearest" if small else "antialiased",
    )  # fmt: skip
    axes.plot((x, x + wide, x + wide, x, x), (y, y, y + tall, y + tall, y), color=EMPTY, linewidth=0.6)


def _two_lines(caption: str) -> str:
    lines = caption.splitlines() if "\n" in caption else textwrap.wrap(caption, 22)
    return "\n".join(elide(line, 22) for line in (lines if len(lines) <= 2 else [lines[0], " ".join(lines[1:])]))


def _showable(picture: np.ndarray) -> np.ndarray:
    """The image in a shape that imshow takes: (H, W), (H, W, 3) or (H, W, 4); a large one with only every n-th pixel."""
    step = max(1, int(max(picture.shape[:2]) // (4 * CELL * DPI)))
    picture = picture[::step, ::step]
    return picture if picture.ndim == 2 or picture.shape[2] in (3, 4) else picture[:, :, 0]
