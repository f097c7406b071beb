"""Colours of classes and objects, and pictures painted with them. Arrays in, arrays out; pictures are uint8."""

from __future__ import annotations

import colorsys

import numpy as np

from resnets.data.targets import IGNORE

# Twelve colours as far apart as a search found them, for full colour vision and for each kind of colour blindness (simulated
# after Machado et al. 2009): no two are nearer than 25 in CIELAB. The first few are the furthest apart.
COLOURS = (
    "#4646B9", "#B90000", "#46FFFF", "#E8E874", "#8B4646", "#8B00FF",
    "#5DA2A2", "#A28BE8", "#D1A274", "#E87400", "#A2FF00", "#5D4674",
)  # fmt: skip


def colours(num: int) -> np.ndarray:
    """(num, 3) uint8: the twelve first; beyond them hues in turn, of which nobody can tell all apart."""
    more = [
        colorsys.hsv_to_rgb(0.61803 * i % 1, (0.9, 0.55)[i % 2], (0.95, 0.65)[i // 2 % 2]) for i in range(num - len(COLOURS))
    ]
    known = [[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in COLOURS]
    return np.array([*known, *(np.array(more).reshape(-1, 3) * 255).round()], np.uint8)[:num]


def hex_colours(num: int) -> list[str]:
    """`colours` as "#RRGGBB"."""
    return ["#" + "".join(f"{value:02X}" for value in colour) for colour in colours(num).tolist()]


def on(colour: str) -> str:
    """White or black, whichever can be read on the colour (by the luminance of sRGB)."""
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return "black" if 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2 > 0.18 else "white"


def three(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8; of other channels than colours, the first."""
    if picture.ndim == 3 and picture.shape[2] >= 3:
        return picture[:, :, :3]
    return np.repeat(picture.reshape(*picture.shape[:2], -1)[:, :, :1], 3, axis=2)


def paint(picture: np.ndarray, classes: np.ndarray, *, background: int | None = None, opacity: float = 0.7) -> np.ndarray:
    """The picture (H, W, 3) with the colour of the class of each pixel over it in grey; the border between classes is dark.

    The `background` keeps its picture, and what is ignored is darkened and striped. Under colours the picture is grey, so that
    colours look as in the legend wherever they lie.
    """
    lut = colours(int(max(classes[classes != IGNORE].max(initial=0), 0)) + 1).astype(np.float32)
    base = three(picture).astype(np.float32)
    unknown = classes == IGNORE
    over = lut[np.where(unknown, 0, classes)]
    share = np.where(unknown | (classes == (-1 if background is None else background)), 0, opacity)[..., None]
    grey = np.where(share > 0, 128 + 0.8 * (base.mean(2, keepdims=True) - 128), base)
    painted = grey * (1 - share) + over * share
    rows, columns = np.indices(classes.shape)
    stripes = (rows + columns) // max(2, max(classes.shape) // 120) % 2
    painted[unknown] = painted[unknown] * np.where(stripes[unknown], 0.25, 0.5)[:, None]
    painted[_borders(classes)] *= 0.6
    return painted.round().astype(np.uint8)


def _borders(classes: np.ndarray) -> np.ndarray:
    """Pixels (bool) whose lower or right neighbour is of another class."""
    border = np.zeros(classes.shape, bool)
    border[:-1] |= classes[:-1] != classes[1:]
    border[:, :-1] |= classes[:, :-1] != classes[:, 1:]
    return border


def numbered(masks: np.ndarray) -> np.ndarray:
    """(H, W) int64, 0 or the number from 1 of the mask that covers it; the smallest lie on top."""
    numbers = np.zeros(masks.shape[1:], np.int64)
    for index in np.argsort(-masks.sum((1, 2)), kind="stable"):
        numbers[masks[index]] = index + 1
    return numbers


def paint_instances(picture: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The picture (H, W, 3) with each object, 1, 2, ... in `numbers` (H, W), in one of twelve colours, and outlined."""
    found = np.where(numbers > 0, (numbers - 1) % len(COLOURS) + 1, 0)
    base = three(picture).astype(np.float32)
    lut = np.concatenate([np.zeros((1, 3)), colours(len(COLOURS))]).astype(np.float32)
    share = np.where(numbers > 0, 0.45, 0)[..., None]
    painted = base * (1 - share) + lut[found] * share
    border = _borders(numbers)
    inside = border & (numbers > 0)
    painted[inside] = lut[found[inside]]
    painted[border & ~inside] = 255
    return painted.round().astype(np.uint8)
