"""Functions that create, load, save and convert models, by name or file."""

from __future__ import annotations

import dataclasses
import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from resnets import tasks
from resnets.data.preprocess import Preprocess
from resnets.engine.recipe import changed_spec
from resnets.errors import InputError
from resnets.files import replacing
from resnets.models import header as saved
from resnets.models import weights, zoo
from resnets.models.model import Model
from resnets.models.pretrained import keymaps
from resnets.models.pretrained.adapting import adapted, rule_for
from resnets.models.pretrained.opening import Opened, open_weights
from resnets.models.spec import ResNetSpec
from resnets.stores import publishing


def create_model(
    name: str | ResNetSpec,
    *,
    pretrained: bool | str | Path = False,
    task: str = tasks.DEFAULT,
    preprocess: Preprocess | None = None,
    labels: Sequence[str] | None = None,
    head_config: Mapping[str, Any] | None = None,
    form: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Model:
    """A network, with random or with trained weights.

    With `pretrained` the rule is that of `resnets train --weights`: the network, its preprocessing and its classes are those of
    the weights, with the changes that are given; all tensors that fit are loaded. Other `labels`, or another `num_classes`,
    make the head new (random), even if there are as many; the same classes keep it, and how its outputs become answers. Other
    `in_chans` and `dims` adapt the weights (see `transfer`). `model.metadata` says where the weights come from.

    Args:
        name: one of `list_models()`, or a spec.
        pretrained: True: the weights of this network that come with the package, without a download. Else what `--weights`
            takes: a file, a run directory, the name of a bundled model, or of published weights, which are fetched once:
            "torchvision/resnet50", "IMAGENET1K_V2", "timm/resnet50.a1_in1k". False: random weights.
        task: a key of `resnets.tasks.TASKS`.
        preprocess: how images become inputs; default (None): ImageNet's mean and standard deviation (0.5 for other channels
            than three) at the network's input size. Its number of channels is that of a network by name, unless `in_chans` is.
        labels: class names; `num_classes` is then their number. Default (None): "0", "1", ...
        head_config: settings of the task's head, such as {"head": "fcn"} for segmentation; for detection, fields of `Detecting`
            in `resnets.tasks.detect.head`.
        form: the former name of `head_config`.
        changes: fields of the spec to change, such as `num_classes=10, in_chans=1, stem="small", dims=3`.

    Raises:
        InputError: for an unknown name or setting; where there are no such weights, or they are of another network.
    """
    if form is not None:
        warnings.warn("create_model(form=...) is called head_config now", DeprecationWarning, stacklevel=2)
    if labels is not None:
        changes.setdefault("num_classes", len(labels))
    if preprocess is not None and isinstance(name, str):
        changes.setdefault("in_chans", preprocess.in_chans)
    config = head_config or form
    if pretrained is not False:
        return _pretrained(name, pretrained, task, preprocess, labels, config, changes)
    spec = zoo.change(name, **changes) if isinstance(name, ResNetSpec) else zoo.get(name, **changes)
    return Model(spec, tasks.get(task), preprocess=preprocess, labels=labels, head_config=config)


def _pretrained(
    name: str | ResNetSpec,
    what: bool | str | Path,
    task: str,
    preprocess: Preprocess | None,
    labels: Sequence[str] | None,
    config: Mapping[str, Any] | None,
    changes: Mapping[str, Any],
) -> Model:
    """The model of `create_model`, with the weights `what`."""
    source = bundled(name if isinstance(name, str) else name.name) if isinstance(what, bool) else what
    if isinstance(name, str):
        opened = open_weights(source, model=name)
        spec = changed_spec(opened.header, {"model": name}, changes)
    else:
        opened, spec = open_weights(source), zoo.change(name, **changes)
    header = opened.header
    if labels is None and spec.num_classes == len(header.labels):
        labels = header.labels
    if header.task != task and labels == header.labels:
        raise InputError(
            f"{what}: weights for the task {header.task}, not {task}; give task={header.task!r}, or labels for a new head"
        )
    rule = preprocess or rule_for(header.preprocess, spec.in_chans)
    if config is None and header.task == task:
        config = header.head
    model = Model(spec, tasks.get(task), preprocess=rule, labels=labels, head_config=config)
    transfer(model, opened)
    model.metadata["provenance"] = {"weights": opened.origin}
    if (model.spec, model.labels, model.task.name) == (header.spec, header.labels, header.task):
        model.decision, model.metadata = dict(header.decision), {"metrics": header.metrics, "provenance": header.provenance}
    return model


def bundled(network: str) -> Path:
    """The weights of a network that come with the package. Raises `InputError`, with those that do, where it has none."""
    known = {weights.read_header(path).spec.name: path for path in saved.boxed().values()}
    if network not in known:
        raise InputError(
            f"pretrained=True: no weights of {network} come with this package, only of {', '.join(known)}; name "
            f'those to fetch, such as pretrained="torchvision/{network}", or give a file or a run directory'
        )
    return known[network]


def load(model: str | Path) -> Model:
    """A saved model of this package, in evaluation mode, on the CPU. No code in the file is executed.

    Args:
        model: a `.safetensors` file, a run directory (the weights that it scored), the name of a bundled model, or another
            library's weights (see `open_weights`).

    Raises:
        InputError: if it is missing, damaged, of another format version, or not a network that can be built here.
    """
    return built(open_weights(model))


def built(opened: Opened) -> Model:
    """The model of opened weights, in evaluation mode. Raises `InputError` if the tensors do not agree with the header."""
    header, tensors, path = opened.header, opened.tensors, opened.path
    metadata = {"metrics": header.metrics, "provenance": header.provenance}
    task = tasks.get(header.task)
    loaded = Model(
        header.spec,
        task,
        preprocess=header.preprocess,
        labels=header.labels,
        metadata=metadata,
        head_config=header.head,
        decision=header.decision,
    )
    weights.fill(loaded, tensors, path)
    return loaded.eval()


def save(model: Model, path: str | Path) -> Path:
    """Write a model with preprocessing, labels and provenance to a `.safetensors` file, atomically; returns the path.

    Raises:
        InputError: if `path` cannot be written, or the model was changed, so that the file would be another network; see
            `weights.check_unchanged`.
    """
    weights.check_unchanged(model)
    return weights.save(model, path)


def transfer(model: Model, source: str | Path | Opened) -> dict[str, list[str]]:
    """Load into `model` all tensors of saved weights whose names and shapes agree.

    If the numbers of input channels or spatial axes differ, the stem and the 2-D kernels are adapted first. Tensors that
    depend on the classes are skipped if the class names differ, and the head if the task differs.

    Returns:
        Names of tensors: "loaded"; "adapted", each with a description; "re-initialised": kept random in `model`;
        "ignored": of the file, not used.

    Raises:
        InputError: if no tensor of the trunk agrees.
    """
    opened = source if isinstance(source, Opened) else open_weights(source)
    header, own = opened.header, model.state_dict()
    tensors, said = adapted(opened.tensors, header.spec, model.spec)
    heads = tuple(f"{name}." for name in model.head_names)
    # Tensors that distinguish the classes are not transferred to other classes, even if their number is the same.
    other = () if header.labels == model.labels else model.task.of_classes
    if header.task != model.task.name:
        other = heads
    fitting = {
        name: tensor
        for name, tensor in tensors.items()
        if name in own and own[name].shape == tensor.shape and not name.startswith(other)
    }
    if not any(tensor.ndim > 1 and not name.startswith(heads) for name, tensor in fitting.items()):
        raise InputError(
            f"{opened.path}: no tensor of its {header.spec.name} fits into {model.spec.name}; use --model {header.spec.name}"
        )
    model.load_state_dict(fitting, strict=False)
    return {
        "loaded": [name for name in fitting if name not in said],
        "adapted": [f"{name} ({said[name]})" for name in fitting if name in said],
        "re-initialised": [name for name in own if name not in fitting],
        "ignored": [name for name in tensors if name not in fitting],
    }


@publishing
def convert(
    checkpoint: str | Path,
    out: str | Path,
    *,
    to: str | None = None,
    model: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    labels: str | Path | Sequence[str] | None = None,
    hidden: Mapping[str, Any] | None = None,
    prefix: str | None = None,
    task: str | None = None,
) -> Opened:
    """Read weights and write them as a saved model of this package, or as another library's state dict.

    Args:
        checkpoint: a file or a name; this and the remaining arguments are those of `open_weights`.
        out: the file to write: .safetensors; for another library also .pth, .pt or .bin, written by torch.save.
        to: "torchvision" or "timm"; default (None): this package.
        task: one whose answers are embeddings: those of the file are then the network's pooled features as they are, unless it
            is for this task already. Default (None): the task of the weights.

    Returns:
        The weights that were read.

    Raises:
        InputError: if the weights cannot be read, the library has no such network, or `out` cannot be written.
    """
    out = Path(out)
    allowed = (".safetensors",) if to is None else (".safetensors", ".pth", ".pt", ".bin")
    if out.suffix not in allowed:
        raise InputError(f"{out}: name the file to write {' or '.join(f'{out.stem}{suffix}' for suffix in allowed)}")
    if to is not None and to not in keymaps.BACK:
        raise InputError(f"cannot convert to {to!r}; use one of: {', '.join(keymaps.BACK)}")
    opened = open_weights(checkpoint, model=model, mean=mean, std=std, labels=labels, hidden=hidden, prefix=prefix)
    if task not in (None, opened.header.task):
        opened = embedding(opened, str(task))
    if to is not None and tasks.get(opened.header.task).own_size:
        raise InputError(
            f"{checkpoint}: for the task {opened.header.task}; only classifiers can be converted to {to}; leave out --to"
        )
    if to is None:
        weights.write_tensors(out, built(opened).state_dict(), opened.header.to_json())
        return opened
    theirs = keymaps.BACK[to](opened.tensors, opened.header.spec)
    if out.suffix == ".safetensors":
        origin = {name: str(value) for name, value in opened.origin.items()}
        weights.write_plain(out, theirs, {"format": "pt"} | origin)
    else:
        written = io.BytesIO()  # of a full disk, torch's writer says nothing that one could tell it by
        torch.save(theirs, written)
        with replacing(out) as temporary:
            temporary.write_bytes(written.getbuffer())
    return opened


def embedding(opened: Opened, task: str) -> Opened:
    """The trunk of opened weights as a model of `task`, whose answers are its pooled features.

    Raises:
        InputError: where the task's answers are to be learnt.
    """
    if not tasks.get(task).embeds:
        raise InputError(f"the task {task} learns its answers: resnets train DATA --task {task} --weights {opened.path}")
    spec = zoo.change(opened.header.spec, num_classes=0)
    header = dataclasses.replace(opened.header, spec=spec, task=task, labels=(), head={}, decision={})
    own = Model(spec, tasks.get(task), preprocess=header.preprocess, labels=()).state_dict()
    tensors = {name: tensor for name, tensor in opened.tensors.items() if name in own}
    return dataclasses.replace(opened, header=header, tensors=tensors)
