"""What a run will be, before anything is built: the data, the network, and every setting with where it came from."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resnets import tasks
from resnets.data import dense, sources
from resnets.data.loaders import BadImages, statistics
from resnets.data.pictures.images import default_workers
from resnets.data.pictures.resize import FREE as FREE_RULES
from resnets.data.preprocess import CHOICES, IMAGENET_MEAN, IMAGENET_STD, Preprocess
from resnets.data.readers import names as labelled
from resnets.data.readers.names import DenseSource
from resnets.data.sources import Source
from resnets.engine import device as devices
from resnets.engine import freeze
from resnets.engine.recipe import FIELDS, SMALL, Facts, Recipe, check_names, parse, read_file, resolve, show
from resnets.engine.run import RunDir
from resnets.errors import InputError
from resnets.models import zoo
from resnets.models.header import Header
from resnets.models.pretrained.adapting import rule_for
from resnets.models.pretrained.opening import Opened, open_weights
from resnets.models.spec import ResNetSpec
from resnets.models.zoo import Named
from resnets.tasks.classify import recipes
from resnets.tasks.dense import FLAT_ONLY, check_axes, dense_network, of_volumes, times

# What may differ when a run is taken up again: it changes nothing of what is computed.
FREE = ("workers", "cache", "save_every", "stall_epochs", "max_bad")
RULE = ("resize", "crop_pct", "interpolation")  # of Preprocess, that the recipe has too
STRIDES = {"stem_stride": None, "output_stride": 32}  # that a dense task may change, and how they are left
# Settings that a task has no use for, and what they may be all the same.
NOT_OF_PLACES: dict[str, tuple[Any, ...]] = {
    "random_erase": (0.0,), "mixup": (0.0,), "cutmix": (0.0,), "auto_augment": ("none",), "grow_from": (1.0,),
    "crop": ("pad",), "crop_pad": (0.125,), "crop_scale": ((0.08, 1.0),), "cache": ("auto",), "crop_pct": (1.0,),
    "probe": (False,), "balance": ("none", "loss"), "folds": (None,), "fold": (None,), "normalise": ("data", "imagenet"),
}  # fmt: skip
UNUSED: dict[str, dict[str, tuple[Any, ...]]] = {
    "classify": {
        "head": (None,), "masks": (False,), "class_names": ((),), "ignore_index": (None,), "scales": ((1.0,),),
        "jitter": (0.0,), "vflip": (0.0,),
    },
    "segment": NOT_OF_PLACES | {"masks": (False,)},
    "detect": NOT_OF_PLACES | {"ignore_index": (None,), "balance": ("none",), "smoothing": (0.0,)},
}  # fmt: skip
SPEC_FIELDS = {field.name for field in dataclasses.fields(ResNetSpec)} & FIELDS.keys()


@dataclasses.dataclass(frozen=True)
class Plan:
    """A run before anything is built: the data with its validation split, the network, and every setting with its origin."""

    source: Any  # a `Source`, or of a dense task a `DenseSource`
    fingerprint: str
    labels: tuple[str, ...]
    spec: ResNetSpec
    preprocess: Preprocess
    recipe: Recipe
    origins: dict[str, str]
    bad: BadImages
    opened: Opened | None = None  # the weights to start from

    @property
    def form(self) -> dict[str, Any]:
        """{"form": the settings of the head}, for tasks that have some."""
        header = None if self.opened is None else self.opened.header
        before = header.head if header is not None and header.task == self.recipe.task else {}
        form = tasks.get(self.recipe.task).form(self.spec, self.recipe, before)
        return {"form": form} if form else {}

    @property
    def inputs(self) -> str:
        """How pictures become inputs, and who says so."""
        preprocess, (*_, height, width) = self.preprocess, self.preprocess.size
        if len(preprocess.size) == 3:
            return f"patches of {times(preprocess.size)} in training; each volume by its own mean and deviation"
        cut = f" {preprocess.crop_pct:.3g}" * (preprocess.resize == "crop")
        size = {"keep": "as they are", "shorter": f"shorter side {height}, longer up to {width}"}
        per_pixel = len(preprocess.mean) > preprocess.in_chans
        mean = "a mean for each pixel" if per_pixel else f"mean {','.join(f'{value:.3f}' for value in preprocess.mean)}"
        origin = (
            f"those of the weights ({self.recipe.weights}), not of this data"
            if self.recipe.weights
            else "ImageNet's"
            if self.recipe.normalise == "imagenet"
            else "of the training split"
        )
        std = ",".join(f"{value:.3f}" for value in preprocess.std)
        shape = size.get(preprocess.resize, f"{height} x {width}, {preprocess.resize}{cut}")
        return f"{shape}, {preprocess.interpolation}; {mean}, deviation {std}: {origin}"


def settle(layers: Mapping[str, Mapping[str, Any]], data_dir: str | Path | None, named: Named = zoo.get) -> Plan:
    """Open the data, find the network, and resolve every setting that was left open. `named` knows the networks' names."""
    for origin, layer in layers.items():
        check_names(layer, origin)
    asked = {name: parse(name, value) for layer in layers.values() for name, value in layer.items()}
    model = None if asked.get("model") == "auto" else asked.get("model")
    opened = open_weights(asked["weights"], model=model) if asked.get("weights") else None
    header = None if opened is None else opened.header
    in_chans = asked.get("in_chans") or (None if header is None else header.spec.in_chans)
    source = open_data(asked, in_chans, data_dir)
    fingerprint = source.fingerprint()
    if isinstance(source, DenseSource):
        spec, preprocess = dense_network(asked, source, header, named, spec_changes(asked))
    else:
        spec, preprocess = network(asked, source, named) if header is None else saved_network(asked, source, header)
    check_axes(spec, source)
    recipe, origins = settings(layers, source, spec, preprocess)
    check_task(recipe)
    if of_volumes(source):
        check_off(recipe, FLAT_ONLY, "volumes")
    source = with_val(source, recipe)
    bad = BadImages.allowing(recipe.max_bad, *source.splits.values())
    preprocess = fitted_preprocess(recipe, preprocess, source, bad)
    labels = padded(source.labels, recipe.num_classes)
    spec = dataclasses.replace(spec, num_classes=len(labels))
    return Plan(source, fingerprint, labels, spec, preprocess, recipe, origins, bad, opened)


def open_data(asked: Mapping[str, Any], in_chans: int | None, data_dir: str | Path | None) -> Source | DenseSource:
    """The data that was asked for, as the task needs it."""
    data, task = asked.get("data", "digits"), asked.get("task", "classify")
    if not tasks.get(task).dense:
        return sources.open_source(data, data_dir=data_dir, in_chans=in_chans)
    source = dense.open_dense(
        data,
        task,
        in_chans=in_chans or 3,
        labels=asked.get("class_names") or None,
        masks=bool(asked.get("masks")),
        ignore=asked.get("ignore_index"),
    )
    if "train" not in source.splits:
        raise InputError(f"{source.name}: no training split here; it has {', '.join(source.splits)}")
    return source


def check_off(recipe: Recipe, table: Mapping[str, tuple[Any, ...]], what: str) -> None:
    """Raise `InputError` unless every setting in `table` is one of what it says there."""
    for name, may in table.items():
        if (value := getattr(recipe, name)) not in may:
            raise InputError(f"{name}={show(value)}: {what} cannot use it; leave it out")


def check_task(recipe: Recipe) -> None:
    """Raise `InputError` for settings that mean nothing for the task."""
    task = tasks.get(recipe.task)
    if recipe.loss not in task.losses:
        raise InputError(f"loss={recipe.loss}: the task {task.name} has {', '.join(task.losses)}; use one of these")
    if task.dense == (recipe.resize not in FREE_RULES):
        rules = FREE_RULES if task.dense else tuple(rule for rule in CHOICES["resize"] if rule not in FREE_RULES)
        raise InputError(f"resize={recipe.resize}: the task {task.name} takes {', '.join(rules)}; use one of these")
    check_off(recipe, UNUSED[task.name], f"the task {task.name}")
    if recipe.head is not None and recipe.head not in task.heads:
        raise InputError(f"head={recipe.head}: the task {task.name} has {', '.join(task.heads)}; use one of these")


def with_val(source: Any, recipe: Recipe) -> Any:
    """`source` with the validation split of this run: its own, one that is cut from training, or a fold."""
    if isinstance(source, DenseSource):
        return labelled.cut_val(source, recipe.val_fraction, recipe.seed)
    if recipe.folds is None and recipe.fold is None:
        return sources.cut_val(source, recipe.val_fraction, recipe.seed)
    if recipe.folds is None or recipe.fold is None or recipe.fold > recipe.folds:
        raise InputError(f"folds={recipe.folds}, fold={recipe.fold}: a single run is one fold, such as fold=1 of folds=5")
    return sources.cut_fold(source, recipe.folds, recipe.fold, recipe.seed)


def requested(given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The layers of a new run, without the named recipe, which needs to know the data: a recipe file's settings, then flags."""
    name = str(given.get("recipe", "auto"))
    if name == "auto":
        return {"flag": dict(given)}
    if not (name.endswith((".yaml", ".yml")) or Path(name).is_file()):
        recipes.get(name)  # so that a wrong name is said before anything is opened
        return {"flag": dict(given)}
    return {name: read_file(name), "flag": {key: value for key, value in given.items() if key != "recipe"}}


def continued(out: str | Path | None, given: Mapping[str, Any]) -> tuple[RunDir, dict[str, dict[str, Any]]]:
    """The run to go on with, and its settings as the only layer.

    Raises:
        InputError: where there is no such run, or `given` has other settings than it (they are named).
    """
    run = RunDir(out) if out is not None else RunDir.latest(given.get("task"))
    if not run.recipe.is_file():
        raise InputError(f"{run.path}: no recipe.yaml here, so there is no run to go on with; leave out --resume to start one")
    settings = read_file(run.recipe)
    changes = []
    again = {name: value for layer in requested(given).values() for name, value in layer.items()}
    for name, value in again.items():
        if name == "find_lr":  # it has been found, and is among the settings
            continue
        value, before = parse(name, value), parse(name, settings.get(name))
        if name in FREE:
            settings[name] = value
        elif value not in (before, "auto") and not (
            name in ("data", "weights") and Path(value).resolve() == Path(str(before)).resolve()
        ):
            changes.append(f"{name} was {before}, not {value}")
    if changes:
        raise InputError(
            f"{run.path}: {'; '.join(changes)}; leave that out to go on as it was, or start a new run without --resume"
        )
    return run, {run.recipe.name: settings}


def check_same_data(run: RunDir, fingerprint: str) -> None:
    if run.read_provenance().get("data", {}).get("fingerprint", fingerprint) != fingerprint:
        raise InputError(f"{run.path}: the data has changed since the run began; bring back what it was, or start a new run")


def check_same_processes(run: RunDir, world: int) -> None:
    """The batch of a step is all processes' together: with others, it would be another run."""
    before = run.read_provenance().get("device", {}).get("processes", 1)
    if before != world:
        raise InputError(
            f"{run.path}: the run began with {before} process{'es' * (before > 1)}, and now it is "
            f"{world}; go on with as many (torchrun --nproc-per-node), or start a new run"
        )


def network(asked: Mapping[str, Any], source: Source, named: Named = zoo.get) -> tuple[ResNetSpec, Preprocess]:
    """A new network, and the size of its input. The rest of its preprocessing is for the recipe and the data to say."""
    name, size = asked.get("model", "auto"), asked.get("img_size")
    height, width = source.picture_size() if size is None else (size, size)
    if name == "auto":
        name = "resnet20_cifar" if max(height, width) <= SMALL else "resnet18"
    spec = named(name, **({"in_chans": source.in_chans} | spec_changes(asked)))
    if size is None and max(height, width) > SMALL:  # larger than they are, pictures cost more and show no more
        height = width = min(spec.img_size, max(96, 32 * round(min(height, width) / 32)))
    neutral = (0.5,) * source.in_chans
    return spec, Preprocess(size=(height, width), mean=neutral, std=neutral)


def saved_network(asked: Mapping[str, Any], source: Source, header: Header) -> tuple[ResNetSpec, Preprocess]:
    """The network of a saved model, and its preprocessing, with the changes that were asked for."""
    if asked.get("model", "auto") not in ("auto", header.spec.name):
        raise InputError(f"the weights are a {header.spec.name}'s, not a {asked['model']}'s; leave out --model")
    changes = {name: asked[name] for name in RULE if asked.get(name) is not None}
    if asked.get("img_size") is not None:
        changes["size"] = (asked["img_size"],) * 2
    spec = zoo.change(header.spec, **({"in_chans": source.in_chans} | spec_changes(asked)))
    return spec, dataclasses.replace(rule_for(header.preprocess, source.in_chans), **changes)


def spec_changes(asked: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in asked.items() if name in SPEC_FIELDS and value is not None}


def settings(
    layers: Mapping[str, Mapping[str, Any]], source: Source | DenseSource, spec: ResNetSpec, preprocess: Preprocess
) -> tuple[Recipe, dict[str, str]]:
    """The whole recipe, and where each value came from; what was left to be found out ("auto") is now said."""
    asked = {setting: value for layer in layers.values() for setting, value in layer.items() if value is not None}
    num_train, (*_, height, width) = len(source.splits["train"].targets), preprocess.size
    name, by_whom = str(asked.get("recipe", "auto")), "default"
    is_dense = isinstance(source, DenseSource)
    if name == "auto" and is_dense:
        name, by_whom = str(asked["task"]), "the task"
    elif name == "auto":
        name, by_whom = ("finetune", "the weights") if asked.get("weights") else ("fast", "default")
    one_size = not isinstance(source, DenseSource) or len(set(source.sizes())) < 2
    facts = Facts(
        num_train=num_train,
        hflip=source.hflip,
        size=preprocess.size,
        spec=spec,
        asked=asked,
        one_size=one_size,
        num_classes=len(source.labels),
    )
    own = f"recipe {name}"
    recipe, origins = resolve({own: recipes.get(name)(facts), **layers})
    freeze.check(recipe, spec)
    if recipe.find_lr and gives_after(layers, "lr", "find_lr"):
        raise InputError(f"find_lr and lr={asked['lr']} exclude each other; give one of them")
    if recipe.batch_size == 1:
        raise InputError("batch_size=1: batch norm cannot learn from one picture at a time; use at least 2, and --accumulate")
    if spec.in_chans == 4 and recipe.auto_augment != "none":
        raise InputError(f"auto_augment={recipe.auto_augment} knows grey and colour pictures; use none with 4 channels")
    found: dict[str, tuple[Any, str]] = {"recipe": (name, by_whom if recipe.recipe == "auto" else origins["recipe"])}
    if is_dense:
        found |= {rule: (getattr(preprocess, rule), "the task") for rule in RULE if origins[rule] in ("default", own)}
        open_yet = {name: usual for name, usual in STRIDES.items() if getattr(recipe, name) is None}
        strides = {name: getattr(spec, name, usual) for name, usual in open_yet.items()}  # other libraries' networks have none
        found |= {name: (stride, "the task") for name, stride in strides.items() if stride != STRIDES[name]}
    elif recipe.weights:
        found |= {rule: (getattr(preprocess, rule), "the weights") for rule in RULE if origins[rule] in ("default", own)}
    if recipe.model == "auto":
        found["model"] = (spec.name, "the weights" if recipe.weights else "the data")
    if not is_dense and height == width and (recipe.img_size is None or recipe.weights):
        found["img_size"] = (height, "the weights" if recipe.weights else "the data" if facts.small else "the network")
    if recipe.norm_stats == "auto":
        small = recipe.batch_size < freeze.SMALL_BATCH
        found["norm_stats"] = ("frozen", "the weights") if recipe.weights and small else ("batch", "default")
    if recipe.workers is None:
        found["workers"] = (default_workers(), "this machine")
    for setting, value in devices.settle(recipe, num_macs(recipe, spec, preprocess, num_train)).items():
        if getattr(recipe, setting) in (None, "auto"):
            found[setting] = (value, "this machine")
    settled = dataclasses.replace(recipe, **{setting: value for setting, (value, _) in found.items()})
    return settled, origins | {setting: origin for setting, (_, origin) in found.items()}


def gives_after(layers: Mapping[str, Mapping[str, Any]], name: str, first: str) -> bool:
    """Whether a layer gives `name` that itself, or one before it, gives `first`."""
    begun = False
    for layer in layers.values():
        begun = begun or bool(layer.get(first))
        if begun and layer.get(name) is not None:
            return True
    return False


def num_macs(recipe: Recipe, spec: ResNetSpec, preprocess: Preprocess, num_train: int) -> float:
    """Multiply-adds of the forward passes of a run; infinite where the clock decides, unless it is set to under two minutes."""
    if recipe.seconds is not None:
        return math.inf if recipe.seconds >= 120 else 0.0
    if recipe.probe:
        return float(num_train) * spec.num_macs(preprocess.size)
    num_images = recipe.steps * recipe.batch_size * recipe.accumulate if recipe.steps else (recipe.epochs or 1) * num_train
    return float(num_images) * spec.num_macs(preprocess.size)


def fitted_preprocess(recipe: Recipe, preprocess: Preprocess, source: Source | DenseSource, bad: BadImages) -> Preprocess:
    """How pictures become inputs: as the weights say, or as the recipe does, with the statistics of the training split."""
    if recipe.weights:
        return preprocess
    size = preprocess.size
    if recipe.img_size is not None and not isinstance(source, DenseSource):
        size = (recipe.img_size, recipe.img_size)
    preprocess = dataclasses.replace(preprocess, size=size, **{rule: getattr(recipe, rule) for rule in RULE})
    if recipe.normalise == "imagenet" and preprocess.in_chans == 3:
        return dataclasses.replace(preprocess, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    if of_volumes(source):
        return preprocess  # each is normalised by itself
    return statistics(source.splits["train"], preprocess, bad, per_pixel=recipe.normalise == "pixel")


def padded(labels: tuple[str, ...], num_classes: int | None) -> tuple[str, ...]:
    """The labels of the data, and where more classes were asked for, names for those without pictures."""
    if num_classes is not None and num_classes < len(labels):
        raise InputError(
            f"num_classes={num_classes}, and the data has {len(labels)} classes; leave it out, or give at least {len(labels)}"
        )
    return labels + tuple(f"unused_{number}" for number in range(len(labels), num_classes or 0))
