"""The distance up to which two pictures are called the same, chosen on validation and kept in the file, with what is known of
it. NumPy alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resnets.errors import InputError
from resnets.measures.verification import Pairs, counted, measurable, quantiles, threshold_at

FAR = 0.01  # unless another is asked for


def decide(found: Pairs, num_identities: int, distance: str, far: float | None) -> dict[str, Any]:
    """The decision that a saved file keeps; {} where there are not both kinds of pairs.

    Args:
        found: of the validation split.
        far: the false accept rate that is wanted; None: `FAR`, or the least that so many pairs can tell.

    Raises:
        InputError: where so few pairs of different identities cannot tell `far`.
    """
    num = found.num_impostor
    if far is not None and not measurable(far, num):
        raise InputError(
            f"far={far:g} takes {1 / far:,.0f} pairs of different identities in validation, and there are {num:,}; add "
            "identities there, or give a greater one"
        )
    if not found.num_genuine or not num:
        return {}
    wanted = max(FAR, 1 / num) if far is None else far
    threshold = threshold_at(found, wanted)
    count = counted(found, threshold)
    return {
        "threshold": threshold,
        "distance": distance,
        "far": wanted,
        "num_identities": num_identities,
        "num_genuine": count.num_genuine,
        "num_impostor": count.num_impostor,
        "false_accepts": count.false_accepts,
        "false_rejects": count.false_rejects,
        "quantiles": dict(quantiles(found)),
    }


def threshold_of(decision: Mapping[str, Any]) -> float | None:
    """The threshold of a model; None where none was chosen. Raises `InputError` where a file holds something else."""
    value = decision.get("threshold")
    if value is None:
        return None
    if type(value) not in (int, float) or not abs(value) <= 1e300:
        raise InputError("the model's file holds a threshold that is no distance; it is damaged, use another copy")
    return float(value)
