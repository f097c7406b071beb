"""Classification: one label per picture. Outputs are logits (N, num_classes), targets (N,) int64, or (N, num_classes) float32
where pictures were mixed. An answer is a row of logits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from resnets.data.types import KINDS, Source, Split
from resnets.engine.settings import answers_of
from resnets.engine.values import Criterion, Decision, Explained, Headline, PublishedAs, Question, ReportTable, Score, Settings
from resnets.measures import balance
from resnets.models.header import Header
from resnets.tasks import averages, explained
from resnets.tasks.classify import confidence, points, rows
from resnets.tasks.classify.settings import RECIPES, ClassifySettings
from resnets.tasks.image_level.settings import ImageLevelSettings
from resnets.tasks.image_level.task import ImageLevel

if TYPE_CHECKING:
    from resnets.tasks.classify.meter import ClassifyMeter


def headline(result: Mapping[str, Any]) -> Headline:
    """Of unbalanced classes accuracy says little."""
    return Headline("balanced_accuracy", "balanced accuracy") if result.get("unbalanced") else Headline("top1", "accuracy")


class Classify(ImageLevel):
    """See `engine.contract.Task`."""

    name = "classify"
    settings = ClassifySettings
    recipes = RECIPES
    published = PublishedAs("image-classification", "single_label_classification")
    wanted = ("topk",)
    averages = True
    rows = rows
    scores = (Score("top1", "accuracy", percent=True),)
    report_table = ReportTable(rows.REPORT_COLUMNS, rows.FACTS, headline)

    def cut(self, source: Source, recipe: ImageLevelSettings) -> Source:
        source = super().cut(source, recipe)
        asked, num = answers_of(recipe), len(source.splits["val"])
        confidence.check_size(num, asked)
        points.check(asked, source.labels, self.class_counts(source.splits["val"], len(source.labels)))
        return source

    def balances(self, recipe: ClassifySettings) -> bool:
        return recipe.balance == "sampler"

    def class_counts(self, split: Split, num_classes: int) -> np.ndarray:
        return np.bincount(split.targets.values, minlength=num_classes)

    def notes(self, source: Source, recipe: ClassifySettings, counts: np.ndarray, say: Callable[[str], None]) -> dict[str, int]:
        there, images = counts[counts > 0], KINDS[source.kind].images
        if there.max() > 5 * there.min() and recipe.balance == "none":
            say(f"note     classes have {there.min()} to {there.max()} {images}; --balance sampler or loss evens them out")
        val = self.class_counts(source.splits["val"], len(counts))
        if few := [f"{label} ({num})" for label, num in zip(source.labels, val, strict=False) if num < balance.FEW_TO_CHOOSE]:
            words = ", ".join(few[:5]) + f" and {len(few) - 5} more" * (len(few) > 5)
            say(f"note     validation is too small to choose by, with so few {images} of {words}; --val-fraction gives it more")
        for line in confidence.too_few(len(source.splits["val"]), answers_of(recipe)):
            say(f"note     {line}{'; --val-fraction gives it more' * ('fraction' in (source.cut or {}))}")
        return {}

    def guessing_loss(self, recipe: ClassifySettings, class_counts: np.ndarray) -> float | None:
        if recipe.loss != "ce" or recipe.balance != "none":
            return None
        shares = class_counts[class_counts > 0] / class_counts.sum()
        return float(-(shares * np.log(shares)).sum())

    # --- answers ---

    def meter(self, labels: Sequence[str], config: Mapping[str, Any], *, quick: Criterion | None = None) -> ClassifyMeter:
        from resnets.tasks.classify.meter import ClassifyMeter

        return ClassifyMeter(labels, quick=quick)

    def decide(self, meter: ClassifyMeter, asked: Settings) -> dict[str, Any]:
        outputs, targets, _ = meter.outputs
        logits, truth = outputs.numpy(), targets.numpy()
        own = confidence.decide(logits, truth, asked)
        return own | points.decide(confidence.scaled(logits, own), truth, meter.labels, asked)

    def revise(self, decision: Decision, asked: Settings) -> dict[str, Any]:
        return confidence.revise(decision, asked)

    def doubt(self, result: Mapping[str, Any], recipe: ClassifySettings) -> str:
        chance = max(row["support"] for row in result["per_class"]) / result["num_images"]
        if result["top1_interval"][0] > chance:
            return ""
        words = f"accuracy {result['top1']:.1%} is not clearly above chance: the commonest class alone is {chance:.1%}"
        more = "train more than the head, without --probe" if recipe.is_probe else "train longer"
        time = "the time was short: give a longer --time; then "
        mirror = "classes that differ by left and right need --hflip 0, for training mirrors images; else "
        first = time * (recipe.seconds is not None) + mirror * (recipe.hflip > 0)
        return f"{words}; {first}look at the labels (`resnets data preview`), or {more}"

    def averaged(self, outputs: Iterable[tuple[Any, tuple[int, ...]]]) -> np.ndarray:
        return averages.of_classes(outputs)

    def same(self, before: np.ndarray, after: np.ndarray) -> float:
        """1 for the same class, else 0."""
        return float(before.argmax() == after.argmax())

    def explained(self, output: np.ndarray, header: Header, question: Question) -> list[Explained]:
        labels, decision = header.labels, header.decision

        def scaled(logits: np.ndarray) -> np.ndarray:
            """(1, K), as the probabilities that `predict` tells are made of."""
            return confidence.scaled(logits[None], decision)

        said = int(points.answers(scaled(output), labels, decision)[0])
        index = said if question.label is None else explained.index_of(question.label, labels)
        if question.against is not None:
            other = explained.index_of(question.against, labels)
            return explained.rather(index, other, labels)
        chance = lambda logits: float(points.probability(scaled(logits), index)[0])  # noqa: E731
        return [explained.of_outputs(f"{labels[index]} {chance(output):.2f}", index, {index: 1.0}, chance)]

    def draw(self, meter: ClassifyMeter, split: Split, folder: Path) -> list[Path]:
        from resnets.tasks.classify import draw

        return draw.evaluation(*meter.outputs, meter.labels, split, folder, meter.decision)

    def captions(self, source: Source, split: Split) -> list[str]:
        return [source.labels[index] for index in split.targets.values]
