"""How images look, in numbers: what a model's answers may depend on though it should not. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from resnets.data.types import Split

# What is measured, and what its smallest and greatest quarter are called.
LOOKS = {
    "brightness": ("darkest", "brightest"),
    "contrast": ("flattest", "strongest"),
    "sharpness": ("most blurred", "sharpest"),
    "size": ("smallest", "largest"),
}
SIDE = 256  # an input with a longer side is measured on every second, third ... pixel


def looks(pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Of images uint8 (N, C, H, W), of which the first three channels count: brightness, the mean (0 to 255); contrast, the
    standard deviation; and sharpness, the variance of the Laplacian of the grey image (Pech-Pacheco et al. 2000). (N,) each."""
    grey = pixels[:, :3].mean(1, dtype=np.float32)
    inner = grey[:, 1:-1, 1:-1]
    laplacian = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:] - 4 * inner
    flat = grey.reshape(len(grey), -1)
    sharpness = laplacian.reshape(len(grey), -1).var(1) if inner.size else np.zeros(len(grey), np.float32)
    return {"brightness": flat.mean(1), "contrast": flat.std(1), "sharpness": sharpness}


class Seen:
    """What an evaluation saw of a split: the looks of each image as the network takes it, by its position."""

    def __init__(self) -> None:
        self.parts: list[tuple[np.ndarray, dict[str, np.ndarray]]] = []

    def __call__(self, batch: Any) -> None:
        """Note a batch; those of volumes, which are no pictures, are let pass."""
        pixels = batch.images.numpy()
        if pixels.dtype == np.uint8 and pixels.ndim == 4:
            self.parts.append((batch.indices.numpy(), looks(pixels)))

    def of(self, positions: np.ndarray) -> dict[str, np.ndarray]:
        """The looks of images by their positions (N,), NaN of those not seen; nothing where none were."""
        if not self.parts:
            return {}
        where, found = np.concatenate([at for at, _ in self.parts]), {}
        for name in self.parts[0][1]:
            values = np.full(max(where.max(), positions.max(initial=0)) + 1, np.nan)
            values[where] = np.concatenate([part[name] for _, part in self.parts])
            found[name] = values[positions]
        return found


def sizes(split: Split, positions: np.ndarray) -> np.ndarray:
    """The pixels (N,) of stored images, from their headers; NaN where they cannot be read. Empty where images are arrays, which
    are of one size."""
    images = split.images
    if not hasattr(images, "headers") or images.groups is not None:
        return np.zeros(0)
    values = np.full(len(images), np.nan)
    for index, picture in images.headers(len(images)):
        values[index] = picture.width * picture.height
    return values[positions]


def properties(split: Split, positions: np.ndarray, seen: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """All that images may be sliced by: (name, values (N,)), numbers or text: their looks, the group, the columns of a list."""
    yield from seen.items()
    area = sizes(split, positions)
    if len(area):
        yield "size", area
    if split.groups is not None:
        yield "group", split.groups[positions]
    for name, column in split.columns.items():
        yield name, column[positions]
