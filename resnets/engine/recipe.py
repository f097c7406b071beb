"""Every setting of a run, once: `Recipe` is the schema of the flags, of recipe.yaml and of `resnets.train(...)` alike.

`resolve` lays one source over another (default, named recipe, file, flag) and remembers where each value came from. No torch.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import types
import typing
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from resnets.data.preprocess import CHOICES as FIT_CHOICES
from resnets.errors import InputError
from resnets.models.spec import CHOICES as SPEC_CHOICES
from resnets.models.spec import ResNetSpec

HEADS = ("unet", "fcn", "deeplabv3", "pyramid", "c4")
PRECISIONS = ("auto", "float32", "bfloat16", "float16")


def setting(
    default: Any, text: str, *, choices: tuple[str, ...] = (), least: float | None = None, most: float | None = None
) -> Any:
    """A field of the recipe: its default, what it means, and what it may hold."""
    return field(default=default, metadata={"help": text, "choices": choices, "least": least, "most": most})


def network(name: str, text: str) -> Any:
    """A change to the network's spec; None leaves it as its name says."""
    return setting(None, text, choices=SPEC_CHOICES.get(name, ()))


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The settings of a run; `resnets train --help` lists them with their meaning. A value of None means: see the text."""

    # What
    data: str = setting("digits", "a known set, or a path whose layout is recognised")
    task: str = setting("classify", "what the network is for")
    model: str = setting("auto", "name of the network; auto: resnet20_cifar for pictures up to 64 pixels, else resnet18")
    weights: str | None = setting(None, "start from this saved model: its network, its preprocessing, all weights that fit")
    recipe: str = setting(
        "auto", "settings to start from: a name or a YAML file; auto: finetune with --weights, else fast; segment or detect"
    )
    head: str | None = setting(
        None,
        "of segment: unet, fcn or deeplabv3; of detect: pyramid or c4; None: that of the weights, else the first",
        choices=HEADS,
    )
    masks: bool = setting(False, "for detect: find the outlines of objects, too (Mask R-CNN)")
    class_names: tuple[str, ...] = setting((), "of masks: what the indices from 0 on are called; else the lines of classes.txt")
    ignore_index: int | None = setting(None, "of masks: an index that says nothing, beside 255", least=0, most=255)

    # Changes to the network
    stem: str | None = network("stem", "first layers")
    stem_stride: int | None = network("stem_stride", "stride of the stem's first convolution, 1 or 2")
    shortcut: str | None = network("shortcut", "what a branch is added to")
    stride_in: str | None = network("stride_in", "the convolution of a bottleneck that strides")
    order: str | None = network("order", "norm and ReLU after or before the convolution")
    norm: str | None = network("norm", "batch norm, or none: biases in its place")
    attention: str | None = network("attention", "squeeze-and-excitation or none")
    depths: tuple[int, ...] | None = network("depths", "blocks in each stage: 3,4,6,3")
    width: int | None = network("width", "channels of the first stage")
    groups: int | None = network("groups", "groups of the bottleneck's 3x3")
    group_width: int | None = network("group_width", "width of a group")
    drop_path: float | None = network("drop_path", "probability of skipping the last branch")
    dims: int | None = network("dims", "spatial axes of the input; None: 2 of pictures, 3 of volumes")
    in_chans: int | None = network("in_chans", "channels of the input; None: as the pictures have")
    num_classes: int | None = network("num_classes", "outputs; None: as many as the data has classes")
    output_stride: int | None = network("output_stride", "largest stride of a level, 32, 16 or 8; dilation for the rest")
    zero_init_last: bool | None = network("zero_init_last", "start every branch at zero")

    # How long: one of the three
    epochs: int | None = setting(None, "passes over the training split", least=1)
    steps: int | None = setting(None, "optimiser steps", least=1)
    time: str | None = setting(None, "wall time, such as 90s, 10m, 1h30m: the schedule is fitted to the clock")

    # Optimisation
    batch_size: int = setting(128, "pictures a step and process", least=1)
    accumulate: int = setting(1, "batches whose gradients make one step", least=1)
    opt: str = setting("sgd", "optimiser", choices=("sgd", "adamw", "lamb", "muon"))
    lr: float = setting(0.1, "highest learning rate", least=0)
    find_lr: bool = setting(False, "take the learning rate from a range test of 100 steps before the training")
    momentum: float = setting(0.9, "of SGD", least=0, most=1)
    nesterov: bool = setting(True, "Nesterov's form of momentum")
    weight_decay: float = setting(5e-4, "coupled for SGD, decoupled for AdamW and LAMB", least=0)
    norm_bias_decay: bool = setting(True, "decay the scales of norms, and biases, too")
    clip_grad: float | None = setting(None, "largest norm of the gradient", least=0)
    sched: str = setting("onecycle", "course of the learning rate", choices=("onecycle", "cosine", "step", "constant"))
    milestones: tuple[float, ...] = setting(
        (0.5, 0.75), "for step: shares of the run after which the rate is multiplied by gamma"
    )
    gamma: float = setting(0.1, "for step: what the rate is multiplied by", least=0)
    min_lr: float = setting(0.0, "for onecycle and cosine: the last learning rate", least=0)
    warmup_epochs: float | None = setting(
        None, "length of the warm-up; None: a quarter of the run for onecycle, else none", least=0
    )
    warmup_steps: int | None = setting(None, "the same in steps", least=0)
    warmup_lr: float = setting(0.0, "learning rate at the start of the warm-up", least=0)
    warmup: str = setting("linear", "rise evenly, or stay at warmup_lr", choices=("linear", "constant"))
    ema: float | None = setting(None, "decay a step of an average of the weights, which is then what is kept", least=0, most=1)

    # Fine-tuning
    freeze: str = setting(
        "none",
        "how much does not learn, from the input on: the stem, so many stages with it, or all but the head",
        choices=("none", "stem", "1", "2", "3", "4", "trunk"),
    )
    unfreeze_epochs: int = setting(
        0, "only the head learns at first, and every so many epochs one more stage, the last first; 0: off", least=0
    )
    layer_decay: float = setting(
        1.0, "what the learning rate is multiplied by for every stage between a layer and the head", least=0.01, most=1
    )
    norm_stats: str = setting(
        "auto",
        "what batch norm subtracts and divides by: the batch's statistics or the saved ones, which then stay as they are; "
        "auto: frozen with --weights and batches below 16, and in frozen stages anyhow",
        choices=("auto", "batch", "frozen"),
    )
    patience: int | None = setting(None, "stop after so many epochs without a better validation score", least=1)

    probe: bool = setting(False, "fit the head alone, by logistic regression on features computed once: seconds")
    probe_c: float | None = setting(
        None, "for probe: C of the penalty; None: what is best on validation, of 0.001 to 10", least=1e-9
    )

    # Loss
    loss: str = setting(
        "ce",
        "cross-entropy, or a yes or no for every class (bce); of segment also dice, ce+dice, focal",
        choices=("ce", "bce", "dice", "ce+dice", "focal"),
    )
    smoothing: float = setting(0.0, "of the labels", least=0, most=1)
    balance: str = setting("none", "even out classes by sampling or in the loss", choices=("none", "sampler", "loss"))

    # Pictures
    img_size: int | None = setting(
        None,
        "input in pixels; None: the pictures' own up to 64, else near their shorter side, at most the network's; of dense "
        "tasks the shorter side, None: as it is",
        least=1,
        most=8192,
    )
    train_size: int | None = setting(
        None, "input in training, where it differs from img_size; of volumes the side of a patch (64)", least=1, most=8192
    )
    grow_from: float = setting(
        1.0, "share of its side that an input has at first, growing to 1 over 65 % of the run", least=0.1, most=1
    )
    resize: str = setting(
        "crop",
        "how a picture of another shape is fitted; of dense tasks keep (as it is) or shorter (that side to img_size)",
        choices=FIT_CHOICES["resize"],
    )
    crop_pct: float = setting(0.875, "for crop: share of the resized picture that is kept", least=0.01, most=1)
    interpolation: str = setting("bilinear", "of the resize", choices=FIT_CHOICES["interpolation"])
    normalise: str = setting(
        "data", "a mean for each channel, or each pixel, of the data; or ImageNet's", choices=("data", "pixel", "imagenet")
    )
    crop: str = setting("pad", "random crop in training", choices=("pad", "resized", "none"))
    crop_pad: float = setting(0.125, "for pad: width of each side as a share of the picture's", least=0, most=1)
    crop_scale: tuple[float, ...] = setting((0.08, 1.0), "for resized: least and most share of the area")
    scales: tuple[float, ...] = setting((1.0,), "of dense tasks: shares of its size, of which each training picture gets one")
    jitter: float = setting(0.0, "of dense tasks: most by which brightness, contrast and saturation change", least=0, most=1)
    hflip: float = setting(0.5, "probability of exchanging left and right", least=0, most=1)
    vflip: float = setting(0.0, "of dense tasks: probability of turning upside down", least=0, most=1)
    auto_augment: str = setting(
        "none", "policy of colours and shapes", choices=("none", "randaugment", "randaugment-m6", "trivialaugment")
    )
    random_erase: float = setting(0.0, "probability of blanking a rectangle", least=0, most=1)
    mixup: float = setting(0.0, "alpha of mixing pictures; 0: off", least=0)
    cutmix: float = setting(0.0, "alpha of pasting parts; 0: off", least=0)
    repeats: int = setting(1, "times a picture is shown in a row, differently augmented", least=1)
    val_fraction: float = setting(
        0.1, "share of the training split that is cut off where there is no validation split", least=0.001, most=0.9
    )
    folds: int | None = setting(
        None, "cross-validation: so many runs, each validated on another part of the training and validation splits", least=2
    )
    fold: int | None = setting(None, "with folds, the only one of them to run, from 1", least=1)
    workers: int | None = setting(None, "processes that decode pictures; None: one a processor", least=0)
    cache: str = setting(
        "auto",
        "keep decoded pictures in memory or on disk; auto: in memory, if they fit in a quarter of what is free",
        choices=("auto", "none", "memory", "disk"),
    )
    max_bad: int | None = setting(
        None, "unreadable pictures to skip before the run stops; None: 1 % of them, at least 10", least=0
    )

    # Machine
    device: str = setting("auto", "cpu, cuda, cuda:1, mps; auto: the best there is")
    precision: str = setting("auto", "of the arithmetic; auto: bfloat16 where it is faster", choices=PRECISIONS)
    channels_last: bool | None = setting(None, "memory order; None: where the device is faster by it")
    fused: bool | None = setting(
        None, "batch norm, addition and ReLU as one operation; None: on processors, where the run is long enough to compile it"
    )
    compile: bool | None = setting(None, "torch.compile; None: on GPUs, for classification, where the run is long enough")
    allocator: str = setting(
        "auto", "keep: freed memory stays with the process; auto: where glibc allots it", choices=("auto", "keep", "system")
    )
    sync_bn: bool = setting(True, "of several processes: batch norm over the pictures of all")
    checkpoint_activations: bool = setting(False, "a third of the memory, half as slow again")

    # Keeping
    seed: int = setting(0, "of everything random", least=0, most=2**32 - 1)
    select: str = setting(
        "best", "weights that the test split scores: best on validation, or the last", choices=("best", "last")
    )
    keep_at: tuple[int, ...] = setting((), "steps after which the weights are kept in steps/, beside best and last: 0,100,1000")
    save_every: float = setting(60.0, "seconds between saved states, in the middle of an epoch too", least=0)
    stall_epochs: int = setting(5, "stop after so many epochs without learning anything; 0: never", least=0)

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            object.__setattr__(self, item.name, parse(item.name, getattr(self, item.name)))
        if not (len(self.crop_scale) == 2 and 0 < self.crop_scale[0] <= self.crop_scale[1] <= 1):
            raise InputError(f"crop_scale={list(self.crop_scale)}: give least and most share of the area, such as 0.08,1")
        if list(self.milestones) != sorted(self.milestones) or not all(0 <= m <= 1 for m in self.milestones):
            raise InputError(f"milestones={list(self.milestones)}: give rising shares of the run, such as 0.5,0.75")
        if any(not 0 <= step <= (self.steps or math.inf) for step in self.keep_at):
            raise InputError(f"keep_at={list(self.keep_at)}: give steps of the run, from 0 to its last")
        if self.keep_at and self.probe:
            raise InputError("keep_at and probe exclude each other: a probe takes no steps; give one of them")
        if not self.scales or not all(0.1 <= scale <= 10 for scale in self.scales):
            raise InputError(f"scales={list(self.scales)}: give shares from 0.1 to 10, such as 0.75,1,1.25")
        if self.opt == "sgd" and self.nesterov and self.momentum == 0:
            raise InputError("nesterov needs a momentum above 0; add --no-nesterov")

    @property
    def seconds(self) -> float | None:
        return None if self.time is None else parse_duration(self.time)

    def to_yaml(self) -> str:
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in dataclasses.asdict(self).items()}
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


# Where the sections of the settings begin, for whoever lists them.
SECTIONS = {
    "task": "What",
    "stem": "Changes to the network",
    "epochs": "How long: one of the three",
    "batch_size": "Optimisation",
    "freeze": "Fine-tuning",
    "loss": "Loss",
    "img_size": "Pictures",
    "device": "Machine",
    "seed": "Keeping",
}
FIELDS = {item.name: item for item in dataclasses.fields(Recipe)}
TYPES: dict[str, Any] = typing.get_type_hints(Recipe)
# Of each group at most one may be given; a later source's choice takes the place of an earlier one's.
EXCLUSIVE = (("epochs", "steps", "time"), ("warmup_epochs", "warmup_steps"))


def kinds(name: str) -> tuple[Any, bool]:
    """The type of a setting (int, float, str, bool, tuple[...]), and whether it may be None."""
    hint = TYPES[name]
    if isinstance(hint, types.UnionType):
        return next(kind for kind in typing.get_args(hint) if kind is not type(None)), True
    return hint, False


def parse(name: str, value: Any) -> Any:
    """`value` as the setting `name` holds it; text is read as on the command line. `InputError` says what may stand there."""
    kind, optional = kinds(name)
    if value is None and optional:
        return None
    try:
        value = _converted(kind, value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name}={value!r}: give {describe(kind)}") from None
    limits = FIELDS[name].metadata
    if limits["choices"] and value not in limits["choices"]:
        raise InputError(f"{name}={value!r}: use one of {', '.join(limits['choices'])}")
    if limits["least"] is not None and not value >= limits["least"]:
        raise InputError(f"{name}={value!r}: give at least {limits['least']}")
    if limits["most"] is not None and not value <= limits["most"]:
        raise InputError(f"{name}={value!r}: give at most {limits['most']}")
    if name == "time":
        parse_duration(value)
    return value


def _converted(kind: Any, value: Any) -> Any:
    if typing.get_origin(kind) is tuple:
        parts = value.split(",") if isinstance(value, str) else value
        return tuple(_converted(typing.get_args(kind)[0], part) for part in parts)
    if kind is bool:
        words = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
        return value if isinstance(value, bool) else words[str(value).lower()] if str(value).lower() in words else int("no")
    if kind is str:
        return str(value)
    if isinstance(value, bool) or (kind is int and float(value) != int(float(value))):
        raise ValueError
    number = kind(float(value)) if kind is int else float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def describe(kind: Any) -> str:
    words = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    return words.get(kind) or "a list, such as 1,2,3"


def show(value: Any) -> str:
    """A setting as it is written on the command line."""
    if isinstance(value, tuple):
        return ",".join(map(show, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def parse_duration(text: str) -> float:
    """Seconds in "90s", "10m", "1h30m" or "45" (seconds)."""
    found = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", text.strip())
    seconds = sum(float(part or 0) * scale for part, scale in zip(found.groups(), (3600, 60, 1), strict=True)) if found else 0
    if seconds <= 0:
        raise InputError(f"time={text!r}: give a duration such as 90s, 10m or 1h30m")
    return seconds


def check_names(settings: Mapping[str, Any], where: str) -> None:
    """Raise `InputError` for a setting that does not exist, with the nearest that does."""
    for name in settings:
        if name not in FIELDS:
            near = difflib.get_close_matches(str(name), FIELDS, n=1)
            hint = f"; did you mean {near[0]}?" if near else "; `resnets train --help` lists all settings"
            raise InputError(f"{where}: there is no setting {name!r}{hint}")


def read_file(path: str | Path) -> dict[str, Any]:
    """The settings in a YAML file.

    Raises:
        InputError: where it cannot be read, is not a mapping, or names what does not exist.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: cannot be read as a recipe (no such file); give a YAML file of settings")
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:  # ValueError: no UTF-8, or no such day
        raise InputError(
            f"{path}: cannot be read as a recipe ({str(error).splitlines()[0]}); give a YAML file of settings"
        ) from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: is not a recipe; write one setting a line, such as `lr: 0.1`")
    check_names(values, str(path))
    return values


def resolve(layers: Mapping[str, Mapping[str, Any]]) -> tuple[Recipe, dict[str, str]]:
    """Lay settings over each other: `layers` maps where they come from ("recipe fast", "flag") to them, the last one wins.

    Returns the recipe and, for each setting, where its value came from ("default" where no layer has it).
    """
    values: dict[str, Any] = {}
    origins = dict.fromkeys(FIELDS, "default")
    for origin, settings in layers.items():
        check_names(settings, origin)
        for group in EXCLUSIVE:
            given = [name for name in group if settings.get(name) is not None]
            if len(given) > 1:
                raise InputError(f"{origin}: {' and '.join(given)} exclude each other; give one of them")
            if given:
                values |= dict.fromkeys(group)
                origins |= dict.fromkeys(group, "default")
        for name, value in settings.items():
            if value is None and values.get(name) is None and name in values:
                continue
            values[name] = value
            origins[name] = origin
    return Recipe(**values), origins


SMALL = 64  # pixels up to which pictures go to the CIFAR family, and stay as they are


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a recipe may depend on.

    Args:
        num_train: pictures in the training split, before validation is cut from it.
        hflip: whether a mirrored picture keeps its class.
        size: (height, width) of the input; of volumes (depth, height, width) of a patch.
        spec: the network.
        asked: names of the settings that the user gave: what belongs together must not be half of one, half of another.
        one_size: whether all pictures have it (of dense tasks, whose inputs differ).
        num_classes: of the data.
    """

    num_train: int
    hflip: bool
    size: tuple[int, ...]
    spec: ResNetSpec
    asked: Collection[str] = ()
    one_size: bool = True
    num_classes: int = 2

    @property
    def small(self) -> bool:
        """Whether the input is as small as CIFAR's: then nothing is cut off when it is fitted."""
        return max(self.size) <= SMALL
