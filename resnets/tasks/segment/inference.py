"""From pixels to class indices: large images through a sliding window, in memory for a few rows at a time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from resnets.data.geometry import nearest
from resnets.engine.values import Run
from resnets.models.header import Header
from resnets.tasks.dense.task import as_array
from resnets.tasks.segment.head import resized
from resnets.tasks.segment.windows import blend

WHOLE = 2**21  # pixels (voxels) up to which an input goes through the network at once; above, a window slides over it
WINDOW = {1: 2**16, 2: 1024, 3: 96}  # its side, by the number of axes; of volumes at least that of the patches of training


def classes_of(run: Run, x: Any, whole: tuple[int, ...], header: Header) -> np.ndarray:
    """The class indices (*whole), uint8, of the image with pixels x (1, C, *size)."""
    window: int | tuple[int, ...] = window_side(header)
    most = WHOLE
    if is_of_patches(header):
        run, window, most = filled(run, header.preprocess.size), header.preprocess.size, 0
    slabs = [scores.argmax(0).astype(np.uint8) for _, scores in logits_of(run, x, whole, window, most)]
    return np.concatenate(slabs)


def is_of_patches(header: Header) -> bool:
    """Whether the model is to see as much at once as a patch of training, no less and no more: its norms take their statistics
    from what it sees, and it has learnt with those of patches, zeros around small volumes included."""
    return getattr(header.spec, "norm", "") == "instance" and header.spec.dims == 3


def filled(run: Run, size: tuple[int, ...]) -> Run:
    """`run` for pixels (1, C, *less) that are filled up with zeros to `size`, as in training; the scores are of the pixels."""

    def of_filled(x: Any) -> Any:
        sides = [
            (max(0, side - length) // 2, -(-max(0, side - length) // 2)) for side, length in zip(size, x.shape[2:], strict=True)
        ]
        inside = tuple(slice(low, low + length) for (low, _), length in zip(sides, x.shape[2:], strict=True))
        if isinstance(x, np.ndarray):
            return run(np.pad(x, [(0, 0), (0, 0), *sides]))[:, :, *inside]
        return run(F.pad(x, [edge for side in reversed(sides) for edge in side]))[:, :, *inside]

    return of_filled


def logits_of(
    run: Run, x: Any, whole: tuple[int, ...], window: int | tuple[int, ...], most: int | None = None
) -> Iterator[tuple[slice, np.ndarray]]:
    """Scores (C, rows, *rest of `whole`) slab by slab along the first axis, for pixels x (1, in_chans, *size).

    What is larger than `most`, or `WHOLE`, is seen through a sliding window; only as many rows as that has are in memory then.
    """
    size = tuple(x.shape[2:])
    if math.prod(size) <= (WHOLE if most is None else most):
        yield from enlarged(torch.as_tensor(run(x)).float(), whole)
        return
    windows = (window,) * len(size) if isinstance(window, int) else window

    def look(part: tuple[slice, ...]) -> np.ndarray:
        return as_array(run(x[:, :, *part]))[0]

    if size == tuple(whole):
        yield from blend(look, size, windows)
        return
    if len(size) == 3:
        yield from stretched(blend(look, size, windows), size, whole)
        return
    # Brought to its own size a slab at a time, as nearest pixels: at such sizes a linear border would not be seen.
    rows, *rest = (nearest(before, after) for before, after in zip(size, whole, strict=True))
    for part, scores in blend(look, size, windows):
        own = np.flatnonzero((rows >= part.start) & (rows < part.stop))
        if len(own):
            yield slice(int(own[0]), int(own[-1]) + 1), scores[np.ix_(np.arange(len(scores)), rows[own] - part.start, *rest)]


def stretched(
    slabs: Iterable[tuple[slice, np.ndarray]], size: tuple[int, ...], whole: tuple[int, ...]
) -> Iterator[tuple[slice, np.ndarray]]:
    """Scores (C, *size), slab by slab along the first axis, as `resized` brings them to `whole`: as soon as the rows are there
    that a row lies between."""
    above, below, share = between(size[0], whole[0])
    high, done = max(1, WHOLE // math.prod(whole[1:])), 0
    kept: np.ndarray | None = None
    for part, scores in slabs:
        rows = scores if kept is None else np.concatenate([kept, scores], 1)
        first = part.stop - rows.shape[1]
        ready = int(np.searchsorted(below, part.stop))
        while done < ready:
            own = slice(done, min(done + high, ready))
            weights = share[own].reshape(-1, *[1] * (len(size) - 1))
            mixed = rows[:, above[own] - first] * (1 - weights) + rows[:, below[own] - first] * weights
            yield own, resized(torch.from_numpy(mixed)[None], (own.stop - own.start, *whole[1:]))[0].numpy()
            done = own.stop
        kept = rows[:, -1:].copy()


def between(before: int, after: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each of `after` rows the two of `before` that it lies between, and the share of the latter, float32."""
    middles = ((np.arange(after) + 0.5) * (before / after) - 0.5).clip(0, before - 1)
    above = middles.astype(int)
    return above, np.minimum(above + 1, before - 1), (middles - above).astype(np.float32)


def window_side(header: Header) -> int:
    """The side of the window through which the model sees what is larger than `WHOLE`."""
    side, patch = WINDOW[header.spec.dims], header.preprocess.size
    return max(side, *patch) if len(patch) == 3 else side


def enlarged(logits: Tensor, whole: tuple[int, ...]) -> Iterator[tuple[slice, np.ndarray]]:
    """The logits (1, C, *size) as `resized` brings them to `whole`, so many rows at a time as `WHOLE` allows."""
    before, after = logits.shape[2], whole[0]
    high = max(1, WHOLE // math.prod(whole[1:]))
    if tuple(logits.shape[2:]) == tuple(whole) or high >= after:
        yield slice(0, after), resized(logits, whole)[0].cpu().numpy()
        return
    yield from stretched([(slice(0, before), logits[0].cpu().numpy())], tuple(logits.shape[2:]), whole)
