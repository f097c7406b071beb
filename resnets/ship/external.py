"""Networks that other libraries build (torchvision's and timm's), trained by the same engine: baselines, never rewritten here.

    resnets.train("cifar10", model="torchvision/alexnet", img_size=64, recipe="he2015", lr=0.01)

They start from random weights. A run of theirs is a run directory like any other; its weights say `resnets-external/1`, which
`resnets.load` refuses and `load` here opens.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from resnets import tasks
from resnets.data.preprocess import Preprocess
from resnets.engine.contract import Task
from resnets.errors import InputError
from resnets.models import header as saved
from resnets.models import weights, zoo
from resnets.models.header import Header
from resnets.models.nn.layers import CONVS
from resnets.models.pretrained.names import locate
from resnets.models.spec import Level
from resnets.ship import hub

ANY_SIZE = 8192  # the largest input: as a stride it says that inputs are not made smaller for a time (`grow_from`)


@dataclass(frozen=True, kw_only=True)
class ExternalSpec:
    """A network of another library: "torchvision/NAME" or "timm/NAME". What the engine asks of a spec is counted on it."""

    name: str
    in_chans: int = 3
    num_classes: int = 1000

    dims = 2

    def __post_init__(self) -> None:
        if self.name.partition("/")[0] not in LIBRARIES:
            raise InputError(f"no library for {self.name!r}; give one of: {', '.join(f'{name}/NAME' for name in LIBRARIES)}")

    @property
    def img_size(self) -> int:
        """The usual input in pixels."""
        return 224

    @property
    def levels(self) -> tuple[Level, ...]:
        return (Level("out", self.num_classes, ANY_SIZE),)

    @property
    def num_params(self) -> int:
        return sum(parameter.numel() for parameter in skeleton(self).parameters())

    @property
    def num_layers(self) -> int:
        """All convolutions and linear layers, on whatever path."""
        return sum(isinstance(module, (nn.Linear, *CONVS)) for module in skeleton(self).modules())

    def num_macs(self, size: int | tuple[int, ...] | None = None) -> int:
        """Multiply-adds of convolutions and matrix products for one input of `size`.

        Raises:
            InputError: where the network does not take such inputs.
        """
        size = self.img_size if size is None else size
        return count_macs(self, (size, size) if isinstance(size, int) else tuple(size))


def _torchvision(name: str, spec: ExternalSpec) -> nn.Module:
    from torchvision import models

    if name not in models.list_models(module=models):
        raise InputError(f"torchvision has no network {name!r} that classifies pictures; `torchvision.models` lists them")
    if spec.in_chans != 3:
        raise InputError(f"{spec.name} takes 3 channels, not {spec.in_chans}; add in_chans=3, and pictures are given in colour")
    return models.get_model(name, weights=None, num_classes=spec.num_classes)


def _timm(name: str, spec: ExternalSpec) -> nn.Module:
    try:
        import timm
    except ModuleNotFoundError:
        raise InputError(f"{spec.name} is timm's; install it by `pip install 'resnets[timm]'`") from None
    # A plain name only: others would be fetched, or read from a folder.
    if not re.fullmatch(r"\w+", name) or not timm.is_model(name):
        raise InputError(f"timm has no network {name!r}; `timm.list_models()` lists them (without the tag of weights)")
    return timm.create_model(name, pretrained=False, in_chans=spec.in_chans, num_classes=spec.num_classes)


LIBRARIES = {"torchvision": _torchvision, "timm": _timm}


def build(spec: ExternalSpec) -> nn.Module:
    """The library's module, freshly initialised."""
    library, _, name = spec.name.partition("/")
    return LIBRARIES[library](name, spec)


@cache
def skeleton(spec: ExternalSpec) -> nn.Module:
    """The module without memory for its weights, to count on."""
    with torch.device("meta"):
        return build(spec)


@cache
def count_macs(spec: ExternalSpec, size: tuple[int, ...]) -> int:
    """Half of the operations that torch counts in the forward pass of one input; raises as `ExternalSpec.num_macs`."""
    from torch.utils.flop_counter import FlopCounterMode

    num, net = 2, skeleton(spec).train()  # in training, where batch norm needs two
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        try:
            outputs = net(torch.empty(num, spec.in_chans, *size, device="meta"))
        except (RuntimeError, ValueError, AssertionError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(
                f"{spec.name} does not take {size[0]} x {size[1]} pixels ({reason}); add --img-size 64 or more"
            ) from None
    if not isinstance(outputs, Tensor) or outputs.shape != (num, spec.num_classes):
        raise InputError(f"{spec.name} answers in training with more than one score a class; use another network")
    return counter.get_total_flops() // (2 * num)


class External(nn.Module):
    """What the engine, evaluation and saving ask of a model, around the module `net` of another library.

    The arguments are those of `resnets.models.model.Model`.
    """

    def __init__(
        self,
        spec: ExternalSpec,
        task: Task,
        *,
        preprocess: Preprocess,
        labels: Sequence[str],
        metadata: dict[str, Any] | None = None,
        head_config: Mapping[str, Any] | None = None,
        decision: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.spec, self.task, self.preprocess, self.labels = spec, task, preprocess, tuple(labels)
        self.metadata = metadata or {}
        self.decision = dict(decision or {})
        self.net = build(spec)
        self.head_names: tuple[str, ...] = ()
        self.head_config = dict(head_config or {})

    @property
    def checkpoint_activations(self) -> bool:
        return False

    @checkpoint_activations.setter
    def checkpoint_activations(self, on: bool) -> None:
        if on:
            raise InputError(f"checkpoint_activations: {self.spec.name} is another library's and cannot; leave it out")

    def forward(self, x: Tensor, targets: Any = None, *, quick: bool = False) -> Tensor:
        """x (N, in_chans, H, W), normalised -> logits (N, num_classes)."""
        return self.net(x)

    @property
    def header(self) -> Header:
        """What a saved file says of the model."""
        spec: Any = self.spec
        own = {name: self.metadata.get(name, {}) for name in ("metrics", "provenance")}
        own |= {"head": self.head_config, "decision": self.decision}
        return Header(spec, self.task.name, self.preprocess, self.labels, **own, format=saved.EXTERNAL)


def named(name: str, **changes: Any) -> Any:
    """The spec of a network of any library; without a library's name, of this package's."""
    if "/" not in name:
        return zoo.get(name, **changes)
    if others := sorted(changes.keys() - {"in_chans", "num_classes"}):
        raise InputError(f"{', '.join(others)}: {name} is another library's and has no such setting; leave it out")
    return ExternalSpec(name=name, **changes)


def create(spec: Any, *, task: str, preprocess: Preprocess, labels: Sequence[str], **head: Any) -> Any:
    """A freshly initialised model of a spec from `named`. `head` is `hub.create_model`'s: the settings of the head."""
    if not isinstance(spec, ExternalSpec):
        return hub.create_model(spec, task=task, preprocess=preprocess, labels=labels, **head)
    if tasks.get(task).own_size:
        raise InputError(
            f"{spec.name} is another library's and only classifies; the task {task} needs a network of this package"
        )
    spec.num_macs(preprocess.size)  # refuses a size that it cannot take
    return External(spec, tasks.get(task), preprocess=preprocess, labels=labels, **head)


def load(model: str | Path) -> Any:
    """A saved model in evaluation mode, on the CPU: an `External` where the file holds one, else as `resnets.load`.

    Raises:
        InputError: as `resnets.load`, and where the library does not build such a network any more.
    """
    path = locate(model)
    if weights.format_of(path) != saved.EXTERNAL:
        return hub.load(model)
    tensors, metadata = weights.read_tensors(path)
    # Everything but the network is read as it is of ours.
    rest = saved.parse(metadata | {"format": saved.FORMAT, "spec": {}}, path)
    try:
        spec = ExternalSpec(**metadata["spec"])
        num_params = spec.num_params
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise InputError(f"{path}: the header does not describe a network ({error}); the file is damaged") from None
    if num_params > sum(tensor.numel() for tensor in tensors.values()) or len(rest.labels) != spec.num_classes:
        raise InputError(f"{path}: the header describes another network than the tensors are; the file is damaged")
    own = {"metrics": rest.metrics, "provenance": rest.provenance}
    found: Any = External(
        spec,
        tasks.get(rest.task),
        preprocess=rest.preprocess,
        labels=rest.labels,
        metadata=own,
        head_config=rest.head,
        decision=rest.decision,
    )
    weights.fill(found, tensors, path)
    return found.eval()
