"""From outputs to answers: numbers in the target's own units, or the probabilities of ordered grades. NumPy alone.

An answer is float64 (1 + M,): the value, then the network's M outputs. Of a number M is 1, in standard deviations from the mean
of the training split. Of K grades M is K, and the value is the expected grade: output k is the logit of being at grade k or
above, if not below grade k - 1. For the lowest that is certain, so the first output is not used; the others are CORN's K - 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from resnets.errors import InputError
from resnets.files import short
from resnets.models.answering import number_of
from resnets.tasks.grade.settings import ORDINAL

MOST = 80.0  # of log(1 + value), so that an untrained network's answers stay finite
CLOSE = 0.02  # outputs that differ by no more than this are the same answer
Z95 = 1.959964


def is_ordinal(labels: Sequence[str]) -> bool:
    """Whether answers are grades: a number has one name, that of the target."""
    return len(labels) > 1


def scaled(values: Any, scale: str) -> Any:
    """Values (N,) on the scale of the loss: as they are, or log(1 + value)."""
    return np.log1p(values) if scale == "log" else values


def unscaled(values: Any, scale: str) -> Any:
    """The reverse of `scaled`; what was learnt on the log scale is not negative."""
    return np.expm1(np.clip(values, 0, MOST)) if scale == "log" else values


def of_outputs(outputs: np.ndarray, labels: Sequence[str], config: Mapping[str, Any]) -> np.ndarray:
    """The answers (N, 1 + M) of outputs (N, M).

    Args:
        labels: names of the grades, or that of the target.
        config: the head's: "loss", and "mean", "std" and "scale" of the target.
    """
    outputs = np.asarray(outputs, np.float64)
    if config.get("loss") == ORDINAL:
        value = expected(probabilities(outputs), labels)
    else:
        value = unscaled(
            outputs[:, 0] * number_of(config, "std", 1.0) + number_of(config, "mean", 0.0), config.get("scale", "linear")
        )
    return np.concatenate([value[:, None], outputs], 1)


def probabilities(logits: np.ndarray) -> np.ndarray:
    """(..., K) of each grade, from logits (..., K): the product of the first k conditional probabilities is that of being at
    grade k or above (Shi, Cao and Raschka 2021, arXiv 2111.08851, section 3.3)."""
    conditional = 1 / (1 + np.exp(-np.clip(logits, -700, 700)))
    conditional[..., 0] = 1
    reached = np.cumprod(conditional, -1)
    return reached - np.concatenate([reached[..., 1:], 0 * reached[..., :1]], -1)


def expected(chances: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """(...): the expected grade, from the probabilities (..., K)."""
    return chances @ grades(labels)


def grades(labels: Sequence[str]) -> np.ndarray:
    """(K,): the grades as numbers. Raises `InputError` where a model's header holds others."""
    try:
        return np.array(labels, np.float64)
    except ValueError:
        raise InputError(f"the model's header is damaged: its grades {short(labels)} are no numbers; copy it again") from None


def ranks(chances: np.ndarray) -> np.ndarray:
    """(...) int64: the position of the grade that is answered, the median of the probabilities (..., K): as many grades as it
    is above with more than one half (the same paper, equation 6)."""
    return (1 - np.cumsum(chances, -1)[..., :-1] > 0.5).sum(-1)


def half_width(errors: np.ndarray, share: float) -> float | None:
    """What |error| is exceeded by at most 1 - `share` of new pictures like these: split conformal prediction's quantile, the
    ceil((N + 1) share)-th smallest of N (Lei et al. 2018, arXiv 1604.04173, algorithm 2). None where N is too small."""
    rank = math.ceil(round((len(errors) + 1) * share, 9))
    return float(np.sort(errors)[rank - 1]) if rank <= len(errors) else None


def least_validation(share: float) -> int:
    """How many pictures such a quantile needs."""
    return next(num for num in range(1, 10_000) if math.ceil(round((num + 1) * share, 9)) <= num)


def intervals(values: np.ndarray, labels: Sequence[str], decision: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray] | None:
    """The prediction intervals (N,) and (N,) around values (N,), by what the task decided; None without such."""
    if "half_width" not in decision:
        return None
    middle, width = scaled(values, decision.get("scale", "linear")), number_of(decision, "half_width")
    low, high = middle - width, middle + width
    if is_ordinal(labels):
        first, *_, last = grades(labels)
        return np.clip(low, first, last), np.clip(high, first, last)
    return unscaled(low, decision.get("scale", "linear")), unscaled(high, decision.get("scale", "linear"))
