"""Grading: a number or an ordered grade per picture. Outputs are (N, 1), in standard deviations of the target, or logits
(N, num_grades); targets numbers (N,) float32 in their own units, or positions of grades (N,) int64. An answer is a row of
`grade.answers`: the value in the target's own units, then the outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from resnets.data.splits import cut_as_trained
from resnets.data.types import KINDS, Source, Split
from resnets.engine.values import (
    Criterion,
    Design,
    Explained,
    Headline,
    PublishedAs,
    Question,
    ReportTable,
    Run,
    Score,
    Settings,
)
from resnets.errors import InputError
from resnets.models.header import Header
from resnets.models.spec import ResNetSpec
from resnets.tasks import explained
from resnets.tasks.grade import answers, rows
from resnets.tasks.grade.data import read
from resnets.tasks.grade.settings import ORDINAL, RECIPES, GradeSettings
from resnets.tasks.image_level.task import check_suits
from resnets.tasks.image_level.whole import WholePictures

if TYPE_CHECKING:
    from torch import Tensor

    from resnets.tasks.grade.meter import GradeMeter

COVERAGE = 0.9  # of prediction intervals, unless another is asked for


class Grade(WholePictures):
    """See `engine.contract.Task`."""

    name = "grade"
    settings = GradeSettings
    recipes = RECIPES
    published = PublishedAs(None, "regression")
    wanted: tuple[str, ...] = ()
    rows = rows
    scores = (Score("r2", "R2"),)
    report_table = ReportTable(
        rows.REPORT_COLUMNS, rows.FACTS, lambda result: Headline("mae", "mean absolute error", is_fraction=False)
    )

    # --- data and network ---

    def open(self, data: str, asked: Settings, *, in_chans: int | None, data_dir: str | Path | None) -> Source:
        target, loss, scale = asked.get("target"), asked.get("loss", "auto"), asked.get("target_scale", "linear")
        own: Any = {"in_chans": in_chans, "data_dir": data_dir, "dims": asked.get("dims")}
        source = read(data, target=target, loss=loss, scale=scale, labels=None, **own)
        if target not in (None, name_of(source)):
            raise InputError(f"target={target}: {source.name} has grades by its classes and no columns; leave it out")
        return source

    def open_for(self, header: Header, data: str, asked: Settings, *, data_dir: str | Path | None) -> Source:
        config = header.head
        source = read(
            data,
            target=str(config["target"]),
            loss=str(config["loss"]),
            scale=str(config["scale"]),
            in_chans=header.spec.in_chans,
            labels=header.labels,
            data_dir=data_dir,
            dims=header.spec.dims,
        )
        check_suits(source, header)
        return cut_as_trained(source, header.provenance.get("data", {}))

    def settle(
        self, recipe: Any, origins: Mapping[str, str], source: Source, design: Design, own: str
    ) -> dict[str, tuple[Any, str]]:
        if recipe.num_classes not in (None, len(source.labels)):
            raise InputError(f"num_classes={recipe.num_classes} is for classes, and here come from the data; leave it out")
        found = super().settle(recipe, origins, source, design, own)
        ordinal = answers.is_ordinal(source.labels)
        cut = self.cut(source, recipe).splits
        least = answers.least_validation(recipe.interval or COVERAGE)
        if recipe.interval is not None and len(cut["val"]) < least:
            images = KINDS[source.kind].images
            raise InputError(
                f"interval={recipe.interval:g} needs at least {least} validation {images}, and there are {len(cut['val'])}; "
                "give more, or leave it out"
            )
        scale = "linear" if ordinal else recipe.target_scale
        values = answers.scaled(truth(cut["train"], source.labels), scale)
        if not (std := float(values.std())):
            raise InputError(
                f"{source.name}: {name_of(source)} is the same in all of the training split; there is nothing to learn"
            )
        decided = {
            "loss": (ORDINAL if ordinal else "huber") if recipe.loss == "auto" else None,
            "target": name_of(source) if recipe.target is None else None,
            "target_mean": float(values.mean()) if recipe.target_mean is None else None,
            "target_std": std if recipe.target_std is None else None,
        }
        return found | {name: (value, "the data") for name, value in decided.items() if value is not None}

    def class_counts(self, split: Split, num_classes: int) -> np.ndarray:
        values = split.targets.values
        if values.dtype.kind in "iu":
            return np.bincount(values, minlength=num_classes)
        return np.array([len(values)] + [0] * (num_classes - 1), np.int64)

    def notes(self, source: Source, recipe: GradeSettings, counts: np.ndarray, say: Callable[[str], None]) -> dict[str, int]:
        values, labels = truth(source.splits["train"], source.labels), source.labels
        say(
            f"note     {recipe.target}: {values.min():g} to {values.max():g}, mean {values.mean():.4g}, standard deviation "
            f"{values.std():.4g}; guessing the median errs by {np.abs(values - np.median(values)).mean():.4g}"
        )
        if nobody := [label for label, count in zip(labels, counts, strict=False) if not count]:
            images, grades = KINDS[source.kind].images, ", ".join(nobody)
            say(f"note     none of the training {images} is of grade {grades}; nothing is learnt of it")
        return {}

    # --- the network ---

    def head_config(self, spec: ResNetSpec, recipe: Any, before: Mapping[str, Any]) -> dict[str, Any]:
        return super().head_config(spec, recipe, before) | {
            "loss": recipe.loss,
            "target": recipe.target,
            "scale": recipe.target_scale,
            "mean": recipe.target_mean,
            "std": recipe.target_std,
        }

    def guessing_loss(self, recipe: GradeSettings, class_counts: np.ndarray) -> float | None:
        """The squared error of guessing the mean is the variance, which targets are divided by."""
        return 1.0 if recipe.loss == "mse" else None

    # --- answers ---

    def infer(self, run: Run, pixels: Any, sizes: Sequence[tuple[int, ...]], header: Header) -> np.ndarray:
        outputs = run(pixels)
        if not isinstance(outputs, np.ndarray):  # a tensor of training
            outputs = outputs.float().cpu().numpy()
        return answers.of_outputs(outputs, header.labels, header.head)

    def meter(self, labels: Sequence[str], config: Mapping[str, Any], *, quick: Criterion | None = None) -> GradeMeter:
        from resnets.tasks.grade.meter import GradeMeter

        return GradeMeter(labels, config, quick=quick)

    def decide(self, meter: GradeMeter, asked: Settings) -> dict[str, Any]:
        """The half width of prediction intervals, on the scale of the loss; nothing where validation is too small."""
        share, errors = asked.get("interval") or COVERAGE, meter.errors()
        half = answers.half_width(errors, share)
        if half is None:
            return {}
        return {"coverage": share, "half_width": half, "scale": meter.scale, "num_images": len(errors)}

    def same(self, before: np.ndarray, after: np.ndarray) -> float:
        """1 for outputs that are as good as equal, in standard deviations or logits; else 0."""
        return float(np.abs(before[1:] - after[1:]).max() <= answers.CLOSE)

    def explained(self, output: np.ndarray, header: Header, question: Question) -> list[Explained]:
        if question.against is not None:
            raise InputError("--against is for classes, and here they are numbers on one scale; leave it out")
        value = float(answers.of_outputs(output[None], header.labels, header.head)[0, 0])
        if not answers.is_ordinal(header.labels):
            if question.label is not None:
                raise InputError("--class is for classes, and the model tells a number; leave it out")
            # By how many standard deviations it is above the mean of training; as a chance, the share of a normal distribution.
            chance = lambda outputs: explained.normal_share(outputs[0])  # noqa: E731
            return [explained.of_outputs(f"higher {header.labels[0]} ({value:.4g})", None, {0: 1.0}, chance)]
        median = int(answers.ranks(answers.probabilities(output)))
        rank = median if question.label is None else explained.index_of(question.label, header.labels)
        rank = max(rank, 1)  # to be at the lowest grade or above is certain

        def evidence(model: Any, x: Tensor) -> Tensor:
            """The logarithm of the probability of this grade or above."""
            from torch.nn.functional import logsigmoid

            return logsigmoid(model(x)[:, 1 : rank + 1]).sum(1)

        def chance_of(outputs: np.ndarray) -> float:
            return float(answers.probabilities(np.asarray(outputs, np.float64))[rank:].sum())

        return [Explained(f"{header.labels[rank]} or above {chance_of(output):.2f}", rank, evidence, chance_of)]

    def draw(self, meter: GradeMeter, split: Split, folder: Path) -> list[Path]:
        from resnets.tasks.grade import draw

        return draw.evaluation(meter, split.images, folder)

    def captions(self, source: Source, split: Split) -> list[str]:
        return [f"{value:g}" for value in truth(split, source.labels)]


def name_of(source: Source) -> str:
    """What the targets are called."""
    return str(next(iter(source.splits.values())).targets.name)


def truth(split: Split, labels: Sequence[str]) -> np.ndarray:
    """(N,) float64: the targets in their own units."""
    return split.targets.values.astype(np.float64) + (float(labels[0]) if answers.is_ordinal(labels) else 0.0)
