"""What tasks with one answer per picture share: their settings, data, inputs and network. Torch comes when it is needed."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnets.data import splits
from resnets.data.pictures.images import StoredImages
from resnets.data.preprocess import FREE, Preprocess
from resnets.data.sources import open_source
from resnets.data.types import Samples, Source, Split
from resnets.engine.contract import Criterion, Decision, Design, Run, Settings, Wanted
from resnets.engine.recipe import SMALL, Recipe, changed_spec, need_weights, spec_changes
from resnets.engine.settings import fields_of
from resnets.errors import InputError
from resnets.models.header import Header
from resnets.models.spec import ResNetSpec
from resnets.models.zoo import Named
from resnets.plugins import table
from resnets.tasks.image_level.settings import RESIZE, ImageLevelSettings
from resnets.tasks.inputs import scaled, with_statistics

if TYPE_CHECKING:
    from torch import Tensor


LINEAR = "linear"  # the head that there is without a word


class ImageLevel(ABC):
    """A task with one answer per picture, and all inputs of one size (abstract). See `engine.contract.Task`."""

    name: str
    kind = "classes"
    settings: type[ImageLevelSettings]
    of_classes: tuple[str, ...] = ("fc.", "head.")
    runtimes: tuple[str, ...] = ("torch", "onnxruntime", "openvino")
    formats: tuple[str, ...] = ("torch", "onnx", "openvino", "html")
    outputs = ("outputs",)
    one_process = False
    own_size = False
    embeds = False
    dims: tuple[int, ...] = (2,)
    map_method = (
        "gradcam"  # behind global pooling all positions have one gradient: LayerCAM would leave out what speaks against
    )
    counts_head = True

    # --- data and network ---

    def default_recipe(self, asked: Settings) -> tuple[str, str]:
        return ("finetune", "the weights") if asked.get("weights") else ("fast", "default")

    def open(self, data: str, asked: Settings, *, in_chans: int | None, data_dir: str | Path | None) -> Source:
        return open_source(data, self.kind, data_dir=data_dir, in_chans=in_chans, leave_out=no_labels(asked))

    def open_for(self, header: Header, data: str, asked: Settings, *, data_dir: str | Path | None) -> Source:
        if asked.get("ignore_index") is not None:
            raise InputError(f"ignore_index is for masks, and the model is for the task {self.name}; leave it out")
        trained = header.provenance.get("data", {})
        own: dict[str, Any] = {
            "in_chans": header.spec.in_chans,
            "labels": header.labels,
            "unnamed": header.unnamed,
            "leave_out": no_labels(asked, trained),
        }
        return splits.cut_as_trained(open_source(data, self.kind, data_dir=data_dir, **own), trained)

    def design(self, asked: Settings, source: Source, header: Header | None, named: Named) -> Design:
        """The network and the size of its input; new, or that of a saved model with its preprocessing."""
        changes: dict[str, Any] = {"in_chans": source.in_chans} | spec_changes(asked)
        if header is not None:
            from resnets.models.pretrained.adapting import rule_for

            preprocess = rule_for(header.preprocess, source.in_chans)
            if preprocess.resize in FREE:  # of a task whose inputs keep their shape; here all have one size
                preprocess = dataclasses.replace(preprocess, resize="crop", size=(min(preprocess.size),) * 2)
            own = {name: asked[name] for name in RESIZE if asked.get(name) is not None}
            if asked.get("img_size") is not None:
                own["size"] = (asked["img_size"],) * 2
            return Design(changed_spec(header, asked, changes), dataclasses.replace(preprocess, **own))
        name, size = asked.get("model", "auto"), asked.get("img_size")
        height, width = picture_size(source) if size is None else (size, size)
        if name == "auto":
            name = "resnet20_cifar" if max(height, width) <= SMALL else "resnet18"
        spec = named(name, **changes)
        if size is None and max(height, width) > SMALL:  # larger than they are, pictures cost more and show no more
            height = width = min(spec.img_size, max(96, 32 * round(min(height, width) / 32)))
        neutral = (0.5,) * source.in_chans
        return Design(spec, Preprocess(size=(height, width), mean=neutral, std=neutral))

    def one_size(self, source: Source) -> bool:
        return True

    def most_pixels(self, source: Source, design: Design) -> int:
        return 0

    def settle(
        self, recipe: ImageLevelSettings, origins: Mapping[str, str], source: Source, design: Design, own: str
    ) -> dict[str, tuple[Any, str]]:
        if design.spec.in_chans == 4 and recipe.auto_augment != "none":
            raise InputError(f"auto_augment={recipe.auto_augment} knows grey and colour pictures; use none with 4 channels")
        if recipe.is_probe:
            need_weights(recipe, "probe", (False,))
        found: dict[str, tuple[Any, str]] = {}
        preprocess, (height, width) = design.preprocess, design.preprocess.size
        if recipe.weights:
            open_yet = [name for name in RESIZE if origins[name] in ("default", own)]
            found |= {name: (getattr(preprocess, name), "the weights") for name in open_yet}
        if height == width and (recipe.img_size is None or recipe.weights):
            by_whom = "the weights" if recipe.weights else "the data" if max(height, width) <= SMALL else "the network"
            found["img_size"] = (height, by_whom)
        return found

    def cut(self, source: Source, recipe: ImageLevelSettings) -> Source:
        if recipe.folds is None and recipe.fold is None:
            return splits.cut_val(source, recipe.val_fraction, recipe.seed)
        if recipe.folds is None or recipe.fold is None or recipe.fold > recipe.folds:
            raise InputError(f"folds={recipe.folds}, fold={recipe.fold}: a single run is one fold, such as fold=1 of folds=5")
        return splits.cut_fold(source, recipe.folds, recipe.fold, recipe.seed)

    def preprocess(self, recipe: ImageLevelSettings, design: Design, source: Source, bad: Any) -> Preprocess:
        if recipe.weights:
            return design.preprocess
        size = design.preprocess.size if recipe.img_size is None else (recipe.img_size, recipe.img_size)
        rule = {name: getattr(recipe, name) for name in RESIZE}
        preprocess = dataclasses.replace(design.preprocess, size=size, **rule)
        return with_statistics(preprocess, recipe, recipe.normalise, source, bad)

    def inputs(self, recipe: ImageLevelSettings, preprocess: Preprocess) -> str:
        height, width = preprocess.size
        cut = f" {preprocess.crop_pct:.3g}" * (preprocess.resize == "crop")
        return scaled(f"{height} x {width}, {preprocess.resize}{cut}", recipe, recipe.normalise, preprocess)

    def samples(
        self,
        split: Split,
        preprocess: Preprocess,
        num_classes: int,
        *,
        recipe: ImageLevelSettings | None = None,
        device: Any = None,
    ) -> Samples:
        from resnets.data.batches.image_level import CPU, PictureSamples

        device = device or CPU
        if recipe is None:
            return PictureSamples(split=split, preprocess=preprocess, num_classes=num_classes, device=device)
        return PictureSamples(
            split=split,
            preprocess=preprocess,
            num_classes=num_classes,
            augment=augmentation(recipe),
            train_size=None if recipe.train_size is None else (recipe.train_size, recipe.train_size),
            seed=recipe.seed,
            balance=self.balances(recipe),
            repeats=recipe.repeats,
            device=device,
            grow_from=recipe.grow_from,
        )

    def balances(self, recipe: Any) -> bool:
        """Whether every class is to be drawn equally often."""
        return False

    def keep(
        self, source: Source, recipe: ImageLevelSettings, folder: Path, say: Callable[[str], None]
    ) -> tuple[Source, str | None]:
        from resnets.data import cache

        shown = recipe.batch_size * recipe.accumulate * (recipe.steps or 0)
        several = recipe.time is not None or (recipe.epochs or 0) > 1 or shown > len(source.splits["train"])
        kept, line = cache.keep(
            recipe.cache,
            {name: source.splits[name] for name in ("train", "val")},
            again=several and not recipe.is_probe,
            workers=recipe.workers or 0,
            folder=folder,
            say=say,
        )
        return dataclasses.replace(source, splits={**source.splits, **kept}), line

    def check_counts(self, source: Source, counts: Any) -> None:
        """Nothing to say: the readers refuse data of which there is nothing to learn."""
        return

    # --- the network ---

    def head_config(self, spec: ResNetSpec, recipe: Recipe, before: Mapping[str, Any]) -> dict[str, Any]:
        name = getattr(recipe, "head", None) or before.get("head", LINEAR)
        return {} if name == LINEAR else {"head": name}

    def head(self, trunk: Any, config: Mapping[str, Any]) -> dict[str, Any]:
        made = table("head", self.name)[str(config.get("head", LINEAR))].make(trunk.spec)
        return made if isinstance(made, dict) else {"head": made}

    def forward(self, model: Any, x: Tensor, targets: Any = None, *, quick: bool = False) -> Any:
        y: Any = model.features(x)
        for name in model.head_names:
            y = getattr(model, name)(y)
        return y

    def criterion(self, recipe: Any, class_counts: Any) -> Criterion:
        return table("loss", self.name)[recipe.loss].make(recipe, class_counts)

    # --- answers ---

    def infer(self, run: Run, pixels: Any, sizes: Sequence[tuple[int, ...]], header: Header) -> Any:
        """The outputs (N, ...) as the runtime gives them: an answer is a row."""
        return run(pixels)

    def decide(self, meter: Any, asked: Settings) -> dict[str, Any]:
        return {}

    def revise(self, decision: Decision, asked: Settings) -> dict[str, Any]:
        return dict(decision)

    def doubt(self, result: Mapping[str, Any], recipe: Any) -> str:
        return ""

    def map_layers(self, model: Any) -> dict[str, int]:
        if not hasattr(model, "map_layers"):
            raise InputError(
                "another library's network has no stages that are known here; name a --layer, or use another method"
            )
        return model.map_layers()

    def check_asked(self, header: Header, *, draw: bool, masks: bool) -> None:
        if draw or masks:
            raise InputError(
                f"--draw and --masks are for models that find boxes or masks, and this one is for the task {self.name}; leave "
                "them out"
            )

    def drawn(self, image: Any, answer: Any, labels: Sequence[str], wanted: Wanted, path: Path) -> Path:
        raise AssertionError("refused by check_asked")

    def masked(self, image: Any, answer: Any, labels: Sequence[str], wanted: Wanted, path: Path) -> Path:
        raise AssertionError("refused by check_asked")

    def preview(self, source: Source, recipe: ImageLevelSettings, preprocess: Preprocess, out: str | Path) -> Path:
        from resnets.tasks.image_level import preview

        samples: Any = self.samples(source.splits["train"], preprocess, len(source.labels), recipe=recipe)
        captions = self.captions(source, source.splits["train"])
        return preview.preview(source, samples, captions, out, seed=recipe.seed)

    @abstractmethod
    def captions(self, source: Source, split: Split) -> Sequence[str]:
        """What is known of each picture, in a few words."""


def no_labels(*given: Settings) -> list[str]:
    """The column that pictures are grouped by, if it is one: it is no label."""
    return [settings["group_by"] for settings in given if settings.get("group_by")]


def picture_size(source: Source) -> tuple[int, int]:
    """(H, W) of every picture; of files, the typical shorter side twice (224 where no picture can be read)."""
    if source.size is not None:
        return source.size
    images = source.splits["train"].images
    side = (images.short_side() if isinstance(images, StoredImages) else None) or 224
    return side, side


def augmentation(recipe: ImageLevelSettings) -> Any:
    """What training does to pictures."""
    from resnets.data.transforms import Augment

    smallest, largest = recipe.crop_scale
    return Augment(
        crop=recipe.crop,
        pad=recipe.crop_pad,
        scale=(smallest, largest),
        hflip=recipe.hflip,
        auto_augment=recipe.auto_augment,
        random_erase=recipe.random_erase,
        **{name: getattr(recipe, name) for name in ("mixup", "cutmix") if name in fields_of(type(recipe))},
    )
