"""Windows that slide over a picture or a volume which is larger than memory, and the blending of what was found in each.

Any number of axes; windows overlap, and what they say is averaged, with less weight towards their edges, where they see less
around.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Part = tuple[slice, ...]  # one slice an axis

EDGE = 1 / 8  # standard deviation of the weights as a share of the window, as in nnU-Net (arXiv 1809.10486) and MONAI
LEAST_WEIGHT = 1e-3  # of the largest; a pixel that only corners of windows see still needs one


def window_starts(length: int, window: int, overlap: float) -> list[int]:
    """Where windows begin along an axis: evenly spread from edge to edge, neighbours sharing at least `overlap` of them."""
    if not 0 <= overlap < 1:
        raise ValueError(f"overlap={overlap}; give a share of at least 0 and below 1")
    if length <= window:
        return [0]
    stride = max(1, int(window * (1 - overlap)))
    steps = math.ceil((length - window) / stride)
    return [step * (length - window) // steps for step in range(steps + 1)]


def windows(size: tuple[int, ...], window: tuple[int, ...], overlap: float = 0.5) -> list[Part]:
    """Windows that cover everything of `size`, the first axis slowest. They are of the size `window`, or of the picture's."""
    starts = [window_starts(length, part, overlap) for length, part in zip(size, window, strict=True)]
    parts = [min(length, part) for length, part in zip(size, window, strict=True)]
    return [
        tuple(slice(start, start + part) for start, part in zip(corner, parts, strict=True))
        for corner in itertools.product(*starts)
    ]


def window_weights(window: tuple[int, ...]) -> np.ndarray:
    """float32 of the shape `window`: a bell that is 1 in the middle, above 0 everywhere."""
    weights = np.ones((), dtype=np.float32)
    for length in window:
        distance = (np.arange(length) - (length - 1) / 2) / (length * EDGE)
        weights = weights[..., None] * np.exp(-(distance**2) / 2).astype(np.float32)
    return np.maximum(weights / weights.max(), LEAST_WEIGHT)


def blend(
    predict: Callable[[Part], Any],
    size: tuple[int, ...],
    window: tuple[int, ...],
    *,
    overlap: float = 0.5,
) -> Iterator[tuple[slice, np.ndarray]]:
    """The average of what `predict` says of each window, weighted by `window_weights`, slab by slab along the first axis.

    Args:
        predict: from a window's part of the whole to scores (K, *shape of the window).

    Yields:
        (rows, scores): float32 (K, len(rows), *rest of size); together they are the whole, in order. Only as many rows
        are kept as a window has.
    """
    parts = windows(size, window, overlap)
    weights = window_weights(tuple(part.stop - part.start for part in parts[0]))
    high = len(weights)
    sums: np.ndarray | None = None
    total = np.zeros((high, *size[1:]), dtype=np.float32)
    rows = [(start, list(group)) for start, group in itertools.groupby(parts, key=lambda part: part[0].start)]
    for (start, group), after in zip(rows, [*(start for start, _ in rows[1:]), size[0]], strict=True):
        for part in group:
            scores = np.asarray(predict(part), dtype=np.float32)
            if sums is None:
                sums = np.zeros((scores.shape[0], high, *size[1:]), dtype=np.float32)
            sums[:, :, *part[1:]] += scores * weights
            total[:, *part[1:]] += weights
        assert sums is not None
        done = after - start
        yield slice(start, after), sums[:, :done] / total[:done]
        for kept in (sums.swapaxes(0, 1), total):  # views, the first axis of which is the rows
            kept[: high - done] = kept[done:].copy()
            kept[high - done :] = 0
