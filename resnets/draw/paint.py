"""Colours of classes and objects, and images painted with them, as arrays. Images are uint8."""

from __future__ import annotations

import colorsys

import numpy as np

from resnets.data.targets import IGNORE

# Found by a search for twelve colours that are as different as possible, for full colour vision and for each kind of colour
# blindness (simulated after Machado et al. 2009): any two are at least 25 apart in CIELAB. The first few differ most.
COLOURS = (
    "#4646B9", "#B90000", "#46FFFF", "#E8E874", "#8B4646", "#8B00FF",
    "#5DA2A2", "#A28BE8", "#D1A274", "#E87400", "#A2FF00", "#5D4674",
)  # fmt: skip


def colours(num: int) -> np.ndarray:
    """(num, 3) uint8, RGB: `COLOURS`, and beyond those twelve generated hues, which are distinct but not easy to tell apart."""
    more = [
        colorsys.hsv_to_rgb(0.61803 * i % 1, (0.9, 0.55)[i % 2], (0.95, 0.65)[i // 2 % 2]) for i in range(num - len(COLOURS))
    ]
    known = [[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in COLOURS]
    return np.array([*known, *(np.array(more).reshape(-1, 3) * 255).round()], np.uint8)[:num]


def hex_colours(num: int) -> list[str]:
    """The same colours as "#RRGGBB"."""
    return ["#" + "".join(f"{value:02X}" for value in colour) for colour in colours(num).tolist()]


def on(colour: str) -> str:
    """Either "white" or "black", whichever is readable on the colour "#RRGGBB", by its luminance."""
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return "black" if 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2 > 0.18 else "white"


def three(picture: np.ndarray) -> np.ndarray:
    """The image as uint8 (H, W, 3): of three or more channels the first three, otherwise the first one repeated."""
    if picture.ndim == 3 and picture.shape[2] >= 3:
        return picture[:, :, :3]
    return np.repeat(picture.reshape(*picture.shape[:2], -1)[:, :, :1], 3, axis=2)


def paint(picture: np.ndarray, classes: np.ndarray, *, background: int | None = None, opacity: float = 0.7) -> np.ndarray:
    """The image with the colour of its class over each pixel, uint8 (H, W, 3); borders between classes are dark.

    Pixels of the class `background` are left as they are; pixels with `IGNORE` are darkened and striped. Below the colours the
    image is grey, so that they look as in the legend everywhere.

    Args:
        picture: uint8 (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).
        classes: class indices (H, W).
        background: the class that is not painted, if any.
        opacity: of the colours, 0 to 1.
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
    """(H, W) bool: whether the lower or the right neighbour of a pixel has another value."""
    border = np.zeros(classes.shape, bool)
    border[:-1] |= classes[:-1] != classes[1:]
    border[:, :-1] |= classes[:, :-1] != classes[:, 1:]
    return border


def numbered(masks: np.ndarray) -> np.ndarray:
    """The masks (K, H, W), bool, as one array (H, W) int64: 0 for background, k for the k-th mask; smaller masks are on top."""
    numbers = np.zeros(masks.shape[1:], np.int64)
    for index in np.argsort(-masks.sum((1, 2)), kind="stable"):
        numbers[masks[index]] = index + 1
    return numbers


def paint_instances(picture: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The image with each object in one of twelve colours, and outlined; uint8 (H, W, 3).

    Args:
        picture: uint8 (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).
        numbers: integers (H, W), 0 for background and k for the k-th object, as from `numbered`.
    """
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
