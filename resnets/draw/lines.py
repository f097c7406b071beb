"""Series as small pictures, so that they stand wherever images are shown: lines over time, perhaps coloured by a map."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from resnets.draw.paint import hex_colours

SIZE = 384, 192  # (width, height) in pixels
SHOWN = 8  # channels
MARGIN, THICK = 8, 5
GREY = (186, 190, 198)


def is_series(image: np.ndarray) -> bool:
    """Whether it is a series, float (C, L), and no picture, uint8."""
    return image.dtype.kind == "f" and image.ndim == 2


def sketch(series: np.ndarray, values: np.ndarray | None = None) -> np.ndarray:
    """The first channels of a series (C, L) as lines, uint8 (H, W, 3); where values are missing there is a gap.

    Args:
        values: (L,) from 0 to 1: a line is the darker the greater they are; None: a colour for each channel.
    """
    width, height = SIZE
    picture = Image.new("RGB", SIZE, "white")
    draw, shown = ImageDraw.Draw(picture), series[:SHOWN]
    known = shown[np.isfinite(shown)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    length = series.shape[1]
    x = MARGIN + (width - 2 * MARGIN) * (np.arange(length) / (length - 1) if length > 1 else np.full(1, 0.5))
    colours = hex_colours(max(2, len(shown)))
    for channel, colour in zip(shown, colours, strict=False):
        y = height - MARGIN - (height - 2 * MARGIN) * ((channel - low) / (high - low or 1.0))
        for inks, start, end in _runs(np.isfinite(channel), values, colour):
            points = list(zip(x[start:end].tolist(), y[start:end].tolist(), strict=True))
            if len(points) == 1:
                (left, top), half = points[0], THICK / 2
                draw.ellipse((left - half, top - half, left + half, top + half), fill=inks)
            else:
                draw.line(points, fill=inks, width=THICK, joint="curve")
    return np.array(picture)


def _runs(known: np.ndarray, values: np.ndarray | None, colour: str) -> list[tuple[str | tuple[int, int, int], int, int]]:
    """What is drawn in one colour: (colour, start, end), of neighbours that are known; with a map two by two."""
    ends = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(np.int8)))
    runs = list(zip(ends[::2].tolist(), ends[1::2].tolist(), strict=True))
    if values is None:
        return [(colour, start, end) for start, end in runs]
    inks = warm(values)
    return [(inks[at], at, min(at + 2, end)) for start, end in runs for at in range(start, max(start + 1, end - 1))]


def warm(values: np.ndarray) -> list[tuple[int, int, int]]:
    """Of each value from 0 to 1 a colour, from light grey over orange to a dark violet."""
    from matplotlib import colormaps

    shares = np.clip(values, 0, 1)[:, None]
    hot = colormaps["inferno"](0.85 - 0.45 * shares[:, 0])[:, :3] * 255
    mixed = ((1 - shares**0.7) * np.array(GREY) + shares**0.7 * hot).round().astype(int)
    return [(red, green, blue) for red, green, blue in mixed.tolist()]
