"""Images of any number of axes as small pictures, so that they stand wherever pictures are shown."""

from __future__ import annotations

from typing import Any

import numpy as np

from resnets.draw.lines import is_series, sketch

TAILS = (0.5, 99.5)  # percentiles of a slice that become black and white


def pictured(image: Any) -> np.ndarray:
    """A picture as it is, uint8 (H, W) or (H, W, C); of a series (C, L) its lines, uint8 (H, W, 3); of a volume, opened or as
    the input of a network (C, D, H, W), the slice in its middle, uint8 (H, W, 1)."""
    if hasattr(image, "drawn"):
        return image.drawn(image.shape[0] // 2)
    if is_series(image):
        return sketch(image)
    return slice_at(image, image.shape[1] // 2) if image.ndim == 4 else image


def slice_at(volume: np.ndarray, row: int) -> np.ndarray:
    """The slice `row` along the depth of an input (C, D, H, W), of its first channel: uint8 (H, W, 1), front at the top."""
    values = volume[0, row, ::-1, :, None]
    low, high = np.percentile(values, TAILS)
    return (255 * ((values - low) / max(high - low, 1e-12)).clip(0, 1)).round().astype(np.uint8)
