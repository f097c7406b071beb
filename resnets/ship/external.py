"""Networks that are not built here, trained by the same engine: torchvision's and timm's, as baselines, and a user's own.

    resnets.train("cifar10", model="torchvision/alexnet", img_size=64, recipe="he2015", lr=0.01)
    resnets.train("cifar10", model=Net())

A run of theirs is a run directory like any other; its weights say `resnets-external/1`, and which class they need.
`resnets.load`, which is `load` here, opens them; of a class of one's own it takes a module, for no file holds code.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from resnets import tasks
from resnets.data.preprocess import Preprocess
from resnets.engine.contract import Task
from resnets.errors import InputError
from resnets.models import header as saved
from resnets.models import weights, zoo
from resnets.models.header import Header
from resnets.models.model import Answering, Model
from resnets.models.nn.layers import CONVS
from resnets.models.pretrained.names import locate
from resnets.models.spec import Level
from resnets.ship import hub
from resnets.ship.formats import is_exported

OWN = "own"  # before the names of classes of a user's own: "own/my_file.Net"
ANY_SIZE = 8192  # the largest input: as a stride it says that inputs are not made smaller for a time (`grow_from`)


@dataclass(frozen=True, kw_only=True)
class ExternalSpec:
    """A network of another library: "torchvision/NAME" or "timm/NAME". What the engine asks of a spec is counted on it."""

    name: str
    in_chans: int = 3
    num_classes: int = 1000

    dims = 2
    note: ClassVar[str] = "another library's network, from random weights, to compare with; pretrained ResNets: --weights"
    remedy: ClassVar[str] = "add --img-size 64 or more"  # where it does not take an input

    def __post_init__(self) -> None:
        if self.name.partition("/")[0] not in LIBRARIES:
            raise InputError(
                f"no library for {self.name!r}; give one of: {', '.join(f'{name}/NAME' for name in LIBRARIES if name != OWN)}"
            )

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

    def to_json(self) -> dict[str, object]:
        """What a saved file says of it."""
        return {"name": self.name, "in_chans": self.in_chans, "num_classes": self.num_classes}


@dataclass(frozen=True, kw_only=True)
class OwnSpec(ExternalSpec):
    """A network of the user's: the module `net`, which stays as it is; a copy is trained. `num_classes` 0: not known yet."""

    num_classes: int = 0
    net: nn.Module = field(repr=False)

    note = "your own module: the saved files hold its weights, not its class; resnets.load(RUN, module=...) opens them"
    remedy = "give an img_size and in_chans that it takes"


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


def _own(name: str, spec: ExternalSpec) -> nn.Module:
    if not isinstance(spec, OwnSpec):
        raise InputError(
            f"{name} is a class of its author's own, which no file holds; from Python, give a module of it: model=..."
        )
    try:
        return copy.deepcopy(spec.net)
    except Exception as error:  # of others' code, and of tensors that are no leaves
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{name}: the module cannot be copied ({reason}), and a copy is trained") from error


def name_of(net: nn.Module) -> str:
    """The name of a user's own network in recipes and saved files: its class."""
    return f"{OWN}/{type(net).__module__}.{type(net).__qualname__}"


LIBRARIES = {"torchvision": _torchvision, "timm": _timm, OWN: _own}


def build(spec: ExternalSpec) -> nn.Module:
    """The library's module, freshly initialised, or a copy of the user's."""
    library, _, name = spec.name.partition("/")
    return LIBRARIES[library](name, spec)


@lru_cache(maxsize=4)
def skeleton(spec: ExternalSpec) -> nn.Module:
    """The module without memory for its weights (a user's: with it), to count on."""
    with torch.device("meta"):
        return build(spec)


@lru_cache(maxsize=64)
def count_macs(spec: ExternalSpec, size: tuple[int, ...]) -> int:
    """Half of the operations that torch counts in the forward pass of one input; raises as `ExternalSpec.num_macs`."""
    from torch.utils.flop_counter import FlopCounterMode

    num, net = 2, skeleton(spec).train()  # in training, where batch norm needs two
    device = next((parameter.device for parameter in net.parameters()), None)
    if device is None:
        raise InputError(f"{spec.name} has no parameters, so there is nothing to train; use another network")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        try:
            outputs = net(torch.zeros(num, spec.in_chans, *size, device=device))
        except Exception as error:  # of others' code
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(
                f"{spec.name} does not take {size[0]} x {size[1]} pixels of {spec.in_chans} channels ({reason}); {spec.remedy}"
            ) from None
    if not isinstance(outputs, Tensor) or outputs.ndim != 2 or len(outputs) != num:
        raise InputError(f"{spec.name} answers in training with more than one score a class; use another network")
    if spec.num_classes not in (0, outputs.shape[1]):
        raise InputError(
            f"{spec.name} gives {outputs.shape[1]} scores for {spec.num_classes} classes; give its last layer as many outputs"
        )
    return counter.get_total_flops() // (2 * num)


class External(Answering, nn.Module):
    """What the engine, evaluation and saving ask of a model, around the module `net` of another library or of the user.

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
            raise InputError(f"checkpoint_activations: {self.spec.name} is not this package's and cannot; leave it out")

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


def named(name: str, *, net: nn.Module | None = None, **changes: Any) -> Any:
    """The spec of a network of any library; without a library's name, of this package's. `net`: the user's own, whose name
    this is."""
    if "/" not in name:
        return zoo.get(name, **changes)
    if others := sorted(changes.keys() - {"in_chans", "num_classes"}):
        raise InputError(f"{', '.join(others)}: {name} is not this package's and has no such setting; leave it out")
    if net is None:
        return ExternalSpec(name=name, **changes)
    if any(isinstance(parameter, nn.parameter.UninitializedParameter) for parameter in net.parameters()):
        raise InputError(f"{name}: a lazy module without shapes; take a batch through it once before training")
    return OwnSpec(name=name, net=net, **changes)


def own(settings: Mapping[str, Any]) -> tuple[dict[str, Any], nn.Module | None]:
    """Settings with the name of the user's own module in its place, and the module; None where there is none.

    Raises:
        InputError: for a model of this package, unless parts of it were replaced: its name and its weights say all.
    """
    net = settings.get("model")
    if not isinstance(net, nn.Module):
        return dict(settings), None
    check_own(net)
    return {**settings, "model": name_of(net)}, net


def check_own(net: nn.Module) -> None:
    """Raise `InputError` as `own`."""
    if isinstance(net, Model) and weights.is_unchanged(net):
        raise InputError(
            f"model={net.spec.name}, a model of this package: give its name; to start from its weights, resnets.save(model, "
            "FILE) and weights=FILE, which makes a new head for other classes"
        )


def create(spec: Any, *, task: str, preprocess: Preprocess, labels: Sequence[str], **head: Any) -> Any:
    """A freshly initialised model of a spec from `named`. `head` is `hub.create_model`'s: the settings of the head."""
    if not isinstance(spec, ExternalSpec):
        return hub.create_model(spec, task=task, preprocess=preprocess, labels=labels, **head)
    if tasks.get(task).own_size:
        raise InputError(
            f"{spec.name} is not this package's and gives one answer per picture; the task {task} needs a network that is"
        )
    spec.num_macs(preprocess.size)  # refuses a size that it cannot take
    return External(spec, tasks.get(task), preprocess=preprocess, labels=labels, **head)


def load(model: str | Path, *, module: nn.Module | None = None) -> Any:
    """A saved model, in evaluation mode, on the CPU. No code in the file is executed.

    Args:
        model: a `.safetensors` file, a run directory (the weights that it scored), the name of a bundled model, or another
            library's weights (see `open_weights`).
        module: of weights of a class of one's own: a module of that class, which stays as it is; a copy gets the weights.

    Returns:
        A `Model`; an `External`, whose `net` is the module, where the file needs a class that is not this package's.

    Raises:
        InputError: if it is missing, damaged, of another format version, or not a network that can be built here; where a
            module is needed, or the weights are not those of the one that is given.
    """
    path = locate(model)
    if is_exported(path):
        raise InputError(f"{path}: exported, so it answers and holds no network; use resnets.predict({str(model)!r}, PICTURES)")
    if weights.format_of(path) != saved.EXTERNAL:
        if module is not None:
            raise InputError(f"{path}: a network of this package, which needs no module; leave that out")
        return hub.load(model)
    return _opened(path, module)


def _opened(path: Path, module: nn.Module | None) -> External:
    """The saved `External` in a file. Raises as `load`."""
    tensors, metadata = weights.read_tensors(path)
    # Everything but the network is read as it is of ours.
    rest = saved.parse(metadata | {"format": saved.FORMAT, "spec": {}}, path)
    try:
        told = ExternalSpec(**metadata["spec"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: the header does not describe a network ({error}); the file is damaged") from None
    spec = _completed(told, module, path)
    try:
        num_params = spec.num_params
    except RuntimeError as error:
        raise InputError(f"{path}: the header does not describe a network ({error}); the file is damaged") from None
    if num_params > sum(tensor.numel() for tensor in tensors.values()) or len(rest.labels) != spec.num_classes:
        raise InputError(f"{path}: the header describes another network than the tensors are; {_other(spec)}")
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
    if faults := weights.faults(found.state_dict(), tensors):
        raise InputError(f"{path}: the tensors are not those of its network ({faults}); {_other(spec)}")
    found.load_state_dict(tensors)
    return found.eval()


def _completed(told: ExternalSpec, module: nn.Module | None, path: Path) -> ExternalSpec:
    """The spec that a file states, with the module that it needs."""
    library, _, name = told.name.partition("/")
    if library != OWN:
        if module is not None:
            raise InputError(f"{path}: holds {told.name}, which {library} builds; leave module out")
        return told
    if module is None:
        raise InputError(
            f"{path}: needs the class {name}, which no file holds; give a module of it, with the arguments of training: "
            f"resnets.load(..., module={name.rpartition('.')[2]}(...))"
        )
    return OwnSpec(name=told.name, in_chans=told.in_chans, num_classes=told.num_classes, net=module)


def _other(spec: ExternalSpec) -> str:
    """What is the matter where tensors and network differ."""
    if not isinstance(spec, OwnSpec):
        return "the file is damaged"
    return f"it needs {spec.name.partition('/')[2]} as it was trained, and the module given is {type(spec.net).__qualname__}"
