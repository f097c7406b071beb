"""Segmentation: a class for each pixel, or voxel.

Outputs are logits (N, num_classes, *size); targets of training are int64 (N, *size) with `IGNORE` where nothing is known, those
of evaluation `Truth`s. An answer is an array of class indices (H, W) or (D, H, W), uint8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from resnets.data.millimetres import AUTO
from resnets.data.spacings import gridded
from resnets.data.targets import background_of
from resnets.data.types import Samples, Source, Split
from resnets.draw.panels import Panel
from resnets.engine.values import Criterion, Design, Explained, PublishedAs, Question, ReportTable, Run, Score, Settings
from resnets.errors import InputError
from resnets.models.answering import Wanted
from resnets.models.header import Header
from resnets.models.spec import ResNetSpec
from resnets.models.zoo import Named
from resnets.tasks import averages, explained
from resnets.tasks.dense.task import Dense
from resnets.tasks.segment import rows, volumes
from resnets.tasks.segment.settings import LOSSES, PLANNED, RECIPES, SURFACE_TOLERANCE, SegmentSettings

if TYPE_CHECKING:
    from torch import Tensor, nn

    from resnets.data.preprocess import Preprocess
    from resnets.tasks.segment.meter import SegmentMeter


def usual_head(spec: ResNetSpec) -> str:
    """The head that is taken where none is named."""
    return "deep_unet" if spec.name == PLANNED else "unet"


class Segment(Dense):
    """See `engine.contract.Task`."""

    name = "segment"
    kind = "masks"
    settings = SegmentSettings
    recipes = RECIPES
    published = PublishedAs("image-segmentation")
    wanted: tuple[str, ...] = ()
    rows = rows
    scores = (Score("miou", "mIoU"), Score("pixel_accuracy", "pixel accuracy"), Score("dice", "Dice"))
    report_table = ReportTable(rows.REPORT_COLUMNS, rows.FACTS)
    of_classes = ("head.logits.", "aux.logits.")
    dims = (2, 3)
    averages = True

    def open(self, data: str, asked: Settings, *, in_chans: int | None, data_dir: str | Path | None) -> Source:
        source = super().open(data, asked, in_chans=in_chans, data_dir=data_dir)
        return source if source.dims == 2 else gridded(source, asked.get("spacing", AUTO))

    def design(self, asked: Settings, source: Source, header: Header | None, named: Named) -> Design:
        if source.dims == 2:
            return super().design(asked, source, header, named)
        if not volumes.is_planned(asked, header):
            spec, _ = self._trunk(asked, source, header, named, {"dims": 3})
            before = header.preprocess.size if header is not None and spec.name == PLANNED else None
            return Design(spec, volumes.preprocess(source, volumes.patch_size(source, spec, asked.get("train_size") or before)))
        plan = volumes.planned(source, asked)
        spec, _ = self._trunk({**asked, "model": PLANNED}, source, header, named, {"dims": 3, **plan.changes})
        return Design(spec, volumes.preprocess(source, plan.size))

    def settle(
        self, recipe: Any, origins: Mapping[str, str], source: Source, design: Design, own: str
    ) -> dict[str, tuple[Any, str]]:
        volumes.check(recipe, source.dims)
        found = super().settle(recipe, origins, source, design, own)
        if source.dims == 3 and design.spec.name == PLANNED:
            found |= volumes.settled(recipe, origins, source, design, own)
        return found

    def preprocess(self, recipe: Any, design: Design, source: Source, bad: Any) -> Preprocess:
        if source.dims == 3:
            return volumes.prepared(design.preprocess, recipe, source, bad)
        return super().preprocess(recipe, design, source, bad)

    def inputs(self, recipe: Any, preprocess: Preprocess) -> str:
        return volumes.words(preprocess) if len(preprocess.size) == 3 else super().inputs(recipe, preprocess)

    def samples(
        self, split: Split, preprocess: Preprocess, num_classes: int, *, recipe: Any = None, device: Any = None
    ) -> Samples:
        if len(preprocess.size) == 2:
            return super().samples(split, preprocess, num_classes, recipe=recipe, device=device)
        return volumes.samples(split, preprocess, recipe, device)

    def notes(self, source: Source, recipe: Any, counts: np.ndarray, say: Callable[[str], None]) -> dict[str, int]:
        if source.dims == 3 and recipe.model == PLANNED:
            say(volumes.told(recipe, source))
        return super().notes(source, recipe, counts, say)

    # --- the network ---

    def head_config(self, spec: ResNetSpec, recipe: SegmentSettings, before: Mapping[str, Any]) -> dict[str, Any]:
        own = volumes.measuring(recipe) if spec.dims == 3 else {}
        return {"head": usual_head(spec)} | dict(before) | ({"head": recipe.head} if recipe.head else {}) | own

    def head(self, trunk: Any, config: Mapping[str, Any]) -> dict[str, nn.Module]:
        from resnets.tasks.segment.head import segmentation

        if unknown := config.keys() - {"head", "auxiliary", "surface_tolerance"}:
            raise InputError(f"a segmentation head has no setting {', '.join(sorted(unknown))}; it has head and auxiliary")
        made = str(config.get("head", usual_head(trunk.spec)))
        return segmentation(trunk.spec, made, auxiliary=bool(config.get("auxiliary")))

    def forward(self, model: Any, x: Tensor, targets: Any = None, *, quick: bool = False) -> Any:
        """Logits (N, num_classes, *size); in training, with an auxiliary head, a pair of them."""
        features = model.features(x)
        logits = model.head(features, x.shape[2:])
        if model.training and "aux" in model.head_names:
            return logits, model.aux(features, x.shape[2:])
        return logits

    def criterion(self, recipe: SegmentSettings, class_counts: np.ndarray) -> Criterion:
        return LOSSES[recipe.loss].make(recipe, class_counts)

    # --- answers ---

    def check_asked(self, header: Header, *, draw: bool, masks: bool) -> None:
        """All answers can be drawn, and are masks."""

    def infer(self, run: Run, pixels: Any, sizes: Sequence[tuple[int, ...]], header: Header) -> list[np.ndarray]:
        from resnets.tasks.segment.inference import classes_of

        return [classes_of(run, pixels[n : n + 1], tuple(size), header) for n, size in enumerate(sizes)]

    def averaged(self, outputs: Iterable[tuple[Any, tuple[int, ...]]]) -> np.ndarray:
        return averages.of_classes(outputs, places=True)

    def meter(self, labels: Sequence[str], config: Mapping[str, Any], *, quick: Criterion | None = None) -> SegmentMeter:
        from resnets.tasks.segment.meter import SegmentMeter

        return SegmentMeter(labels, quick=quick is not None, tolerance=config.get("surface_tolerance", SURFACE_TOLERANCE))

    def same(self, before: np.ndarray, after: np.ndarray) -> float:
        """The fraction of pixels with the same class."""
        return float((before == after).mean())

    def explained(self, output: np.ndarray, header: Header, question: Question) -> list[Explained]:
        """The pixels of a class together: the mean of their logits (Vinogradova et al. 2020, arXiv 2002.11434)."""
        labels, found = header.labels, output.argmax(0)
        if question.label is None:
            counts = np.bincount(found.reshape(-1), minlength=len(labels))
            counts[background_of(labels)] = 0
            named = [index for index in np.argsort(-counts, kind="stable").tolist() if counts[index]][: question.most]
        else:
            named = [explained.index_of(question.label, labels)]
        other = None if question.against is None else explained.index_of(question.against, labels)
        if other is not None and named:
            explained.different(named[0], other, labels)
            return [explained_region(labels, found == named[0], named[0], other)]
        return [explained_region(labels, found == index, index) for index in named]

    def draw(self, meter: SegmentMeter, split: Split, folder: Path) -> list[Path]:
        from resnets.tasks.segment import draw

        return draw.evaluation(meter, split, folder)

    def drawn(self, image: Any, answer: np.ndarray, labels: Sequence[str], wanted: Wanted, path: Path) -> Path:
        """Of a volume, the three planes with most of it."""
        from resnets.tasks.segment import draw, draw_volumes

        if answer.ndim == 3:
            return draw_volumes.segments(image.original, answer, labels, background_of(labels), path)
        return draw.segments(image, answer, labels, path)

    def masked(self, image: Any, answer: np.ndarray, labels: Sequence[str], wanted: Wanted, path: Path) -> Path:
        """Class indices in 8 bits as PNG; of a volume in the way of its file (NIfTI, DICOM SEG), in its place."""
        from resnets.tasks.dense.task import save_png

        if answer.ndim == 3:
            image.original.save_mask(answer, labels, path)
            return path
        return save_png(answer, path)

    def panel(self, source: Source, picture: np.ndarray, target: np.ndarray) -> Panel:
        from resnets.tasks.segment import draw

        return draw.panel(picture, target, source.background)

    def preview(self, source: Source, recipe: Any, preprocess: Preprocess, out: str | Path) -> Path:
        if source.dims == 2:
            return super().preview(source, recipe, preprocess, out)
        from resnets.tasks.segment import draw_volumes

        return draw_volumes.examples(
            source, volumes.samples(source.splits["train"], preprocess, recipe, None), out, seed=recipe.seed
        )


def explained_region(labels: Sequence[str], region: np.ndarray, index: int, other: int | None = None) -> Explained:
    """The logit of a class, less that of another, over the pixels (*size) that were given it; over all where none was."""
    share = float(region.mean())
    region = region if share else np.ones_like(region)
    name = f"{labels[index]} rather than {labels[other]}" if other is not None else labels[index]
    words = f"{share:.0%} of the image" if share else "found nowhere"

    def evidence(model: Any, x: Tensor) -> Tensor:
        import torch

        logits, chosen = model(x), torch.as_tensor(region, device=x.device)
        of = logits[:, index] if other is None else logits[:, index] - logits[:, other]
        return of[:, chosen].mean(1)

    def chance(logits: np.ndarray) -> float:
        from scipy.special import softmax

        if other is not None:
            return float(np.exp(-np.logaddexp(0, logits[other, region] - logits[index, region])).mean())
        return float(softmax(np.asarray(logits[:, region], np.float64), axis=0)[index].mean())

    lines = [np.flatnonzero(region.any(tuple(n for n in range(region.ndim) if n != axis))) for axis in range(region.ndim)]
    place = tuple(slice(int(line[0]), int(line[-1]) + 1) for line in lines) if share else None
    return Explained(f"{name} ({words})", index, evidence, chance, place)
