"""Changes of images that do not change what is on them, at five strengths, as benchmarks of robustness use them. No torch.

The kinds and strengths are those of ImageNet-C, and for small images of CIFAR-10-C (Hendrycks and Dietterich 2019); rotation is
not among theirs. Images are uint8 (N, C, H, W), fitted as the network takes them.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

SMALL_SIDE = 64  # pixels
STRENGTHS = (1, 2, 3, 4, 5)
Change = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Corruption:
    """A row: how images are changed, and by how much at each strength.

    Args:
        change: (images, amount, random numbers) -> images.
        large, small: the amounts, for photographs and for images of up to `SMALL_SIDE` pixels.
        moves: whether what is on the image goes to another place, so that boxes and masks would not fit.
    """

    change: Change
    large: tuple[float, ...]
    small: tuple[float, ...]
    moves: bool = False

    def __call__(self, pixels: np.ndarray, strength: int, random: np.random.Generator) -> np.ndarray:
        amounts = self.small if max(pixels.shape[2:]) <= SMALL_SIDE else self.large
        return self.change(pixels, amounts[strength - 1], random)


def as_bytes(values: np.ndarray) -> np.ndarray:
    return values.round().clip(0, 255).astype(np.uint8)


def noise(pixels: np.ndarray, amount: float, random: np.random.Generator) -> np.ndarray:
    """Gaussian noise with this standard deviation, of a range of 1."""
    return as_bytes(pixels + 255 * amount * random.standard_normal(pixels.shape, np.float32))


def blur(pixels: np.ndarray, amount: float, random: np.random.Generator) -> np.ndarray:
    """A Gaussian blur with this standard deviation in pixels."""
    from scipy.ndimage import gaussian_filter

    return as_bytes(gaussian_filter(pixels.astype(np.float32), (0, 0, amount, amount), mode="reflect"))


def jpeg(pixels: np.ndarray, amount: float, random: np.random.Generator) -> np.ndarray:
    """Compressed as JPEG of this quality, and decoded; channels beyond the third stay."""
    changed = pixels.copy()
    for image, out in zip(pixels, changed, strict=True):
        shown = image[:3] if len(image) >= 3 else image[:1]
        file = io.BytesIO()
        Image.fromarray(np.squeeze(np.ascontiguousarray(shown.transpose(1, 2, 0)))).save(file, "JPEG", quality=int(amount))
        decoded = np.asarray(Image.open(file))
        out[: len(shown)] = decoded.reshape(*decoded.shape[:2], -1).transpose(2, 0, 1)
    return changed


def brightness(pixels: np.ndarray, amount: float, random: np.random.Generator) -> np.ndarray:
    """The value of each pixel's colour (HSV) greater by this part of the range; its hue and saturation stay."""
    colours = pixels[:, :3].astype(np.float32)
    value = colours.max(1, keepdims=True)
    lighter = (value + 255 * amount).clip(max=255)
    changed = pixels.copy()
    changed[:, :3] = as_bytes(np.where(value > 0, colours * (lighter / np.maximum(value, 1)), lighter))
    return changed


def rotation(pixels: np.ndarray, amount: float, random: np.random.Generator) -> np.ndarray:
    """Turned by this many degrees, each image to the left or to the right; corners are mirrored."""
    from scipy.ndimage import rotate

    ways = random.integers(0, 2, len(pixels)) * 2 - 1
    values = pixels.astype(np.float32)
    for way in (-1, 1):
        turned = ways == way
        if turned.any():
            values[turned] = rotate(values[turned], way * amount, (3, 2), reshape=False, order=1, mode="reflect")
    return as_bytes(values)


TURNS = (5, 10, 15, 20, 30)
CORRUPTIONS = {
    "noise": Corruption(noise, (0.08, 0.12, 0.18, 0.26, 0.38), (0.04, 0.06, 0.08, 0.09, 0.10)),
    "blur": Corruption(blur, (1, 2, 3, 4, 6), (0.4, 0.6, 0.7, 0.8, 1.0)),
    "JPEG": Corruption(jpeg, (25, 18, 15, 10, 7), (80, 65, 58, 50, 40)),
    "brightness": Corruption(brightness, (0.1, 0.2, 0.3, 0.4, 0.5), (0.05, 0.1, 0.15, 0.2, 0.3)),
    "rotation": Corruption(rotation, TURNS, TURNS, moves=True),
}
