"""Embedding: a vector per picture, near to those of the same identity (a person, an animal, a thing) and far from others', of
identities too that were not trained on. The model's classes are the identities of training, which it has a vector each of for
the losses by a margin. Outputs are embeddings (N, D), in training with such a loss cosines (N, num_identities); targets are
indices (N,) int64, in evaluation names (N,). An answer is the embedding (D,), of length 1 where the model says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from resnets.data import identities
from resnets.data.preprocess import Preprocess
from resnets.data.types import Samples, Source, Split
from resnets.engine.values import (
    Criterion,
    Decision,
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
from resnets.tasks.embed import rows, threshold, vectors
from resnets.tasks.embed.settings import AUGMENT, EMBEDDING, MARGIN, RECIPES, EmbedSettings
from resnets.tasks.image_level.whole import WholePictures

if TYPE_CHECKING:
    from torch import Tensor

    from resnets.tasks.embed.meter import EmbedMeter

IDENTITIES = "identities"  # the module with a vector for each identity of training
CLOSE = 3  # digits to which cosines agree where two runtimes give the same embedding


class Embed(WholePictures):
    """See `engine.contract.Task`."""

    name = "embed"
    kind = "identities"
    settings = EmbedSettings
    recipes = RECIPES
    published = PublishedAs("image-feature-extraction")
    of_classes = (f"{IDENTITIES}.",)
    wanted: tuple[str, ...] = ()
    rows = rows
    embeds = True
    formats = ("torch", "onnx", "openvino")
    counts_head = False
    scores = (Score("map_at_r", "mAP@R"), Score("auc", "AUC of pairs"))
    report_table = ReportTable(
        rows.REPORT_COLUMNS,
        rows.FACTS,
        lambda result: (
            Headline("map_at_r", "mAP@R") if result.get("accuracy") is None else Headline("accuracy", "verification accuracy")
        ),
    )

    # --- data and network ---

    def open(self, data: str, asked: Settings, *, in_chans: int | None, data_dir: str | Path | None) -> Source:
        source = super().open(data, asked, in_chans=in_chans, data_dir=data_dir)
        identities.check_apart(source)
        return source

    def open_for(self, header: Header, data: str, asked: Settings, *, data_dir: str | Path | None) -> Source:
        source = super().open(data, asked, in_chans=header.spec.in_chans, data_dir=data_dir)
        return identities.cut_as_trained(source, header.provenance.get("data", {}), header.labels)

    def settle(
        self, recipe: Any, origins: Mapping[str, str], source: Source, design: Design, own: str
    ) -> dict[str, tuple[Any, str]]:
        if recipe.num_classes is not None:
            raise InputError(f"num_classes={recipe.num_classes} is for classes, and here are identities; leave it out")
        found = super().settle(recipe, origins, source, design, own)
        by_whom = f"augment {recipe.augment}"
        wishes = {name: value for name, value in AUGMENT[recipe.augment].items() if origins[name] in ("default", own)}
        if design.spec.in_chans == 4:
            wishes.pop("auto_augment", None)
        found |= {name: (value, by_whom) for name, value in wishes.items()}
        return found | self.batch(recipe, origins["batch_size"] in ("default", own), self.cut(source, recipe))

    def batch(self, recipe: Any, free: bool, source: Source) -> dict[str, tuple[Any, str]]:
        """The batch of P identities with K pictures, smaller where there are not so many and the user did not ask for it."""
        each, size, num = recipe.per_identity, recipe.batch_size, len(source.labels)
        if each == 1:
            return {}
        if free:
            fitting = each * max(2, min(size // each, num))
            return {} if fitting == size else {"batch_size": (fitting, "the data")}
        if size % each:
            raise InputError(
                f"batch_size={size} is no multiple of per_identity={each}, the pictures of each identity in a batch; give "
                f"{max(1, size // each) * each}, or --per-identity 1"
            )
        if size // each > num:
            raise InputError(
                f"batch_size={size} with per_identity={each} takes {size // each} identities, and training has {num}; give at "
                f"most {num * each}"
            )
        if size // each < 2 and recipe.loss not in MARGIN:
            raise InputError(
                f"batch_size={size} has {each} pictures of one identity, and loss={recipe.loss} compares; give more"
            )
        return {}

    def cut(self, source: Source, recipe: Any) -> Source:
        if recipe.folds is None and recipe.fold is None:
            found = identities.cut(source, recipe.val_fraction, recipe.seed)
        elif recipe.folds is None or recipe.fold is None or recipe.fold > recipe.folds:
            raise InputError(f"folds={recipe.folds}, fold={recipe.fold}: a single run is one fold, such as fold=1 of folds=5")
        else:
            found = identities.cut_fold(source, recipe.folds, recipe.fold, recipe.seed)
        return identities.of_training(found)

    def samples(
        self, split: Split, preprocess: Preprocess, num_classes: int, *, recipe: Any = None, device: Any = None
    ) -> Samples:
        from resnets.data.batches.image_level import PictureSamples
        from resnets.tasks.embed.samples import IdentitySamples

        own: Any = super().samples(split, preprocess, num_classes, recipe=recipe, device=device)
        assert isinstance(own, PictureSamples)
        fields = {name: getattr(own, name) for name in PictureSamples.__dataclass_fields__}
        return IdentitySamples(**fields, per_identity=1 if recipe is None else recipe.per_identity)

    def class_counts(self, split: Split, num_classes: int) -> np.ndarray:
        return np.bincount(split.targets.values, minlength=num_classes)[:num_classes]

    def notes(self, source: Source, recipe: EmbedSettings, counts: np.ndarray, say: Callable[[str], None]) -> dict[str, int]:
        parts = ", ".join(f"{name} {len(np.unique(split.targets.values)):,}" for name, split in source.splits.items())
        say(f"note     identities: {parts}; none stands in more than one split")
        if (alone := int((counts == 1).sum())) and recipe.loss not in MARGIN:
            say(f"note     {alone} of {len(counts)} training identities have one picture, which makes no pair of the same")
        return {}

    # --- the network ---

    def head_config(self, spec: ResNetSpec, recipe: Any, before: Mapping[str, Any]) -> dict[str, Any]:
        """What an embedding is ("size", "normalised", "distance"), and what the network has beside it ("neck", "loss"). Without
        all that, as in a network that was not trained for this, it is the pooled features, brought to length 1."""
        size, neck = recipe.embedding or before.get("size", EMBEDDING), before.get("neck", True)
        return {"size": size, "normalised": True, "distance": "cosine", "neck": neck, "loss": recipe.loss}

    def head(self, trunk: Any, config: Mapping[str, Any]) -> dict[str, Any]:
        from torch import nn

        from resnets.models.nn.heads import GlobalPool
        from resnets.tasks.embed.losses import Cosines

        spec, size = trunk.spec, vectors.size_of(config, trunk.spec.num_features)
        head: dict[str, Any] = {"avgpool": GlobalPool()}
        if "size" in config:
            head["fc"] = nn.Linear(spec.num_features, size)
        if config.get("neck"):  # pooled features are positive: their cosines are, until their mean is taken off
            head["neck"] = nn.BatchNorm1d(size, affine=False)
        if config.get("loss") in MARGIN and spec.num_classes:
            head[IDENTITIES] = Cosines(size, spec.num_classes)
        return head

    def forward(self, model: Any, x: Tensor, targets: Any = None, *, quick: bool = False) -> Any:
        y: Any = model.features(x)
        for name in model.head_names:
            if name != IDENTITIES or targets is not None:
                y = getattr(model, name)(y)
        return y

    def guessing_loss(self, recipe: EmbedSettings, class_counts: np.ndarray) -> float | None:
        return None

    # --- answers ---

    def infer(self, run: Run, pixels: Any, sizes: Sequence[tuple[int, ...]], header: Header) -> np.ndarray:
        found = run(pixels)
        if not isinstance(found, np.ndarray):  # a tensor of training
            found = found.float().cpu().numpy()
        return vectors.answers(found, header.head)

    def meter(self, labels: Sequence[str], config: Mapping[str, Any], *, quick: Criterion | None = None) -> EmbedMeter:
        from resnets.tasks.embed.meter import EmbedMeter

        return EmbedMeter(config, quick=quick is not None)

    def decide(self, meter: EmbedMeter, asked: Settings) -> dict[str, Any]:
        found, people = meter.pairs, meter.kept.targets
        return threshold.decide(found, len(np.unique(people)), meter.distance, asked.get("far"))

    def revise(self, decision: Decision, asked: Settings) -> dict[str, Any]:
        if asked.get("far") is not None:
            raise InputError("far is chosen on labelled pictures, by `resnets train` or `resnets calibrate`; leave it out")
        return dict(decision)

    def same(self, before: np.ndarray, after: np.ndarray) -> float:
        """The cosine, 0 where it is negative."""
        lengths = float(np.linalg.norm(before) * np.linalg.norm(after))
        return round(max(0.0, float(before @ after) / max(lengths, 1e-12)), CLOSE)

    def explained(self, output: np.ndarray, header: Header, question: Question) -> list[Explained]:
        if question.label is not None or question.against is not None:
            raise InputError("--class and --against are for classes, and the model embeds; leave them out")
        vector = output / max(float(np.linalg.norm(output)), 1e-12)

        def evidence(model: Any, x: Tensor) -> Tensor:
            """The cosine to the embedding of the picture as it is."""
            import torch
            from torch.nn.functional import normalize

            return normalize(model(x)) @ torch.as_tensor(vector, dtype=x.dtype, device=x.device)

        def chance(outputs: np.ndarray) -> float:
            found = np.asarray(outputs, np.float64)
            return float(np.clip(found @ vector / max(float(np.linalg.norm(found)), 1e-12), 0, 1))

        return [Explained("its own embedding", None, evidence, chance)]

    def draw(self, meter: EmbedMeter, split: Split, folder: Path) -> list[Path]:
        from resnets.tasks.embed import draw

        return draw.evaluation(meter, split.images, folder)

    def preview(self, source: Source, recipe: Any, preprocess: Preprocess, out: str | Path) -> Path:
        return super().preview(source, _in_any_order(recipe), preprocess, out)

    def captions(self, source: Source, split: Split) -> list[str]:
        return split.targets.by_name.tolist()


def _in_any_order(recipe: Any) -> Any:
    """The recipe without batches of P x K, which show some pictures twice and others not."""
    import dataclasses

    return dataclasses.replace(recipe, per_identity=1)
