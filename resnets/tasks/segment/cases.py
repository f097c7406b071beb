"""Volumes case by case: Dice and surfaces as means over cases with intervals, and amounts in millilitres beside the truth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from resnets.measures.agreement import Agreement, agreement
from resnets.measures.intervals import central, draws
from resnets.tasks.means import plain, ratio
from resnets.tasks.segment.overlap import Measured

MEANS = {"dice_per_image": "dice", "surface_dice": "surface_dice", "hausdorff95_mm": "hausdorff95"}  # with intervals
MM3 = 1000  # in a millilitre


class Case(NamedTuple):
    """What was measured of a picture or volume, and the volume of its voxels in ml; None of a picture."""

    measured: Measured
    voxel_ml: float | None = None

    @property
    def ml(self) -> np.ndarray:
        """(2, C), of each class: predicted, true."""
        counts = self.measured.counts
        return np.stack([counts.sum(0), counts.sum(1)]) * (self.voxel_ml or np.nan)


def voxel_ml(spacing: Sequence[float]) -> float:
    """Of a voxel with sides in mm."""
    return float(np.prod(spacing)) / MM3


def agreements(
    cases: Sequence[Case], labels: Sequence[str], background: int | None, groups: np.ndarray | None
) -> dict[str, Agreement]:
    """By class without the background, how predicted millilitres agree with true ones, over the cases that have some of the
    class, true or predicted; of classes that a case has."""
    predicted, true = np.stack([case.ml for case in cases]).swapaxes(0, 1)
    found = {}
    for index, label in enumerate(labels):
        own = (predicted[:, index] + true[:, index]) > 0
        if index != background and own.any():
            of = None if groups is None else groups[own]
            found[label] = agreement(predicted[own, index], true[own, index], of)
    return found


def figures(cases: Sequence[Case], labels: Sequence[str], background: int | None, groups: np.ndarray | None) -> dict[str, Any]:
    """What an evaluation of volumes has beside `overlap.Result`: intervals of the means over cases, and of each class but the
    background its volumes.

    Args:
        groups: (N,) what each case belongs to, such as a patient; None: each to itself. Intervals are by these.

    Returns:
        {"dice_per_image_interval", ..., "per_class": [{the same, "num_cases", "true_ml", "predicted_ml": means over the cases
        that have the class, "bias_ml", "bias_ml_interval", "limits_ml": see `measures.agreement`}]}.
    """
    units = len(cases) if groups is None else len(np.unique(groups))
    shown = [index for index in range(len(labels)) if index != background]
    rows: list[dict[str, Any]] = [{} for _ in labels]
    found: dict[str, Any] = {"per_class": rows}
    for name, field in MEANS.items():
        scores = np.stack([getattr(case.measured, field) for case in cases])  # (N, C)
        if units < 2 or np.isnan(scores[:, shown]).all():
            continue
        drawn = draws(partial(_means_at, scores), len(cases), groups)  # (draws, C)
        found[f"{name}_interval"] = central(_means(drawn[:, shown].T))
        for index in shown:
            rows[index][f"{name}_interval"] = central(drawn[:, index])
    agreed = agreements(cases, labels, background, groups)
    for row, label in zip(rows, labels, strict=True):
        own = agreed.get(label)
        row |= {
            "num_cases": len(own.true) if own else 0,
            "true_ml": float(own.true.mean()) if own else None,
            "predicted_ml": float(own.measured.mean()) if own else None,
            "bias_ml": own.bias if own else None,
            "bias_ml_interval": own.bias_interval if own else None,
            "limits_ml": own.limits if own else None,
        }
    return found


def _means_at(scores: np.ndarray, at: np.ndarray) -> np.ndarray:
    return _means(scores[at])


def _means(scores: np.ndarray) -> np.ndarray:
    """Over the first axis, without what is NaN."""
    return ratio(np.nansum(scores, 0), (~np.isnan(scores)).sum(0))


def record(case: Case, labels: Sequence[str], background: int | None) -> Iterator[tuple[str, Any]]:
    """The columns that predictions.csv has of a volume beside those of a picture, class by class without the background."""
    predicted, true = case.ml
    for index, label in enumerate(labels):
        if index != background:
            yield f"surface_dice_{label}", plain(case.measured.surface_dice[index])
            yield f"hausdorff95_mm_{label}", plain(case.measured.hausdorff95[index])
            yield f"ml_true_{label}", float(true[index])
            yield f"ml_predicted_{label}", float(predicted[index])


def merged(result: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """An evaluation with `figures`, class by class."""
    rows = [dict(row) | own for row, own in zip(result["per_class"], more["per_class"], strict=True)]
    return {**result, **more, "per_class": rows}
