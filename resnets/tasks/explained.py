"""What the tasks share where an answer is explained: classes by name, and numbers that are made of logits. NumPy alone."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from resnets.engine.contract import Explained
from resnets.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor


def index_of(name: str, labels: Sequence[str]) -> int:
    """The index of a class by its name, or its name in other capitals. Raises `InputError` that names those most like it."""
    if name in labels:
        return list(labels).index(name)
    folded = [label.casefold() for label in labels]
    if folded.count(name.casefold()) == 1:
        return folded.index(name.casefold())
    near = (
        difflib.get_close_matches(name.casefold(), folded, n=3) or [label for label in folded if name.casefold() in label][:3]
    )
    known = [labels[folded.index(each)] for each in near] or list(labels[:8])
    words = "did you mean" if near else "it has"
    more = " ..." * (not near and len(labels) > len(known))
    raise InputError(f"the model has no class '{name}'; {words} {', '.join(known)}{more}{'?' * bool(near)}")


def sigmoid(value: Any) -> float:
    """The probability of a logit."""
    return float(np.exp(-np.logaddexp(0, -np.float64(value))))


def normal_share(value: Any) -> float:
    """The share of a standard normal distribution that lies below a value."""
    from scipy.special import ndtr

    return float(ndtr(np.float64(value)))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of logits (K, ...), along the first axis; float64."""
    shifted = np.exp(np.asarray(logits, np.float64) - logits.max(0))
    return shifted / shifted.sum(0)


def output(index: int) -> Any:
    """The evidence that is one output: (N, K) -> (N,)."""

    def evidence(model: Any, x: Tensor) -> Tensor:
        return model(x)[:, index]

    return evidence


def rather(one: int, other: int, labels: Sequence[str]) -> list[Explained]:
    """Why one class and not the other, and the reverse: by the difference of their logits."""

    def of(a: int, b: int) -> Explained:
        def evidence(model: Any, x: Tensor) -> Tensor:
            logits = model(x)
            return logits[:, a] - logits[:, b]

        return Explained(f"{labels[a]} rather than {labels[b]}", a, evidence, lambda logits: sigmoid(logits[a] - logits[b]))

    return [of(one, other), of(other, one)]


def different(one: int, other: int, labels: Sequence[str]) -> None:
    """Raise `InputError` where the two classes are the same."""
    if one == other:
        raise InputError(f"'{labels[one]}' against itself: name two classes by --class and --against")
