"""What detection and segmentation share: their settings, data, inputs that keep their shape, and the worst images."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resnets.data import splits
from resnets.data.check.labels import check_labels
from resnets.data.pictures.images import BadPicture
from resnets.data.pictures.resize import mean_array
from resnets.data.pictures.stored import StoredImages
from resnets.data.preprocess import FREE, Preprocess
from resnets.data.readers.label_rules import RULES
from resnets.data.readers.layouts import quoted
from resnets.data.readers.names import by_position
from resnets.data.sources import open_source, recognised
from resnets.data.types import KINDS, Samples, Source, Split
from resnets.data.words import IMAGES_OF
from resnets.draw.panels import Panel
from resnets.engine.recipe import Recipe, changed_spec, spec_changes
from resnets.engine.values import Decision, Design, Settings
from resnets.errors import InputError
from resnets.files import replacing
from resnets.models import zoo
from resnets.models.header import Header
from resnets.models.spec import ResNetSpec
from resnets.models.zoo import Named
from resnets.tasks.dense.settings import RESIZE, DenseSettings
from resnets.tasks.inputs import scaled, with_statistics

# Above this shorter side of the input a stem that keeps every pixel is given a stride: the deepest features of a trunk for
# small pictures see some 90 pixels of it, for four times the multiply-adds.
LARGE = 320
DILATED = 8  # largest stride of a level for heads that read the last one alone, as in torchvision's
LONGER = 5 / 3  # most of the longer side, in shorter ones, as 1333 to 800 (Detectron)
MEASURED = 5_000  # training pictures, of whose headers the largest size is read; about 0.1 ms each
CHECKED = 20_000  # images up to which all labels are looked at before training; it takes some seconds per thousand
WORST = 6  # images that are drawn
STRIDES = {"stem_stride": None, "output_stride": 32}  # of the spec, that `suited` may change, and how they are left


class Dense(ABC):
    """A task with answers for places in an image; images come one by one, at their own size (abstract). See
    `engine.contract.Task`."""

    name: str
    settings: type[DenseSettings]
    kind: str  # of `data.sources.Layout.kind`
    runtimes: tuple[str, ...] = ("torch",)
    formats: tuple[str, ...] = ("html",)
    outputs: tuple[str, ...] = ("outputs",)
    one_process = False
    own_size = True
    averages = False
    embeds = False
    dims: tuple[int, ...] = (2,)
    map_method = "layercam"  # answers are for places, and gradients differ from position to position
    counts_head = False

    # --- data and network ---

    def default_recipe(self, asked: Settings) -> tuple[str, str]:
        return self.name, "the task"

    def open(self, data: str, asked: Settings, *, in_chans: int | None, data_dir: str | Path | None) -> Source:
        source = self._opened(data, asked, 3 if in_chans is None else in_chans, asked.get("class_names") or None)
        if "train" not in source.splits:
            raise InputError(f"{source.name}: no training split here; it has {', '.join(source.splits)}")
        return source

    def _opened(self, data: str, asked: Settings, in_chans: int, labels: Any) -> Source:
        masks, ignore = bool(asked.get("masks")), asked.get("ignore_index")
        return open_source(data, self.kind, in_chans=in_chans, labels=labels, masks=masks, ignore=ignore)

    def open_for(self, header: Header, data: str, asked: Settings, *, data_dir: str | Path | None) -> Source:
        recipe = header.provenance.get("recipe", {})
        ignore = recipe.get("ignore_index") if asked.get("ignore_index") is None else asked["ignore_index"]
        own = {"masks": header.head.get("masks"), "ignore_index": ignore}
        _, layout = recognised(data, self.kind)
        if layout.dims != header.spec.dims:
            there, taken = (IMAGES_OF[dims] for dims in (layout.dims, header.spec.dims))
            raise InputError(f"{data}: {there} here, and the model takes {taken}; give data like those of its training")
        source = self._matched(data, own, header)
        if source.in_chans != header.spec.in_chans:
            raise InputError(f"{data}: volumes of {source.in_chans} channels, and the model takes {header.spec.in_chans}")
        trained = header.provenance.get("data", {})
        return splits.cut_as_trained(source, trained, lambda labels: self._opened(data, own, header.spec.in_chans, labels))

    def _matched(self, data: str, own: Settings, header: Header) -> Source:
        """The data with the model's classes, which are matched by name; by position if the model has only numbers for them."""
        source = self._opened(data, own, header.spec.in_chans, None) if header.unnamed else None
        if source is None or set(source.labels) <= set(header.labels):
            return self._opened(data, own, header.spec.in_chans, header.labels)
        if len(source.labels) != len(header.labels):
            raise InputError(
                f"{data}: {len(source.labels)} classes, and the model has {len(header.labels)} without names; name them by "
                "`resnets convert --labels FILE`"
            )
        notes = (*source.notes, by_position(source.labels, unnamed=True))
        return dataclasses.replace(source, labels=header.labels, notes=notes)

    def design(self, asked: Settings, source: Source, header: Header | None, named: Named) -> Design:
        """The network, new or that of a saved model, whatever its task; and its inputs, which keep their shape.

        The size of `Preprocess` is what the rule "shorter" needs, or for "keep" that of a typical picture.
        """
        spec, scale = self._trunk(asked, source, header, named, {})
        side, rule = asked.get("img_size"), asked.get("resize")
        height, width = [int(np.median(lengths)) for lengths in zip(*(sizes(source) or [(224, 224)]), strict=True)][-2:]
        rule = rule if rule in FREE else "keep" if side is None else "shorter"
        if (rule == "shorter") != (side is not None):
            raise InputError("resize=shorter and img_size go together: give both, or leave out resize")
        size = (height, width) if side is None else (side, round(LONGER * side))
        if header is None or not header.head:  # else the trunk belongs to a head
            spec = zoo.change(spec, **suited(spec, size, asked))
        return Design(spec, Preprocess(size=size, resize=rule, crop_pct=1.0, **scale))

    def _trunk(
        self, asked: Settings, source: Source, header: Header | None, named: Named, changes: Mapping[str, Any]
    ) -> tuple[ResNetSpec, dict[str, Any]]:
        """The spec, and the fields of `Preprocess` that say how values are scaled."""
        changes = {"in_chans": source.in_chans, **changes, **spec_changes(asked)}
        if header is None:
            neutral = (0.5,) * source.in_chans
            scale: dict[str, Any] = {"mean": neutral, "std": neutral}
            spec = named("resnet18" if asked.get("model", "auto") == "auto" else asked["model"], **changes)
        else:
            from resnets.models.pretrained.adapting import rule_for

            spec, old = changed_spec(header, asked, changes), rule_for(header.preprocess, source.in_chans)
            mean = tuple(mean_array(old).mean((1, 2)).round(6).tolist())
            scale = {"mean": mean, "std": old.std, "interpolation": old.interpolation}
        if asked.get("interpolation"):
            scale["interpolation"] = asked["interpolation"]
        return spec, scale

    def one_size(self, source: Source) -> bool:
        return len(set(sizes(source))) < 2

    def most_pixels(self, source: Source, design: Design) -> int:
        images = source.splits["train"].images
        if design.preprocess.resize != "keep" or not isinstance(images, StoredImages):
            return 0
        return max((width * height for width, height in images.sizes(MEASURED)), default=0)

    def settle(
        self, recipe: DenseSettings, origins: Mapping[str, str], source: Source, design: Design, own: str
    ) -> dict[str, tuple[Any, str]]:
        open_yet = [name for name in RESIZE if origins[name] in ("default", own)]
        found: dict[str, tuple[Any, str]] = {name: (getattr(design.preprocess, name), "the task") for name in open_yet}
        for name, usual in STRIDES.items():
            stride = getattr(design.spec, name, usual)  # other libraries' networks have none
            if getattr(recipe, name) is None and stride != usual:
                found[name] = (stride, "the task")
        return found

    def cut(self, source: Source, recipe: Recipe) -> Source:
        if recipe.folds is not None and "val" in source.splits:
            raise InputError(f"folds={recipe.folds}: {source.name} has a val split; folds of boxes and masks need all in train")
        return splits.cut(source, recipe.val_fraction, recipe.folds, recipe.fold, recipe.seed)

    def preprocess(self, recipe: DenseSettings, design: Design, source: Source, bad: Any) -> Preprocess:
        if recipe.weights:
            return design.preprocess
        return with_statistics(design.preprocess, recipe, recipe.normalise, source, bad)

    def inputs(self, recipe: DenseSettings, preprocess: Preprocess) -> str:
        height, width = preprocess.size
        words = {"keep": "as they are", "shorter": f"shorter side {height}, longer up to {width}"}
        return scaled(words[preprocess.resize], recipe, recipe.normalise, preprocess)

    def samples(
        self, split: Split, preprocess: Preprocess, num_classes: int, *, recipe: Any = None, device: Any = None
    ) -> Samples:
        from resnets.data.batches.dense import CPU, DenseSamples, fill_of
        from resnets.data.geometry import DenseAugment

        device = device or CPU
        if recipe is None:
            return DenseSamples(split=split, preprocess=preprocess, device=device)
        sides: Any = recipe.train_size
        crop = None if sides is None else (sides, sides) if isinstance(sides, int) else (*sides, *sides)[:2]
        augment = DenseAugment(
            preprocess=preprocess,
            scales=recipe.scales,
            hflip=recipe.hflip,
            vflip=recipe.vflip,
            crop=crop,
            jitter=recipe.jitter,
            fill=fill_of(preprocess),
        )
        return DenseSamples(
            split=split,
            preprocess=preprocess,
            augment=augment,
            train_size=crop,
            seed=recipe.seed,
            repeats=recipe.repeats,
            device=device,
        )

    def keep(self, source: Source, recipe: Any, folder: Path, say: Callable[[str], None]) -> tuple[Source, None]:
        return source, None

    def class_counts(self, split: Split, num_classes: int) -> np.ndarray:
        from resnets.data.batches.dense import class_counts

        return class_counts(split, num_classes)

    def check_counts(self, source: Source, counts: np.ndarray) -> None:
        """Look at all of the training split where none of a class was found in a part of it.

        Raises:
            InputError: if there is nothing to learn: no object at all, or pixels of one class alone.
        """
        if counts.all():
            return
        training = dataclasses.replace(source, splits={"train": source.splits["train"]})
        for finding in check_labels(training, voxels=False).findings:
            if finding.kind in ("nothing", "cause"):
                raise InputError(f"{source.name}: {finding.text}; `resnets data check` says more")

    def notes(self, source: Source, recipe: Any, counts: np.ndarray, say: Callable[[str], None]) -> dict[str, int]:
        """Look at all labels, unless they are many, and tell which rules for faulty labels were applied."""
        if sum(map(len, source.splits.values())) > CHECKED:
            say("labels   many; `resnets data check` looks at all of them")
            return {}
        findings = check_labels(source, voxels=False).findings
        found = [finding for finding in findings if finding.kind in RULES]
        for finding in findings:
            if finding.kind in (*RULES, "cause") and finding.level != "note":
                say(f"labels   {finding.text}; `resnets data check` says more")
        units = KINDS[source.kind].units
        for row in (finding.items for finding in findings if finding.kind == "classes"):
            if unseen := [item["label"] for item in row if not item["train"]]:
                say(f"labels   no {units} of {quoted(unseen)} in the training split: they cannot be learnt")
            missing = [item["label"] for item in row if not item.get("val", 1)]
            if len(missing) == len(row):
                say(f"labels   the validation split holds no {units}: nothing chooses the best weights, so the last are kept")
            elif missing:
                say(f"labels   no {units} of {quoted(missing)} in the validation split: the score says nothing of them")
        return {finding.kind: len(finding.items) for finding in found}

    def guessing_loss(self, recipe: Any, class_counts: np.ndarray) -> float | None:
        return None

    # --- answers ---

    def map_layers(self, model: Any) -> dict[str, int]:
        return model.map_layers()

    def averaged(self, outputs: Iterable[tuple[Any, tuple[int, ...]]]) -> Any:
        raise AssertionError("refused by `averages`")

    def decide(self, meter: Any, asked: Settings) -> dict[str, Any]:
        return {}

    def revise(self, decision: Decision, asked: Settings) -> dict[str, Any]:
        return dict(decision)

    def doubt(self, result: Mapping[str, Any], recipe: Any) -> str:
        return ""

    def captions(self, source: Source, split: Split) -> list[str]:
        """The names of the images: what is in them is drawn, not told."""
        return [split.images.name(index) for index in range(len(split))]

    def preview(self, source: Source, recipe: Any, preprocess: Preprocess, out: str | Path) -> Path:
        from resnets.tasks.dense import preview

        samples: Any = self.samples(source.splits["train"], preprocess, len(source.labels), recipe=recipe)
        return preview.preview(source, samples, partial(self.panel, source), out, seed=recipe.seed)

    @abstractmethod
    def panel(self, source: Source, picture: np.ndarray, target: Any) -> Panel:
        """A picture with its target drawn over it."""


def sizes(source: Source, most: int = 24) -> list[tuple[int, ...]]:
    """(H, W), or (D, H, W), of up to `most` training images, evenly spread; of those that can be read."""
    images, found = source.splits["train"].images, []
    for index in np.unique(np.linspace(0, len(images) - 1, min(most, len(images))).round().astype(int)).tolist():
        try:
            found.append(tuple(images[index].shape[: source.dims]))
        except BadPicture:
            continue
    return found


def suited(spec: ResNetSpec, size: tuple[int, ...], asked: Settings) -> dict[str, Any]:
    """Changes to a trunk under a new head, of strides alone, so that any weights go on; where the user asked for none."""
    changes: dict[str, Any] = {}
    if spec.levels[0].stride == 1 and min(size) > LARGE:
        changes["stem_stride"] = 2
    if asked.get("head") in ("fcn", "deeplabv3"):
        changes["output_stride"] = DILATED
    return {name: value for name, value in changes.items() if asked.get(name) is None}


def as_array(value: Any) -> np.ndarray:
    """An output of any runtime as an array on the CPU; floats as float32."""
    if isinstance(value, np.ndarray):
        return value
    return (value.float() if value.is_floating_point() else value).cpu().numpy()


def save_png(values: np.ndarray, path: Path) -> Path:
    """Write integers (H, W), of 8 or 16 bits, as PNG."""
    from PIL import Image

    with replacing(path) as temporary:
        Image.fromarray(values).save(temporary, format="PNG")
    return path


class Bad(NamedTuple):
    """An image that came out badly: how well it did, from 0 to 1, its position in the split, what is there and what was
    found; of a volume in three planes (`data.planes`), which lie `at` an index along each axis."""

    score: float
    position: int
    at: tuple[int, ...]
    truth: Any
    found: Any


class Shown(NamedTuple):
    """A picture, uint8 (H, W, C), beside what is there and what was found there; of a volume a list of planes each, and the
    spacing of its voxels."""

    score: float
    name: str
    picture: Any
    truth: Any
    found: Any
    spacing: tuple[float, ...] = ()


def worse(kept: list[Bad], bad: Bad) -> list[Bad]:
    """The worst of `kept` and `bad`, the worst first: memory for a few of them only."""
    return sorted([*kept, bad], key=lambda each: each[:2])[:WORST]


def shown(worst: list[Bad], split: Split) -> list[Shown]:
    """The worst images of a split with their pictures."""
    return [_shown(bad, Path(split.images.name(bad.position)).name, split.images[bad.position]) for bad in worst]


def _shown(bad: Bad, name: str, image: Any) -> Shown:
    if not bad.at:
        return Shown(bad.score, name, image, bad.truth, bad.found)
    volume = image.original
    return Shown(bad.score, name, volume.planes(bad.at), bad.truth, bad.found, volume.spacing)
