"""The probability from which a label is named: of each label one, chosen on validation and kept in the file. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from resnets.errors import InputError

if TYPE_CHECKING:
    import numpy as np

HALF = 0.5  # of a label without a threshold of its own
LEAST = 5  # validation pictures with a label, below which they do not support a threshold


def decide(outputs: np.ndarray, targets: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
    """The decision that a saved file keeps: {"thresholds": {label: probability}, "unsupported": {label: its positives}}.

    A threshold is that of the best F1 on these pictures, in the middle between the outputs that it parts (in logits); of
    several the one nearest 0.5. A label that fewer than `LEAST` of them have, or all, is unsupported, and keeps 0.5.

    Args:
        outputs: logits (N, C).
        targets: (N, C) in [0, 1].
    """
    true = targets > 0.5
    num_positives = true.sum(0).tolist()
    supported = [LEAST <= num < len(true) for num in num_positives]
    chosen = {labels[i]: best_f1(outputs[:, i], true[:, i]) for i, enough in enumerate(supported) if enough}
    return {
        "thresholds": chosen,
        "unsupported": {labels[i]: num_positives[i] for i, enough in enumerate(supported) if not enough},
    }


def best_f1(outputs: np.ndarray, true: np.ndarray) -> float:
    """The threshold for the logits (N,) of one label: a probability."""
    import numpy as np
    from sklearn.metrics import precision_recall_curve

    precision, recall, cuts = precision_recall_curve(true, outputs.astype(np.float64))
    precision, recall = precision[:-1], recall[:-1]  # the last are of naming none
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    scores = np.unique(outputs.astype(np.float64))  # ascending
    below = scores[np.maximum(np.searchsorted(scores, cuts) - 1, 0)]
    middles = (cuts + below) / 2
    best = np.flatnonzero(f1 >= f1.max() - 1e-12)
    return float(probabilities(middles[best[np.abs(middles[best]).argmin()]]))


def probabilities(outputs: Any) -> np.ndarray:
    """Of logits; float64."""
    import numpy as np

    return np.exp(-np.logaddexp(0, -np.asarray(outputs, np.float64)))


def of_labels(decision: Mapping[str, Any], labels: Sequence[str]) -> np.ndarray:
    """(C,): the threshold of each label. Raises `InputError` where a file holds something else."""
    import numpy as np

    kept = decision.get("thresholds", {})
    values: list[Any] = [kept.get(label, HALF) if isinstance(kept, Mapping) else None for label in labels]
    if any(type(value) not in (int, float) or not 0 <= value <= 1 for value in values):
        raise InputError("the model's file holds thresholds that are no probabilities; it is damaged, or give --threshold")
    return np.array(values, np.float64)
