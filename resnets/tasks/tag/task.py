"""Tagging: any number of labels per picture, each there or not. Outputs are logits (N, num_labels), targets (N, num_labels)
float32. An answer is a row of logits; a label is named from a probability on that validation chose (`thresholds`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from resnets.data.types import KINDS, Source, Split
from resnets.engine.values import Criterion, Design, Explained, PublishedAs, Question, ReportTable, Score, Settings
from resnets.errors import InputError
from resnets.models.answering import Wanted
from resnets.models.header import Header
from resnets.tasks import averages, explained
from resnets.tasks.image_level.settings import ImageLevelSettings
from resnets.tasks.image_level.task import ImageLevel
from resnets.tasks.tag import rows, thresholds
from resnets.tasks.tag.settings import RECIPES, TagSettings

if TYPE_CHECKING:
    from resnets.tasks.tag.meter import TagMeter


class Tag(ImageLevel):
    """See `engine.contract.Task`."""

    name = "tag"
    kind = "tags"
    settings = TagSettings
    recipes = RECIPES
    published = PublishedAs("image-classification", "multi_label_classification")
    wanted = ("threshold",)
    averages = True
    rows = rows
    scores = (Score("map", "mAP"), Score("f1", "F1"))
    report_table = ReportTable(rows.REPORT_COLUMNS, rows.FACTS)

    def settle(
        self, recipe: ImageLevelSettings, origins: Mapping[str, str], source: Source, design: Design, own: str
    ) -> dict[str, tuple[Any, str]]:
        if recipe.num_classes not in (None, len(source.labels)):
            raise InputError(f"num_classes={recipe.num_classes}, and the list has {len(source.labels)} labels; leave it out")
        return super().settle(recipe, origins, source, design, own)

    def cut(self, source: Source, recipe: ImageLevelSettings) -> Source:
        cut = super().cut(source, recipe)
        there = cut.splits["val"].targets.values > 0.5
        if (there == there[:1]).all():
            from resnets.tasks.tag.meter import unmeasured

            raise InputError(f"{source.name}: {unmeasured(len(there))}")
        return cut

    def class_counts(self, split: Split, num_classes: int) -> np.ndarray:
        counts = np.zeros(num_classes, np.int64)
        counts[: split.targets.values.shape[1]] = (split.targets.values > 0.5).sum(0)
        return counts

    def notes(self, source: Source, recipe: TagSettings, counts: np.ndarray, say: Callable[[str], None]) -> dict[str, int]:
        num, labels = len(source.splits["train"]), source.labels
        if everywhere := [label for label, count in zip(labels, counts, strict=False) if count in (0, num)]:
            images, names = KINDS[source.kind].images, ", ".join(everywhere)
            say(f"note     all or none of the training {images} have {names}; nothing is learnt of that")
        return {}

    def guessing_loss(self, recipe: TagSettings, class_counts: np.ndarray) -> float | None:
        return None

    # --- answers ---

    def meter(self, labels: Sequence[str], config: Mapping[str, Any], *, quick: Criterion | None = None) -> TagMeter:
        from resnets.tasks.tag.meter import TagMeter

        return TagMeter(labels, quick=quick)

    def decide(self, meter: TagMeter, asked: Settings) -> dict[str, Any]:
        kept = meter.sums["kept"].sorted()
        return {} if asked["thresholds"] == "none" else thresholds.decide(kept.answers, kept.targets, meter.labels)

    def averaged(self, outputs: Iterable[tuple[Any, tuple[int, ...]]]) -> np.ndarray:
        return averages.of_labels(outputs)

    def same(self, before: np.ndarray, after: np.ndarray) -> float:
        """The fraction of labels that both say are there, or both say are not."""
        return float(((before > 0) == (after > 0)).mean())

    def explained(self, output: np.ndarray, header: Header, question: Question) -> list[Explained]:
        labels = header.labels
        if question.label is not None:
            named = [explained.index_of(question.label, labels)]
        else:
            row = rows.row(output, labels, Wanted(threshold=question.threshold, decision=header.decision))
            named = [label["index"] for label in row["labels"]][: question.most] or [int(output.argmax())]
        if question.against is not None:
            other = explained.index_of(question.against, labels)
            return explained.rather(named[0], other, labels)

        def one(index: int) -> Explained:
            chance = lambda logits: explained.sigmoid(logits[index])  # noqa: E731
            return explained.of_outputs(f"{labels[index]} {chance(output):.2f}", index, {index: 1.0}, chance)

        return [one(index) for index in named]

    def draw(self, meter: TagMeter, split: Split, folder: Path) -> list[Path]:
        from resnets.tasks.tag import draw

        return draw.evaluation(meter.sums["kept"].sorted(), meter.labels, meter.decision, split.images, folder)

    def captions(self, source: Source, split: Split) -> list[str]:
        return [rows.words(row > 0.5, source.labels) for row in split.targets.values]
