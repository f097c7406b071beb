"""What outputs mean, in words that JSON can hold: one function a task. Numpy only.

`RESULTS` are of tasks with one answer for a picture; `PLACES` of those that say where things are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from resnets.errors import InputError

if TYPE_CHECKING:
    from resnets.data.targets import Detections


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


def at_least(found: Detections, threshold: float) -> Detections:
    """Those with a score of `threshold` or more."""
    kept = found.scores >= threshold
    fields = {name: value for name, value in vars(found).items() if value is not None}
    return dataclasses.replace(found, **{name: value[kept] for name, value in fields.items()})


def detect(found: Detections, labels: Sequence[str]) -> dict[str, Any]:
    """{"objects": [{"label", "index", "score", "box"}]}, the surest first, boxes as [x0, y0, x1, y1], in pixels, half-open."""
    columns = (found.labels.tolist(), found.scores.tolist(), found.xyxy.tolist())
    objects = [
        {"label": labels[label], "index": label, "score": round(score, 6), "box": [round(side, 2) for side in box]}
        for label, score, box in zip(*columns, strict=True)
    ]
    return {"objects": objects}


def segment(found: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
    """{"classes": [{"label", "index", "share"}]}: what is in the picture or volume, by its share of it. `found`: class indices
    (H, W) or (D, H, W)."""
    each = (np.bincount(row.reshape(-1), minlength=len(labels)) for row in found)  # row by row, for it takes 8 bytes a pixel
    counts = sum(each, np.zeros(len(labels), np.int64))
    order = [index for index in np.argsort(-counts, kind="stable").tolist() if counts[index]]
    shares = [{"label": labels[index], "index": index, "share": round(float(counts[index]) / found.size, 6)} for index in order]
    return {"classes": shares}


PLACES: dict[str, Callable[[Any, Sequence[str]], dict[str, Any]]] = {"detect": detect, "segment": segment}
