"""What outputs mean, in words that JSON can hold: one function a task. Numpy only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from resnets.spec import InputError


def of(task: str, outputs: np.ndarray, labels: Sequence[str], topk: int) -> list[dict[str, Any]]:
    """One plain result for each picture of a batch, from the outputs (N, ...) of a network for `task`."""
    if task not in RESULTS:
        raise InputError(f"there is no task {task!r}; this version has: {', '.join(RESULTS)}")
    return RESULTS[task](outputs, labels, topk)


def classify(outputs: np.ndarray, labels: Sequence[str], topk: int) -> list[dict[str, Any]]:
    """{"label", "index", "probability", "top": [{"label", "index", "probability"}, ...]}, the likeliest first.

    Outputs are logits (N, num_classes). Of classes that are equally likely, the one with the lower index comes first.
    """
    logits = outputs.astype(np.float32)
    probabilities = np.exp(logits - logits.max(1, keepdims=True))
    probabilities /= probabilities.sum(1, keepdims=True)
    indices = np.argsort(-probabilities, axis=1, kind="stable")[:, :topk]
    results = []
    for row, index in zip(np.take_along_axis(probabilities, indices, 1).tolist(), indices.tolist(), strict=True):
        top = [{"label": labels[i], "index": i, "probability": round(p, 6)} for p, i in zip(row, index, strict=True)]
        results.append({**top[0], "top": top})
    return results


RESULTS: dict[str, Callable[[np.ndarray, Sequence[str], int], list[dict[str, Any]]]] = {"classify": classify}
