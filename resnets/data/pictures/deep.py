"""Images of 16 bits: all their bits, and their values in 8 bits by how many bits are used. No torch."""

from __future__ import annotations

import sys
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from resnets.data.pictures.headers import stored_mode

MOST_BEYOND = 0.01  # fraction of the pixels that may exceed a bit depth found on other images; they become white
OTHER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}  # the other order of two bytes; N: the machine's


class UnfitError(ValueError):
    """An image's values cannot be made 8 bits; the message says why."""


def in_8_bits(values: np.ndarray, bit_depth: int = 16) -> np.ndarray:
    """Integers of up to `bit_depth` bits, or floats, of any shape, as uint8. Pillow's own conversion clips them: most images
    become white.

    Raises:
        UnfitError: for values that are not finite, negative or too large; of a bit depth below 16, one in a hundred may be.
    """
    if not np.isfinite(values).all():
        raise UnfitError("holds NaN or infinite values")
    low, high, is_float = values.min(), values.max(), values.dtype.kind == "f"
    largest = 255 if is_float else 2**bit_depth - 1
    is_cut = bit_depth < 16 and not is_float and (values > largest).mean() <= MOST_BEYOND
    if low < 0 or (high > largest and not is_cut):
        why = f", the {bit_depth} bits that the model reads" * (bit_depth < 16 and not is_float)
        raise UnfitError(f"values from {low:g} to {high:g} lie outside 0 to {largest}{why}; rescale it")
    scale = (255 if high <= 1 else 1) if is_float else 255 / largest
    return np.rint(np.minimum(values, largest) * np.float64(scale)).astype(np.uint8)


def all_bits(image: Image.Image, file: BinaryIO) -> np.ndarray:
    """The values of an image of 16 bits, (H, W) or (H, W, 3 or 4), that was opened from `file`, as they are stored.

    Pillow reads the upper byte of each colour; with the bytes named in the other order, it reads the lower one.
    """
    if image.mode.startswith("I"):
        return np.array(image)
    lower = Image.open(file, formats=(str(image.format),))
    lower.tile = [tile._replace(args=_exchanged(tile.args)) for tile in lower.tile]
    high = np.array(image, np.uint16)
    return (high << 8) | np.array(lower, np.uint16)


def _exchanged(arguments: Any) -> Any:
    """A decoder's arguments, of which the stored mode is the first or all, with the two bytes in the other order."""
    mode, *rest = [arguments] if isinstance(arguments, str) else arguments
    mode = mode[:-1] + OTHER[mode[-1]]
    return mode if isinstance(arguments, str) else (mode, *rest)


def with_depth(image: Image.Image, file: BinaryIO, bit_depth: int) -> Image.Image:
    """An image in colours of 16 bits, opened from `file` and not loaded, with its colours in 8 bits by `bit_depth`."""
    values = all_bits(image, file)
    pixels = np.array(image)  # alpha stays as it is
    pixels[..., :3] = in_8_bits(values[..., :3], bit_depth)
    image.paste(Image.fromarray(pixels))  # into the same image, which knows its orientation
    return image


def has_16_bits(image: Image.Image) -> bool:
    """Whether an opened image stores integers of more than 8 bits, in grey or colours (grey with alpha is read in 8 alone)."""
    stored = stored_mode(image)
    return image.mode.startswith("I") or (";16" in stored and stored.startswith("RGB"))
