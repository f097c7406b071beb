"""Outputs of several networks, or for mirrored inputs, as those of one: the means of what they say in probabilities."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

LEAST = 1e-30  # probability that a logarithm is taken of
Outputs = Iterable[tuple[np.ndarray, tuple[int, ...]]]  # with the axes, from the last one, along which inputs were reversed


def of_classes(outputs: Outputs, *, places: bool = False) -> np.ndarray:
    """Of logits (N, num_classes, ...) the logarithms of the mean probabilities, which are logits of these.

    Args:
        places: the outputs are of places in the image, and are turned back.
    """
    total, num = np.zeros(1, np.float32), 0
    for logits, axes in outputs:
        found = np.array(np.flip(logits, axes) if places else logits, np.float32)
        found -= found.max(1, keepdims=True)
        np.exp(found, out=found)
        found /= found.sum(1, keepdims=True)
        total, num = np.add(total, found, out=found), num + 1
    return np.log(np.maximum(total / num, LEAST))


def of_labels(outputs: Outputs) -> np.ndarray:
    """Of logits (N, num_labels), each for itself, those of the mean probabilities."""
    every = [1 / (1 + np.exp(-np.float64(logits))) for logits, _ in outputs]
    mean = np.clip(np.mean(every, 0), LEAST, 1 - 1e-15)
    return np.log(mean / (1 - mean)).astype(np.float32)
