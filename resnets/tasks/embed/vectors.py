"""What an embedding is, by the settings of the head: its size, whether it has length 1, and how two are compared. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from resnets.errors import InputError, is_whole
from resnets.files import short

if TYPE_CHECKING:
    import numpy as np

MAX_SIZE = 65_536
LEAST = 1e-12  # of a length


def size_of(config: Mapping[str, Any], num_features: int) -> int:
    """How many numbers an embedding has; without a size it is the pooled features themselves, `num_features`. Raises
    `InputError` where a file holds something else."""
    size = config.get("size", num_features)
    if not is_whole(size) or not 1 <= size <= MAX_SIZE:
        raise InputError(f"the model's header is damaged: size={short(repr(size))} is no number of features; use another copy")
    return int(size)


def distance_of(config: Mapping[str, Any]) -> str:
    """How two embeddings are compared. Raises `InputError` for what is not known."""
    from resnets.measures.neighbours import METRICS

    kind = config.get("distance", METRICS[0])
    if kind not in METRICS:
        raise InputError(f"the model's header is damaged: distance={short(repr(kind))} is not known; use another copy")
    return str(kind)


def answers(outputs: np.ndarray, config: Mapping[str, Any]) -> np.ndarray:
    """(N, D) float32: the outputs of the network, brought to length 1 where the model says so."""
    import numpy as np

    found = np.asarray(outputs, np.float32)
    if not config.get("normalised", True):
        return found
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), LEAST)
