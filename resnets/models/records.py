"""The records that a run writes, as types: provenance.json, evaluation.json and rows of metrics.csv. No torch.

The header of a saved model holds some of them too. A `TypedDict` is a plain dict at run time: these classes give the keys,
their types and units to readers and to mypy, and validate nothing. With `total=False` any key may be missing: a run was
interrupted, an earlier version wrote the file, or the weights come from another program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypedDict

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
# A row of metrics.csv, by column: epoch, step, lr, train_loss, train_METRIC, val_loss, val_METRIC, images_per_second, data_wait
# (fraction of the training time), seconds; METRIC: each metric of the task.
Row = dict[str, float]

# --- the machine and the code ----------------------------------------------------------------------------------------


class DeviceRecord(TypedDict, total=False):
    """The device that computed, and how."""

    type: str  # as torch names it: "cpu", "cuda:0"
    name: str
    processors: int  # CPU cores that this process may use
    threads: int  # of torch
    autocast: str | None  # "bfloat16", "float16"; None: float32 throughout
    channels_last: bool
    fused: bool
    compile: bool
    allocator: str
    processes: int  # of distributed training; missing for a single process


class GitRecord(TypedDict):
    """The commit checked out in the working directory, and whether tracked files had uncommitted changes."""

    commit: str
    dirty: bool


# --- data, network, weights ------------------------------------------------------------------------------------------


class DataRecord(TypedDict, total=False):
    """The data that a model was trained on."""

    name: str
    fingerprint: str
    num_images: dict[str, int]  # by split
    labels: list[str]  # of the data; a model may have more classes, for which there are no images
    cut: Any  # how the validation split was cut from the training split, as `Source.cut` has it; None: the data has one
    group_by: str | None  # what groups were made by; missing where there are none
    num_groups: dict[str, int]  # by split
    inputs: str  # how images become inputs, in words
    dir: str | None  # the folder of built-in datasets, where it was given
    corrections: dict[str, Any]  # of labels, as `Source.corrections` has it; missing where there are none
    label_faults: dict[str, int]  # number of images with annotations that broke a rule, by rule


class ModelRecord(TypedDict):
    """The network: number of parameters, and of multiply-adds in the forward pass of one image."""

    name: str
    num_params: int
    num_macs: int


class Origin(TypedDict, total=False):
    """The origin of weights that another program or run made, and the terms of their use."""

    source: str  # the file, or a name such as "torchvision/resnet50"
    family: str  # the library or repository whose state dict layout it has
    weights: str  # their published name
    licence: str
    training_data: str
    sha256: str
    repository: str  # of the Hugging Face Hub, with the commit: "hf-hub:owner/name@commit"


class ExportRecord(TypedDict):
    """How an exported file was made."""

    format: str
    int8: str | None  # the calibration images, in words; None: float32
    source: str  # name of the saved model
    sha256: str  # of the saved model
    date: str  # ISO 8601, UTC
    versions: dict[str, str]


# --- results ---------------------------------------------------------------------------------------------------------


class SpeedRecord(TypedDict):
    """Speed of training: `flops` and `peak_flops` in floating-point operations per second; `mfu` is their ratio."""

    images_per_second: float
    flops: float
    peak_flops: float
    mfu: float


class ProbeRecord(TypedDict):
    """A linear probe: the validation "loss" and scores of each regularisation strength C that was tried."""

    scores: dict[str, dict[str, float]]


class AnswersRecord(TypedDict):
    """The answers to the validation split, counted: what those of a model at work are compared with."""

    classes: dict[str, int]  # the most frequent classes; "": all others
    scores: list[int]  # by their score, in ten bins from 0 to 1


class Prediction(TypedDict, total=False):
    """A row of `resnets predict`: the keys that all tasks share. Each task adds its answer (`Row` in `tasks/*/rows.py`)."""

    path: str
    time_seconds: float  # of a frame of a video, from its beginning
    error: str  # why the image could not be read; there is no answer then
    depth: int  # of a volume; all three where the answer has the image's size
    height: int
    width: int
    drawn: str  # the file with the drawing
    mask: str  # the file with the mask
    not_drawn: dict[str, str]  # of a server: why there is no drawing of that name
    nearest: list[dict[str, Any]]  # of a server with an index: name, label and distance of each image


class Evaluation(TypedDict, total=False):
    """evaluation.json: the keys that all tasks share. Each task adds its own metrics (`Result`)."""

    model: str
    data: str
    weights: str  # origin and terms of weights that another program or run made, in words
    data_notes: list[str]  # what of the data was left out, or taken for another thing
    task: str
    split: str
    bad_images: dict[str, str]  # path -> why the image could not be read
    num_images: int
    labels: list[str]
    selected: str  # which weights were evaluated: "last", "best (epoch 7)"


# --- the whole -------------------------------------------------------------------------------------------------------


class CodeRecord(TypedDict):
    """What makes a measurement reproducible: command, time, versions, device and commit."""

    command: str
    started: str  # ISO 8601, UTC
    versions: dict[str, str]
    device: DeviceRecord
    platform: str
    git: GitRecord | None  # None outside of a git repository


class LengthRecord(TypedDict):
    """A run that was made longer: the setting that says how long it is, its values, and when (as `started`)."""

    setting: str
    before: int | str
    after: int | str
    when: str


class Provenance(TypedDict, total=False):
    """provenance.json of a run; in the header of a saved model a part of it or, of other programs' weights, their origin."""

    # As in `CodeRecord`
    command: str
    started: str
    versions: dict[str, str]
    device: DeviceRecord
    platform: str
    git: GitRecord | None
    # The run
    seed: int
    data: DataRecord
    model: ModelRecord
    recipe: dict[str, Any]  # all fields of the run's `Recipe`; in saved models only
    resumed: list[str]  # times, in the format of `started`
    lengthened: list[LengthRecord]  # in order
    finished: str
    seconds: float  # of the last session
    selected: str  # the weights that were evaluated: "best" or "last"
    speed: SpeedRecord
    probe: ProbeRecord
    plugins: list[dict[str, str]]  # the parts of users' files that the run took, as `resnets.plugins.needs` has it
    answers: AnswersRecord  # in saved models only
    result: dict[str, Any]  # the scalars of evaluation.json: `Evaluation` and the task's own metrics
    # As in `Origin`; `weights` of a fine-tuned model is the origin of the weights that training started from.
    source: str
    family: str
    weights: str | Origin
    licence: str
    training_data: str
    sha256: str
    repository: str
    preprocess: str  # where the normalisation is stated
    labels: str  # where the class names are stated
    part: str  # of a nested checkpoint, such as "state_dict"
    prefix: str  # of the names of the tensors that were taken out
    left_out: str  # what else was in that file
    export: ExportRecord
