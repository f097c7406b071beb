"""The settings of a run: one dataclass is the schema of the flags, of recipe.yaml and of `resnets.train(...)` alike. No torch.

`Recipe` has the settings that every task uses; a task extends it with its own (`tasks/*/settings.py`), so that a setting which
a task does not have is unknown to it. `engine.layers` makes a recipe of the settings that were asked for.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import yaml

from resnets.data.preprocess import BIT_DEPTHS
from resnets.data.preprocess import CHOICES as FIT_CHOICES
from resnets.data.window_levels import WINDOWS
from resnets.engine.settings import (
    AUGMENTATION,
    COMMON,
    DATA,
    FINETUNING,
    IMAGES,
    KEEPING,
    LENGTH,
    MACHINE,
    NETWORK,
    ON,
    OPTIMISATION,
    fields_of,
    parse,
    parse_duration,
    setting,
)
from resnets.errors import InputError
from resnets.models import zoo
from resnets.models.header import Header
from resnets.models.spec import CHOICES as SPEC_CHOICES
from resnets.models.spec import ResNetSpec
from resnets.plugins import Part, Table, register


def part_table(kind: str, task: str, own: Mapping[str, str]) -> Table[Part]:
    """The table of a task's losses or heads: its own rows by name, each with "module:name" of what makes it.

    A loss is made of (recipe, class_counts): a `contract.Criterion`. A head is made of (spec): a module that takes the trunk's
    levels, or several by name, applied one after the other (of segmentation: one that takes levels and the output's size).
    """
    table = Table(kind, Part, task)
    for name, factory in own.items():
        register(kind, name, factory, task=task)
    return table


PRECISIONS = ("auto", "float32", "bfloat16", "float16")
SMALL = 64  # pixels up to which pictures go to the CIFAR family, and stay as they are


LENGTHS = ("epochs", "steps", "time")  # of which one says how long a run is


@dataclass(frozen=True, eq=False, kw_only=True)
class Optimiser(Part):
    """A row of `OPTIMISERS`: factory(groups, recipe) makes a `torch.optim.Optimizer`, with `groups` as `engine.optim.Groups`.

    Args:
        defaults: settings that are its own, where a recipe is written for another one.
    """

    defaults: Mapping[str, float] = field(default_factory=dict)


OPTIMISERS = Table("optimiser", Optimiser)
# The rate of SGD is for a batch of 128, and changes with the batch (arXiv 1706.02677). Its defaults are those of the recipe
# "fast", AdamW's are torch's (the rate of arXiv 1412.6980, algorithm 1), LAMB's those of arXiv 2110.00476 (table 2, procedure
# A2), Muon's its author's.
for _name, _defaults in {
    "sgd": {"lr": 0.2, "momentum": 0.9, "weight_decay": 5e-4},
    "adamw": {"lr": 1e-3, "weight_decay": 0.01},
    "lamb": {"lr": 5e-3, "weight_decay": 0.02},
    "muon": {"lr": 0.02, "momentum": 0.95, "weight_decay": 0.01},
}.items():
    register("optimiser", _name, f"resnets.engine.optim:{_name}", defaults=_defaults)


WARMED = {"warmup_epochs": ON, "warmup_steps": ON, "sched": ("onecycle",)}  # what has a warm-up


def network(name: str, text: str) -> Any:
    """A change to the network's spec; None leaves it as its name says."""
    return setting(NETWORK, None, text, choices=SPEC_CHOICES.get(name, ()))


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The settings that every task uses; `resnets train --help` lists them with their meaning. None: see the text."""

    compiles: ClassVar[bool] = True  # whether torch.compile pays by default: inputs of one size
    # What acts on a linear probe too, of the settings of those sections that say how steps are taken.
    of_probe: ClassVar[frozenset[str]] = frozenset()
    # By the spatial axes of the inputs, the settings that are not for these, as they are where they do nothing.
    idle: ClassVar[Mapping[int, Mapping[str, Any]]] = {}

    data: str = setting(COMMON, "digits", "a built-in dataset, or a path whose layout is recognised")
    task: str = setting(COMMON, "classify", "what the network is for")
    model: str = setting(COMMON, "auto", "name of the network; auto: by the task and the size of the images")
    weights: str | None = setting(
        COMMON, None, "start from this saved model: its network, its preprocessing, all weights that fit"
    )
    recipe: str = setting(COMMON, "auto", "settings to start from: a name or a YAML file; auto: by the task and --weights")

    seeds: tuple[int, ...] | None = setting(
        COMMON,
        None,
        "a run for each of so many seeds, or of these (0,1,2); mean and standard deviation over the runs",
        alone=True,
    )

    # Length of training: one of the three
    epochs: int | None = setting(LENGTH, None, "passes over the training split", least=1)
    steps: int | None = setting(LENGTH, None, "optimiser steps", least=1)
    time: str | None = setting(LENGTH, None, "wall time, such as 90s, 10m, 1h30m: the schedule is fitted to the clock")

    # Optimisation
    batch_size: int = setting(COMMON, 128, "images per step and process", least=1)
    lr: float = setting(COMMON, 0.1, "highest learning rate", least=0)
    accumulate: int = setting(OPTIMISATION, 1, "batches whose gradients make one step", least=1)
    opt: str = setting(OPTIMISATION, "sgd", "optimiser", choices=OPTIMISERS)
    find_lr: bool = setting(OPTIMISATION, False, "take the learning rate from a range test of 100 steps before the training")
    momentum: float = setting(OPTIMISATION, 0.9, "of SGD and Muon", least=0, most=1, only={"opt": ("sgd", "muon")})
    nesterov: bool = setting(OPTIMISATION, True, "of SGD: Nesterov momentum", only={"opt": ("sgd",)})
    weight_decay: float = setting(OPTIMISATION, 5e-4, "coupled for SGD, decoupled for AdamW, LAMB and Muon", least=0)
    norm_bias_decay: bool = setting(
        OPTIMISATION, True, "apply weight decay to the scales of norms, and to biases, too", only={"weight_decay": ON}
    )
    clip_grad: float | None = setting(OPTIMISATION, None, "largest norm of the gradient; default: no limit", least=0)
    sched: str = setting(
        OPTIMISATION, "onecycle", "learning rate schedule", choices=("onecycle", "cosine", "step", "plateau", "constant")
    )
    milestones: tuple[float, ...] = setting(
        OPTIMISATION,
        (0.5, 0.75),
        "for step: fractions of the run after which the rate is multiplied by gamma",
        only={"sched": ("step",)},
    )
    gamma: float = setting(
        OPTIMISATION,
        0.1,
        "for step and plateau: what the rate is multiplied by",
        least=0,
        only={"sched": ("step", "plateau")},
    )
    plateau_epochs: int = setting(
        OPTIMISATION,
        50,
        "for plateau: epochs without a lower training loss after which the rate is multiplied by gamma",
        least=1,
        only={"sched": ("plateau",)},
    )
    min_lr: float = setting(
        OPTIMISATION,
        0.0,
        "for onecycle and cosine: the last learning rate; for plateau the lowest",
        least=0,
        only={"sched": ("onecycle", "cosine", "plateau")},
    )
    warmup_epochs: float | None = setting(
        OPTIMISATION, None, "length of the warm-up; default: a quarter of the run for onecycle, else none", least=0
    )
    warmup_steps: int | None = setting(OPTIMISATION, None, "the same in steps", least=0)
    warmup_lr: float = setting(OPTIMISATION, 0.0, "learning rate at the start of the warm-up", least=0, only=WARMED)
    warmup: str = setting(
        OPTIMISATION, "linear", "rise linearly, or stay at warmup_lr", choices=("linear", "constant"), only=WARMED
    )
    ema: float | None = setting(
        OPTIMISATION,
        None,
        "decay per step of an exponential moving average of the weights, which is then what is kept",
        least=0,
        most=1,
    )
    norm_momentum: float | None = setting(
        OPTIMISATION,
        None,
        "part by which the saved statistics of batch norms move to those of each batch; default: the network's, mostly 0.1",
        least=1e-6,
        most=1,
    )
    patience: int | None = setting(
        OPTIMISATION, None, "early stopping: after so many epochs without a better validation score", least=1
    )
    stall_epochs: int = setting(
        OPTIMISATION, 5, "stop after so many epochs in which nothing was learnt at all; 0: never", least=0
    )

    # Images
    img_size: int | None = setting(
        COMMON, None, "side of the input in pixels; default: by the images and the network", least=1, most=8192
    )
    train_size: int | None = setting(
        IMAGES, None, "side of the input in training, where it differs from img_size", least=1, most=8192
    )
    interpolation: str = setting(IMAGES, "bilinear", "of the resize", choices=FIT_CHOICES["interpolation"])
    hflip: float = setting(AUGMENTATION, 0.5, "probability of exchanging left and right", least=0, most=1)

    # Data
    val_fraction: float = setting(
        DATA,
        0.1,
        "fraction of the training split that becomes the validation split where the data has none",
        least=0.001,
        most=0.9,
    )
    folds: int | None = setting(
        DATA,
        None,
        "cross-validation: so many runs, each validated on another part of the training and validation splits",
        least=2,
    )
    fold: int | None = setting(DATA, None, "with folds, the only one of them to run, from 1", least=1)
    group_by: str | None = setting(
        DATA,
        None,
        "what is kept together in splits, folds and intervals: a column of the list, a pattern of the path such as "
        "{patient}_*.png, a regular expression such as (\\w+)/, folder, folder:2, burst, none, or PatientID, the default of "
        "DICOM files",
    )
    corrections: str | None = setting(
        DATA, None, "a CSV list of other labels for some images, and of images to leave out, as `resnets data repair` writes it"
    )
    workers: int | None = setting(DATA, None, "processes that decode images; default: one per processor", least=0)
    max_bad: int | None = setting(
        DATA, None, "unreadable images to skip before the run stops; default: 1 % of them, at least 10", least=0
    )
    in_chans: int | None = setting(DATA, None, "channels of the input; default: as the images have", least=1)
    bit_depth: int | None = setting(
        DATA,
        None,
        "of images of 16 bits: how many of these their values use; default: by the largest value of the training images",
        least=BIT_DEPTHS[0],
        most=BIT_DEPTHS[-1],
    )
    window: str | None = setting(
        DATA,
        None,
        f"of DICOM and of volumes: the values that are seen, as level,width or {', '.join(WINDOWS)}; default: as DICOM says, "
        "and all values of volumes",
    )

    # Fine-tuning
    freeze: str = setting(
        FINETUNING,
        "none",
        "what does not learn, from the input on: the stem, the stem and so many stages, or all but the head",
        choices=("none", "stem", "1", "2", "3", "4", "trunk"),
    )
    unfreeze_epochs: int = setting(
        FINETUNING, 0, "only the head learns at first, and every so many epochs one more stage, the last first; 0: off", least=0
    )
    layer_decay: float = setting(
        FINETUNING,
        1.0,
        "what the learning rate is multiplied by for every stage between a layer and the head",
        least=0.01,
        most=1,
    )
    norm_stats: str = setting(
        FINETUNING,
        "auto",
        "statistics that batch norm uses: the batch's, or the saved ones, which then stay as they are; auto: frozen with "
        "--weights and batches below 16, and in frozen stages always",
        choices=("auto", "batch", "frozen"),
    )

    # Changes to the network
    plugin: tuple[str, ...] = setting(NETWORK, (), "files of one's own that it takes, loaded by --plugin; a record")
    block: str | None = network("block", "two 3x3 convolutions, a bottleneck, or one's own")
    stem: str | None = network("stem", "first layers")
    stem_stride: int | None = network("stem_stride", "stride of the stem's first convolution, 1 or 2")
    shortcut: str | None = network("shortcut", "how a shortcut changes size and channels: option A, B, C or D, or no shortcut")
    stride_in: str | None = network("stride_in", "the convolution of a bottleneck that strides")
    order: str | None = network("order", "norm and ReLU after the convolution (post) or before it (pre)")
    norm: str | None = network("norm", "batch norm, instance norm, or none: biases in its place; or one's own")
    activation: str | None = network("activation", "ReLU, or leaky ReLU")
    attention: str | None = network("attention", "squeeze-and-excitation, none, or one's own")
    depths: tuple[int, ...] | None = network("depths", "blocks in each stage: 3,4,6,3")
    width: int | None = network("width", "channels of the first stage")
    most_width: int | None = network("most_width", "most channels of a stage, up to which each doubles them")
    strides: tuple[str, ...] | None = network(
        "strides", "of each stage, a digit an axis: 111,122,222; default: 2 from the second on"
    )
    groups: int | None = network("groups", "groups of the bottleneck's 3x3 convolution")
    group_width: int | None = network("group_width", "channels of a group")
    drop_path: float | None = network("drop_path", "probability of skipping the last branch")
    dims: int | None = network("dims", "spatial axes of the input; default: 2 of pictures, 1 of series, 3 of volumes")
    num_classes: int | None = network("num_classes", "outputs; default: as many as the data has classes")
    output_stride: int | None = network("output_stride", "largest stride of a level, 32, 16 or 8; dilation for the rest")
    zero_init_last: bool | None = network("zero_init_last", "start every branch at zero")
    stem_init: str = setting(
        NETWORK,
        "random",
        "how the stem's first filters start: drawn, or as whitening filters, by 2,000 training images",
        choices=("random", "whitening"),
        only={"weights": (None,)},
    )

    # What is kept
    seed: int = setting(COMMON, 0, "of everything random", least=0, most=2**32 - 1)
    select: str = setting(
        KEEPING,
        "best",
        "weights that the test split scores: best on validation, the last, or those of the lowest training loss",
        choices=("best", "last", "train_loss"),
    )
    test: bool = setting(KEEPING, True, "evaluate the test split at the end; without, none of its images is opened")
    keep_at: tuple[int, ...] = setting(
        KEEPING, (), "steps after which the weights are kept in steps/, beside best and last: 0,100,1000"
    )
    tracker: tuple[str, ...] = setting(
        KEEPING,
        ("none",),
        "who keeps the run too, by their own libraries and logins; several as tensorboard,wandb",
        choices=("none", "tensorboard", "mlflow", "wandb", "trackio"),
    )
    save_every: float = setting(KEEPING, 60.0, "seconds between saved states, in the middle of an epoch too", least=0)

    # Machine
    device: str = setting(COMMON, "auto", "cpu, cuda, cuda:1, mps; auto: the fastest there is")
    threads: int | None = setting(
        MACHINE,
        None,
        "that compute, on processors; default: as many as other programs leave free, looked at again from epoch to epoch",
        least=1,
        most=4096,
    )
    precision: str = setting(MACHINE, "auto", "of the arithmetic; auto: bfloat16 where it is faster", choices=PRECISIONS)
    channels_last: bool | None = setting(MACHINE, None, "memory order; default: where the device is faster by it")
    fused: bool | None = setting(
        MACHINE,
        None,
        "norm, addition and ReLU as one operation; default: on processors, where the run is long enough to compile it",
    )
    compile: bool | None = setting(
        MACHINE, None, "torch.compile; default: on GPUs, for inputs of one size, where the run is long enough"
    )
    allocator: str = setting(
        MACHINE,
        "auto",
        "keep: freed memory stays with the process; auto: where glibc allocates it",
        choices=("auto", "keep", "system"),
    )
    sync_bn: bool = setting(MACHINE, True, "in distributed training: batch norm over the images of all processes")
    checkpoint_activations: bool = setting(
        MACHINE, False, "recompute activations in the backward pass: a third of the memory, half as slow again"
    )

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            object.__setattr__(self, item.name, parse(type(self), item.name, getattr(self, item.name)))
        if list(self.milestones) != sorted(self.milestones) or not all(0 <= m <= 1 for m in self.milestones):
            raise InputError(f"milestones={list(self.milestones)}: give rising fractions of the run, such as 0.5,0.75")
        if any(not 0 <= step <= (self.steps or math.inf) for step in self.keep_at):
            raise InputError(f"keep_at={list(self.keep_at)}: give steps of the run, from 0 to its last")
        if self.opt == "sgd" and self.nesterov and self.momentum == 0:
            raise InputError("nesterov needs a momentum above 0; add --no-nesterov")

    @property
    def is_probe(self) -> bool:
        """Whether the head alone is fitted, on features that are computed once; for tasks that have such a setting."""
        return False

    @property
    def length(self) -> tuple[str, Any]:
        """The setting that says how long the run is, and its value; ("", None) where none does."""
        return next(((name, value) for name in LENGTHS if (value := getattr(self, name)) is not None), ("", None))

    @property
    def seconds(self) -> float | None:
        return None if self.time is None else parse_duration(self.time)

    def num_images(self, num_train: int) -> float:
        """Images that pass the network in training, of a split of `num_train`; infinite where the clock decides, unless it is
        set to under two minutes."""
        if self.seconds is not None:
            return math.inf if self.seconds >= 120 else 0.0
        return float(self.steps * self.batch_size * self.accumulate if self.steps else (self.epochs or 1) * num_train)

    def plain(self) -> Self:
        """The recipe as validation measures the loss: without label smoothing and class weights."""
        off: dict[str, Any] = {"smoothing": 0.0, "balance": "none"}
        return dataclasses.replace(self, **{name: off[name] for name in off.keys() & fields_of(type(self)).keys()})

    def to_yaml(self) -> str:
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in dataclasses.asdict(self).items()}
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


SPEC_FIELDS = {item.name for item in dataclasses.fields(ResNetSpec)} & {item.name for item in dataclasses.fields(Recipe)}
Schema = type[Recipe]  # the settings of a task
# No task has both: a file with both is a recipe.yaml of version 0.1.0, which listed the settings of all tasks.
ALL_TASKS = {"mixup", "scales"}


def spec_changes(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The changes to the network's spec that were asked for."""
    return {name: value for name, value in asked.items() if name in SPEC_FIELDS and value is not None}


def changed_spec(header: Header, asked: Mapping[str, Any], changes: Mapping[str, Any]) -> ResNetSpec:
    """The spec of a saved model, with `changes`. Raises `InputError` where another network was asked for."""
    if asked.get("model", "auto") not in ("auto", header.spec.name):
        raise InputError(f"the weights are a {header.spec.name}'s, not a {asked['model']}'s; leave out --model")
    return zoo.change(header.spec, **changes)


def need_weights(recipe: Recipe, name: str, off: tuple[Any, ...]) -> None:
    """Raise `InputError` where the setting `name` is on, and makes no sense on random weights."""
    if not recipe.weights and getattr(recipe, name) not in off:
        raise InputError(f"{name}={getattr(recipe, name)}: random weights would stay; give --weights, or leave it out")
