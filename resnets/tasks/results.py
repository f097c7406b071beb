"""Where the rows of each task come from, by its name. No torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from resnets.errors import InputError
from resnets.tasks.classify import rows as classify
from resnets.tasks.detect import rows as detect
from resnets.tasks.lines import Wanted
from resnets.tasks.segment import rows as segment

if TYPE_CHECKING:
    import numpy as np

ROWS: dict[str, ModuleType] = {"classify": classify, "detect": detect, "segment": segment}


def of(task: str, outputs: np.ndarray, labels: Sequence[str], topk: int) -> list[dict[str, Any]]:
    """One plain result for each picture of a batch, from the outputs (N, ...) of a network for `task`."""
    if task not in RESULTS:
        raise InputError(f"there is no task {task!r}; this version has: {', '.join(RESULTS)}")
    return [ROWS[task].row(answer, labels, Wanted(topk=topk)) for answer in outputs]


def detections(found: Any, labels: Sequence[str]) -> dict[str, Any]:
    return detect.row(found, labels, Wanted(threshold=0.0))


def classes(found: Any, labels: Sequence[str]) -> dict[str, Any]:
    return segment.row(found, labels, Wanted())


at_least = detect.at_least
RESULTS = ("classify",)
PLACES: dict[str, Callable[[Any, Sequence[str]], dict[str, Any]]] = {"detect": detections, "segment": classes}
