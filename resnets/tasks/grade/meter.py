"""The metric accumulator of grading."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resnets.data.types import Batch
from resnets.engine.contract import accumulate
from resnets.engine.values import NO_DECISION, Criterion, Decision, Outcomes, Sample
from resnets.measures.intervals import bootstrap, wilson
from resnets.models.answering import number_of
from resnets.models.nn.layers import precise
from resnets.tasks.grade import figures
from resnets.tasks.grade.answers import intervals, is_ordinal, probabilities, ranks, scaled, unscaled
from resnets.tasks.grade.losses import normalised
from resnets.tasks.image_level.kept import Kept
from resnets.tasks.means import plain


class GradeMeter:
    """See `engine.contract.Meter`. In training a quick one adds up errors and their squares; in validation answers are kept."""

    def __init__(self, labels: Sequence[str], config: Mapping[str, Any], *, quick: Criterion | None) -> None:
        self.labels, self.config, self.quick = list(labels), config, quick
        self.ordinal = is_ordinal(labels)
        self.scale = config.get("scale", "linear")
        self.sums: dict[str, Any] = {}
        self.decision: Decision = NO_DECISION

    def learn(self, outputs: Tensor, targets: Tensor) -> None:
        if self.ordinal:
            reached = torch.cumprod(outputs[:, 1:].float().sigmoid(), 1)
            true, said = targets.float(), reached.sum(1)  # the expected position
        else:
            mean, std = self.config.get("mean", 0.0), self.config.get("std", 1.0)
            true, said = normalised(targets.float(), mean, std, self.scale), outputs[:, 0].float()
        parts = {"squared_error": (said - true) ** 2, "sum": true, "squares": true**2, "num": torch.ones_like(true)}
        # A vector, so that the loop does not take its parts for losses.
        accumulate(self.sums, {"of_training": precise(torch.stack([part.sum() for part in parts.values()]))})

    def add(self, answers: Any, batch: Batch) -> None:
        """`answers`: (N, 1 + M), see `grade.answers`."""
        found = np.asarray(answers, np.float64)
        targets, positions = (each.cpu().numpy() for each in (batch.targets, batch.indices))
        accumulate(self.sums, {"kept": Kept(found, targets, positions)})
        if self.quick is not None:
            outputs = torch.from_numpy(found[:, 1:]).float()
            loss = self.quick(outputs, torch.from_numpy(targets))["loss"]
            accumulate(self.sums, {"loss": precise(loss) * len(found)})

    @property
    def kept(self) -> Kept:
        return self.sums["kept"].sorted()

    @property
    def truth(self) -> np.ndarray:
        """(N,) float64: the truths of what was kept, in the target's own units."""
        targets = self.kept.targets.astype(np.float64)
        return targets + float(self.labels[0]) if self.ordinal else targets

    @property
    def values(self) -> np.ndarray:
        """(N,) float64: the answers in the target's own units; of grades the expected ones."""
        return self.kept.answers[:, 0]

    @property
    def said(self) -> np.ndarray:
        """(N,) int64: positions of the answered grades."""
        return ranks(probabilities(self.kept.answers[:, 1:]))

    def intervals(self) -> tuple[np.ndarray, np.ndarray] | None:
        """(N,) and (N,): where the truths are to be expected, by the decision; None without one."""
        return intervals(self.values, self.labels, self.decision)

    def errors(self) -> np.ndarray:
        """(N,): |answer - truth| on the scale of the loss."""
        return np.abs(scaled(self.values, self.scale) - scaled(self.truth, self.scale))

    def result(self, num_images: int, groups: np.ndarray | None = None) -> Mapping[str, Any]:
        if "kept" not in self.sums:  # of training
            error, total, squares, num = self.sums["of_training"].tolist()
            spread = squares - total**2 / num
            return {"r2": 1 - error / spread if spread > 0 else 0.0}
        if self.quick is not None:
            score = figures.r2(self.truth, self.values)
            return {"r2": score if np.isfinite(score) else 0.0}
        groups = None if groups is None else groups[self.kept.positions]
        whole = figures.agreement(self.truth, self.values, groups) | self.baseline() | self.coverage(groups)
        if self.ordinal:
            whole |= figures.grades(self.kept.targets, self.said, self.labels, groups)
        whole |= {} if groups is None else {"num_groups": len(np.unique(groups))}
        return {"num_images": len(self.values), **whole, "labels": list(self.labels)}

    def baseline(self) -> dict[str, Any]:
        """The error of the same answer to every picture: the training split's mean, on the scale of the loss."""
        if "mean" not in self.config:
            return {"mae_of_mean": None}
        mean = float(unscaled(self.config["mean"], self.scale))
        return {"mae_of_mean": float(np.abs(self.truth - mean).mean())}

    def coverage(self, groups: np.ndarray | None) -> dict[str, Any]:
        """How many truths the prediction intervals hold, how many they were made to hold, and how wide they are."""
        found = self.intervals()
        if found is None:
            return dict.fromkeys(("coverage", "coverage_interval", "coverage_wanted", "mean_width"))
        low, high = found
        inside, num = (low <= self.truth) & (self.truth <= high), len(low)
        by_groups = None if groups is None else bootstrap(lambda at: float(inside[at].mean()), num, groups)
        return {
            "coverage": float(inside.mean()),
            "coverage_interval": by_groups or wilson(int(inside.sum()), num),
            "coverage_wanted": number_of(self.decision, "coverage"),
            "mean_width": float((high - low).mean()),
        }

    def sample(self) -> Sample:
        truth, values = self.truth, self.values
        return Sample("R2", self.kept.positions, lambda at: figures.r2(truth[at], values[at]))

    def outcomes(self) -> Outcomes:
        """Grades are put together by themselves, amounts by quarters of their range; an amount that is right to the last digit
        is rare, so that the half with the larger errors counts as wrong."""
        kept, truth, values, errors = self.kept, self.truth, self.values, self.errors()
        if self.ordinal:
            names, said = self.labels, self.said
            answers = [f"{names[grade]} (expected {value:.1f})" for grade, value in zip(said, values, strict=True)]
            sure, true = probabilities(kept.answers[:, 1:])[np.arange(len(said)), said], kept.targets.astype(np.int64)
            told = [names[grade] for grade in true]
            return Outcomes(kept.positions, errors, said != true, told, answers, sure, true, names, said)
        bounds = np.linspace(truth.min(), truth.max(), 5)
        codes, unknown = np.clip(np.searchsorted(bounds, truth, side="right") - 1, 0, 3), np.full(len(truth), np.nan)
        names = [f"{low:.4g} to {high:.4g}" for low, high in itertools.pairwise(bounds)]
        told, answers = ([f"{value:.4g}" for value in column] for column in (truth, values))
        return Outcomes(kept.positions, errors, errors > np.median(errors), told, answers, unknown, codes, names)

    def records(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """truth and answer; of grades also the expected one as value, and the probability of each as p_GRADE; low and high."""
        kept, truth, values, found = self.kept, self.truth, self.values, self.intervals()
        low, high = (values * np.nan, values * np.nan) if found is None else found
        chances, said = (probabilities(kept.answers[:, 1:]), self.said) if self.ordinal else (None, None)
        for number, position in enumerate(kept.positions.tolist()):
            row: dict[str, Any] = {"truth": float(truth[number]), "answer": float(values[number])}
            if chances is not None and said is not None:
                row = {"truth": self.labels[kept.targets[number]], "answer": self.labels[said[number]]}
                row |= {"value": float(values[number])}
                row |= {f"p_{label}": float(chance) for label, chance in zip(self.labels, chances[number], strict=True)}
            yield position, row | {name: plain(bound[number]) for name, bound in (("low", low), ("high", high))}
