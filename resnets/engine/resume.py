"""What resuming needs: every tensor of the training state in one safetensors file, the position in its header.

One file, so that one rename makes a state whole: a kill between two files would leave halves of two states. What is random
needs no state: every draw is a function of the seed and the step (see `resnets.data.loader` and the loop). resume.json
repeats the position for people and programs; it is not read.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from resnets.engine.contract import Meter
from resnets.engine.run import RunDir
from resnets.errors import InputError
from resnets.files import short, write_json
from resnets.models.weights import read_tensors, write_tensors

FORMAT = "resnets-resume/1"


@dataclass
class Position:
    """Where a run stands: `epoch` whole epochs and `batch` steps of the next are done; sums are over those steps."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    total_steps: int = 0
    seconds: float = 0.0  # of all sessions together
    epoch_seconds: float = 0.0  # of the epoch under way
    epoch_wait: float = 0.0  # of it, spent waiting for data
    num_images: int = 0  # of the epoch under way
    best: float = -1.0
    best_epoch: int = 0
    finished: bool = False
    lengthened: int = 0  # how often the run had been made longer
    scaler: dict[str, float] = field(default_factory=dict)
    bad_images: dict[str, str] = field(default_factory=dict)


def position_of(told: Any) -> Position:
    """The position that a file states. Raises `TypeError` or `ValueError` where it is none."""
    at = Position(**told)
    for item in dataclasses.fields(Position):
        value, default = getattr(at, item.name), getattr(Position(), item.name)
        kind = (int, float) if isinstance(default, float) else type(default)
        if not isinstance(value, kind) or isinstance(value, bool) is not isinstance(default, bool):
            raise TypeError(f"{item.name} is {short(repr(value))}")
        least = -math.inf if item.name == "best" else 0  # some scores, such as R2, may be negative
        if isinstance(default, int | float) and not (math.isfinite(value) and value >= least):
            raise ValueError(f"{item.name} is {value}")
    numbers = all(isinstance(value, int | float) for value in at.scaler.values())
    if not numbers or not all(isinstance(reason, str) for reason in at.bad_images.values()) or at.best_epoch > at.epoch + 1:
        raise ValueError("its scaler, images or best epoch are none")
    return at


@dataclass
class State:
    """All that training changes. `meter` adds up losses and scores over the epoch under way."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    average: nn.Module | None  # of the weights, with --ema
    scaler: torch.amp.GradScaler
    meter: Meter
    at: Position

    def tensors(self) -> dict[str, Tensor]:
        names: dict[Any, str] = {parameter: name for name, parameter in self.model.named_parameters()}
        flat = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        if self.average is not None:
            flat |= {f"average.{name}": tensor for name, tensor in self.average.state_dict().items()}
        for parameter, values in self.optimizer.state.items():
            flat |= {
                f"optimizer.{key}.{names[parameter]}": torch.as_tensor(value)
                for key, value in values.items()
                if value is not None
            }
        return flat | {f"sums.{name}": tensor for name, tensor in self.meter.sums.items()}

    def save(self, run: RunDir) -> None:
        self.at.scaler = self.scaler.state_dict()
        position = dataclasses.asdict(self.at)
        counters = [int(group["step"]) for group in self.optimizer.param_groups if "step" in group]  # LAMB counts there
        header = {"format": FORMAT, "position": position, "optimizer_steps": counters}
        write_tensors(run.resume_tensors, self.tensors(), header)
        write_json(run.resume_position, {"format": FORMAT} | position, strict=False)

    def restore(self, path: Path) -> None:
        """Take up the state in `path`.

        Raises:
            InputError: where the file is damaged or belongs to another network, optimiser or version.
        """
        tensors, header = read_tensors(path)
        if header.get("format") != FORMAT:
            raise InputError(f"{path}: its format is {header.get('format')}, and this version reads {FORMAT}; start a new run")
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "optimizer": {}, "sums": {}}
        try:
            for name, tensor in tensors.items():
                part, _, rest = name.partition(".")
                parts[part][rest] = tensor
            self.model.load_state_dict(parts["model"])
            if self.average is not None:
                self.average.load_state_dict(parts["average"])
            self._restore_optimizer(parts["optimizer"], header["optimizer_steps"])
            self.at = position_of(header["position"])
            if self.at.scaler:
                self.scaler.load_state_dict(self.at.scaler)
        except (KeyError, TypeError, RuntimeError, ValueError, AttributeError) as error:
            raise InputError(
                f"{path}: does not belong to this run ({short(error)}); start a new run with another --out"
            ) from None
        device = next(self.model.parameters()).device
        self.meter.sums = {name: tensor.to(device) for name, tensor in parts["sums"].items()}

    def _restore_optimizer(self, tensors: dict[str, Tensor], counters: list[int]) -> None:
        parameters = dict(self.model.named_parameters())
        held: dict[nn.Parameter, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            key, _, owner = name.partition(".")
            parameter = parameters[owner]
            if tensor.shape not in (parameter.shape, ()):
                raise ValueError(f"{name} has another shape than its parameter")
            if tensor.shape == parameter.shape:  # in the parameter's layout too: a fused step walks through both side by side
                tensor = torch.empty_like(parameter, dtype=tensor.dtype, requires_grad=False).copy_(tensor)
            held.setdefault(parameter, {})[key] = tensor
        whole = self.optimizer.state_dict()
        owners = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        whole["state"] = {number: held[parameter] for number, parameter in enumerate(owners) if parameter in held}
        for group, counter in zip(whole["param_groups"], counters, strict=False):
            group["step"] = int(counter)
        self.optimizer.load_state_dict(whole)
