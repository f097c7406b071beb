"""From inputs to answers and rows: the one way behind `Model.predict`, `resnets predict`, the probe and whatever serves."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MethodType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from resnets.errors import InputError, is_whole
from resnets.files import short
from resnets.models.header import Header
from resnets.models.records import Prediction

if TYPE_CHECKING:
    from torch import Tensor

AXES = ("depth", "height", "width")


@dataclass(frozen=True)
class Wanted:
    """What a user wants of an answer, and the model's own rule for it.

    Args:
        topk: so many classes.
        threshold: of detectors and tags: from this score on; None: from the model's own threshold.
        decision: of the model's header.

    Raises:
        InputError: for a value out of range.
    """

    topk: int = 5
    threshold: float | None = None
    decision: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not is_whole(self.topk) or self.topk < 1:
            raise InputError(f"topk={short(repr(self.topk))}: give a whole number of at least 1")
        if self.threshold is not None and not (isinstance(self.threshold, int | float) and 0 <= self.threshold <= 1):
            raise InputError(f"threshold={short(repr(self.threshold))}: give a score from 0 to 1")


def check_wanted(task: Any, **given: float | None) -> None:
    """Raise `InputError` for a field of `Wanted` that was given, and that the answers of `task` do not go by."""
    for name, value in given.items():
        if value is not None and name not in task.wanted:
            raise InputError(f"{name}={value} has no effect on the answers of a model for the task {task.name}; leave it out")


class Noted(NamedTuple):
    """What is counted of an answer, or of several.

    Args:
        labels: the classes that it names, whatever it makes of them; of a picture, or of each of its objects.
        scores: from 0 to 1, how sure each of these is; empty where there is no such figure.
        said: what it answers: classes, "unsure", "unknown".
    """

    labels: list[str]
    scores: list[float]
    said: list[str]


def number_of(part: Mapping[str, Any], name: str, default: float | None = None) -> float:
    """A number of a model's header. Raises `InputError` where that holds something else."""
    value = part.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1e300:
        raise InputError(f"the model's header is damaged: {name} is {short(repr(value))}, no number; use another copy")
    return float(value)


def answered(
    task: Any, run: Callable[[Any], Any], header: Header, pixels: Any, sizes: Sequence[tuple[int, ...]], wanted: Wanted
) -> list[tuple[Prediction, Any]]:
    """For each image its row, as `task.rows` makes it, and its answer.

    Args:
        task: an `engine.contract.Task`.
        run: what computes, in whatever runtime; see `engine.contract.Run`.
        pixels: uint8 (N, C, H, W), fitted, or of volumes float32 (N, C, D, H, W), normalised.
        sizes: the images' own, where answers have these; rows then have "height" and "width", of volumes "depth" too.
    """
    answers = task.infer(run, pixels, sizes, header)
    own = sizes or [()] * len(answers)
    return [(row_of(task, header, answer, size, wanted), answer) for size, answer in zip(own, answers, strict=True)]


def row_of(task: Any, header: Header, answer: Any, size: tuple[int, ...], wanted: Wanted) -> Prediction:
    """The row of one answer, as the model of `header` decides; `size` is the image's own, () where the answer has none."""
    own: Prediction = dict(zip(AXES[-len(size) :], size, strict=True)) if size else {}  # type: ignore[assignment]
    return own | task.rows.row(answer, header.labels, dataclasses.replace(wanted, decision=header.decision))


def run_model(model: Any, pixels: Any, *, amp: bool = False) -> Any:
    """The outputs of a model in evaluation mode for fitted pixels, float32 arrays on the CPU; the model stays as it is."""
    import torch

    from resnets.data.transforms import to_input

    device = next(model.parameters()).device
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=amp):
        outputs = arrays(evaluating(model)(to_input(pixels, model.preprocess, device)))
    check_outputs(outputs)
    return outputs


def evaluating(model: Any) -> Any:
    """The model in evaluation mode: itself, or where some of it is in training mode a second view of the same weights, buffers
    and hooks. To switch the model itself back and forth would disturb other threads that use it."""
    if not any(module.training for module in model.modules()):
        return model
    views = {id(module): copy.copy(module) for module in model.modules()}
    for view in views.values():
        own = vars(view)
        own["training"] = False
        own["_modules"] = {name: child and views[id(child)] for name, child in own["_modules"].items()}
        for name, value in own.items():  # such as a detector's way to its last stage
            if isinstance(value, MethodType) and id(value.__self__) in views:
                own[name] = MethodType(value.__func__, views[id(value.__self__)])
    return views[id(model)]


def check_outputs(outputs: Any) -> None:
    """Raise `InputError` where the outputs of a network, arrays in lists and dicts, are not all finite."""
    if isinstance(outputs, list | dict):
        for each in outputs.values() if isinstance(outputs, dict) else outputs:
            check_outputs(each)
    elif outputs.dtype.kind == "f" and not np.isfinite(outputs).all():
        raise InputError("the model's outputs are no numbers (NaN or infinite), so it has no answer; use other weights")


def arrays(outputs: Any) -> Any:
    """Tensors, and those in lists and dicts, as arrays on the CPU; floats as float32."""
    if isinstance(outputs, list):
        return [arrays(each) for each in outputs]
    if isinstance(outputs, dict):
        return {name: arrays(each) for name, each in outputs.items()}
    tensor: Tensor = outputs
    return (tensor.float() if tensor.is_floating_point() else tensor).cpu().numpy()
