"""What tasks with one answer per image share: their data, settings and answers. Torch comes when it is needed.

What depends on the number of spatial axes (the network, the size of inputs, augmentation) is in the module of `FORMS`.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnets.data import splits
from resnets.data.preprocess import Preprocess
from resnets.data.sources import open_source
from resnets.data.types import KINDS, Samples, Source, Split
from resnets.engine.recipe import Recipe, need_weights
from resnets.engine.values import Criterion, Decision, Design, Run, Settings
from resnets.errors import InputError
from resnets.models.answering import Wanted
from resnets.models.header import Header
from resnets.models.spec import ResNetSpec
from resnets.models.zoo import Named
from resnets.plugins import table
from resnets.tasks.image_level.forms import FORMS
from resnets.tasks.image_level.settings import ImageLevelSettings, check_suited

if TYPE_CHECKING:
    from torch import Tensor


LINEAR = "linear"  # the head that there is without a word


class ImageLevel(ABC):
    """A task with one answer per picture, series or volume; all inputs have one size (abstract). See `engine.contract.Task`."""

    name: str
    kind = "classes"
    settings: type[ImageLevelSettings]
    of_classes: tuple[str, ...] = ("fc.", "head.")
    runtimes: tuple[str, ...] = ("torch", "onnxruntime", "openvino")
    formats: tuple[str, ...] = ("torch", "onnx", "openvino", "html")
    outputs = ("outputs",)
    one_process = False
    own_size = False
    averages = False
    embeds = False
    dims: tuple[int, ...] = tuple(FORMS)
    map_method = (
        "gradcam"  # behind global pooling all positions have one gradient: LayerCAM would leave out what speaks against
    )
    counts_head = True

    # --- data and network ---

    def default_recipe(self, asked: Settings) -> tuple[str, str]:
        return ("finetune", "the weights") if asked.get("weights") else ("fast", "default")

    def open(self, data: str, asked: Settings, *, in_chans: int | None, data_dir: str | Path | None) -> Source:
        own: dict[str, Any] = {"data_dir": data_dir, "in_chans": in_chans, "dims": asked.get("dims")}
        return open_source(data, self.kind, leave_out=no_labels(asked), **own)

    def open_for(self, header: Header, data: str, asked: Settings, *, data_dir: str | Path | None) -> Source:
        if asked.get("ignore_index") is not None:
            raise InputError(f"ignore_index is for masks, and the model is for the task {self.name}; leave it out")
        trained = header.provenance.get("data", {})
        own: dict[str, Any] = {
            "in_chans": header.spec.in_chans if header.spec.dims == 2 else None,  # of series and volumes the data decides
            "labels": header.labels,
            "unnamed": header.unnamed,
            "leave_out": no_labels(asked, trained),
            "dims": header.spec.dims,
        }
        source = open_source(data, self.kind, data_dir=data_dir, **own)
        check_suits(source, header)
        return splits.cut_as_trained(source, trained)

    def design(self, asked: Settings, source: Source, header: Header | None, named: Named) -> Design:
        """The network and the size of its input; new, or that of a saved model with its preprocessing."""
        return FORMS[source.dims].design(asked, source, header, named)

    def one_size(self, source: Source) -> bool:
        return True

    def most_pixels(self, source: Source, design: Design) -> int:
        return 0

    def settle(
        self, recipe: ImageLevelSettings, origins: Mapping[str, str], source: Source, design: Design, own: str
    ) -> dict[str, tuple[Any, str]]:
        if recipe.is_probe:
            need_weights(recipe, "probe", (False,))
        check_suited(recipe, source.dims)
        return FORMS[source.dims].settle(recipe, origins, design, own)

    def cut(self, source: Source, recipe: ImageLevelSettings) -> Source:
        return splits.cut(source, recipe.val_fraction, recipe.folds, recipe.fold, recipe.seed)

    def preprocess(self, recipe: ImageLevelSettings, design: Design, source: Source, bad: Any) -> Preprocess:
        return FORMS[source.dims].preprocess(recipe, design, source, bad)

    def inputs(self, recipe: ImageLevelSettings, preprocess: Preprocess) -> str:
        return FORMS[len(preprocess.size)].inputs(recipe, preprocess)

    def samples(
        self,
        split: Split,
        preprocess: Preprocess,
        num_classes: int,
        *,
        recipe: ImageLevelSettings | None = None,
        device: Any = None,
    ) -> Samples:
        balance = recipe is not None and self.balances(recipe)
        return FORMS[len(preprocess.size)].samples(split, preprocess, num_classes, recipe, device, balance)

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

    def averaged(self, outputs: Iterable[tuple[Any, tuple[int, ...]]]) -> Any:
        raise AssertionError("refused by `averages`")

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
        samples = self.samples(source.splits["train"], preprocess, len(source.labels), recipe=recipe)
        captions = self.captions(source, source.splits["train"])
        return FORMS[source.dims].preview(source, samples, captions, out, recipe.seed)

    @abstractmethod
    def captions(self, source: Source, split: Split) -> Sequence[str]:
        """What is known of each picture, in a few words."""


def check_suits(source: Source, header: Header) -> None:
    """Raise `InputError` where a model takes images of another kind, or with other channels."""
    spec, kind = header.spec, KINDS[source.kind]
    if kind.dims != spec.dims:
        raise InputError(f"{source.name}: {kind.images} with {kind.dims} spatial axes, and the model takes {spec.dims}")
    if source.in_chans != spec.in_chans:
        raise InputError(f"{source.name}: {kind.images} of {source.in_chans} channels, and the model takes {spec.in_chans}")


def no_labels(*given: Settings) -> list[str]:
    """The column that pictures are grouped by, if it is one: it is no label."""
    return [settings["group_by"] for settings in given if settings.get("group_by")]
