"""What the tasks share where an answer is explained: classes by name, and numbers that are made of logits. NumPy alone."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from resnets.engine.values import Explained
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
    from scipy.special import expit

    return float(expit(np.float64(value)))


def normal_share(value: Any) -> float:
    """The share of a standard normal distribution that lies below a value."""
    from scipy.special import ndtr

    return float(ndtr(np.float64(value)))


def of_outputs(name: str, label: int | None, weights: Mapping[int, float], chance: Callable[[Any], float]) -> Explained:
    """What is said by a sum of outputs (N, K): index -> factor."""

    def evidence(model: Any, x: Tensor) -> Tensor:
        outputs = model(x)
        return sum((factor * outputs[:, index] for index, factor in weights.items()), outputs.new_zeros(len(outputs)))

    return Explained(name, label, evidence, chance, weights=weights)


def rather(one: int, other: int, labels: Sequence[str]) -> list[Explained]:
    """Why one class and not the other, and the reverse: by the difference of their logits.

    Raises:
        InputError: where the two are the same.
    """
    different(one, other, labels)

    def of(a: int, b: int) -> Explained:
        chance = lambda logits: sigmoid(logits[a] - logits[b])  # noqa: E731
        return of_outputs(f"{labels[a]} rather than {labels[b]}", a, {a: 1.0, b: -1.0}, chance)

    return [of(one, other), of(other, one)]


def different(one: int, other: int, labels: Sequence[str]) -> None:
    """Raise `InputError` where the two classes are the same."""
    if one == other:
        raise InputError(f"'{labels[one]}' against itself: name two classes by --class and --against")
