"""Names and files to models."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from resnets import tasks
from resnets.data.preprocess import Preprocess
from resnets.errors import InputError
from resnets.files import replacing
from resnets.models import weights, zoo
from resnets.models.model import Model
from resnets.models.pretrained import keymaps
from resnets.models.pretrained.adapting import adapted
from resnets.models.pretrained.opening import Opened, open_weights
from resnets.models.spec import ResNetSpec


def create_model(
    name: str | ResNetSpec,
    *,
    task: str = "classify",
    preprocess: Preprocess | None = None,
    labels: Sequence[str] | None = None,
    head_config: Mapping[str, Any] | None = None,
    form: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Model:
    """A freshly initialised network.

    Args:
        name: a name of `list_models`, or a spec.
        task: what it is for.
        preprocess: how pictures become inputs; None: ImageNet's statistics at the network's size.
        labels: names of the classes; their number is then `num_classes`.
        head_config: settings of the task's head: for "segment" {"head": "fcn"}, for "detect" fields of
            `tasks.detect.head.Detecting`.
        form: the former name of `head_config`.
        changes: fields of the spec to change: `num_classes=10, in_chans=1, stem="small", dims=3, ...`

    Raises:
        InputError: for a name or a setting that does not exist.
    """
    if form is not None:
        warnings.warn("create_model(form=...) is called head_config now", DeprecationWarning, stacklevel=2)
    if labels is not None:
        changes.setdefault("num_classes", len(labels))
    spec = zoo.change(name, **changes) if isinstance(name, ResNetSpec) else zoo.get(name, **changes)
    return Model(spec, tasks.get(task), preprocess=preprocess, labels=labels, head_config=head_config or form)


def load(model: str | Path) -> Model:
    """A saved model, in evaluation mode, on the CPU. Nothing in the file is run.

    Args:
        model: a `.safetensors` file, a run directory (the weights that it scored), or what else `open_weights` reads: another
            library's file, a name.

    Raises:
        InputError: where it is missing, damaged, of another format version, or no residual network that is known here.
    """
    return built(open_weights(model))


def built(opened: Opened) -> Model:
    """The model of weights that were read, in evaluation mode. Raises `InputError` where they do not fit their header."""
    header, tensors, path = opened.header, opened.tensors, opened.path
    metadata = {"metrics": header.metrics, "provenance": header.provenance}
    task = tasks.get(header.task)
    loaded = Model(
        header.spec, task, preprocess=header.preprocess, labels=header.labels, metadata=metadata, head_config=header.head
    )
    weights.fill(loaded, tensors, path)
    return loaded.eval()


def save(model: Model, path: str | Path) -> Path:
    """Write a model with all that belongs to it as one `.safetensors` file; `load` reads it."""
    return weights.save(model, path)


def transfer(model: Model, source: str | Path | Opened) -> dict[str, list[str]]:
    """Put into `model` what fits of saved weights, whoever wrote them.

    The stem is brought to the channels of `model`, and two-dimensional kernels to its number of axes, where these differ.

    Returns:
        Names of tensors: "loaded", "adapted" (with what was done), "re-initialised" (not in the file, or of another shape),
        "ignored" (only in the file).

    Raises:
        InputError: where nothing fits.
    """
    opened = source if isinstance(source, Opened) else open_weights(source)
    header, own = opened.header, model.state_dict()
    tensors, said = adapted(opened.tensors, header.spec, model.spec)
    heads = tuple(f"{name}." for name in model.head_names)
    # What tells other classes apart is another thing, even where their number is the same.
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
) -> Opened:
    """Write weights that `open_weights` reads as a file of ours, or of another library.

    Args:
        checkpoint: a file or a name; the other arguments are those of `open_weights`.
        out: a .safetensors file; for another library also .pth, .pt or .bin, as torch.save writes it.
        to: "torchvision" or "timm"; None: ours.

    Returns:
        What was read.

    Raises:
        InputError: where it cannot be read, the library has no such network, or `out` cannot be written.
    """
    out = Path(out)
    allowed = (".safetensors",) if to is None else (".safetensors", ".pth", ".pt", ".bin")
    if out.suffix not in allowed:
        raise InputError(f"{out}: name the file to write {' or '.join(f'{out.stem}{suffix}' for suffix in allowed)}")
    if to is not None and to not in keymaps.BACK:
        raise InputError(f"there is no way to {to!r}; use one of: {', '.join(keymaps.BACK)}")
    opened = open_weights(checkpoint, model=model, mean=mean, std=std, labels=labels, hidden=hidden)
    if to is not None and opened.header.task != "classify":
        raise InputError(f"{checkpoint}: for the task {opened.header.task}; only classifiers go to {to}; leave out --to")
    if to is None:
        weights.write_tensors(out, built(opened).state_dict(), opened.header.to_json())
        return opened
    theirs = keymaps.BACK[to](opened.tensors, opened.header.spec)
    if out.suffix == ".safetensors":
        origin = {name: str(value) for name, value in opened.origin.items()}
        weights.write_plain(out, theirs, {"format": "pt"} | origin)
    else:
        with replacing(out) as temporary:
            torch.save(theirs, temporary)
    return opened
