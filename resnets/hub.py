"""Names and files to models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from resnets import tasks, weights, zoo
from resnets.model import Model
from resnets.pretrained.opening import Opened, open_weights
from resnets.saved import find
from resnets.spec import InputError, Preprocess, ResNetSpec


def create_model(
    name: str | ResNetSpec,
    *,
    task: str = "classify",
    preprocess: Preprocess | None = None,
    labels: Sequence[str] | None = None,
    **changes: Any,
) -> Model:
    """A freshly initialised network.

    Args:
        name: a name of `list_models`, or a spec.
        task: what it is for.
        preprocess: how pictures become inputs; None: ImageNet's statistics at the network's size.
        labels: names of the classes; their number is then `num_classes`.
        changes: fields of the spec to change: `num_classes=10, in_chans=1, stem="small", dims=3, ...`

    Raises:
        InputError: for a name or a setting that does not exist.
    """
    if labels is not None:
        changes.setdefault("num_classes", len(labels))
    spec = zoo.change(name, **changes) if isinstance(name, ResNetSpec) else zoo.get(name, **changes)
    return Model(spec, tasks.get(task), preprocess=preprocess, labels=labels)


def load(model: str | Path) -> Model:
    """A saved model, in evaluation mode, on the CPU. Nothing in the file is run.

    Args:
        model: a `.safetensors` file, a run directory (its best weights), or what else `open_weights` reads: another library's
            file, a name.

    Raises:
        InputError: where it is missing, damaged, of another format version, or no residual network that is known here.
    """
    return built(open_weights(model))


def built(opened: Opened) -> Model:
    """The model of weights that were read, in evaluation mode. Raises `InputError` where they do not fit their header."""
    header, tensors, path = opened.header, opened.tensors, opened.path
    metadata = {"metrics": header.metrics, "provenance": header.provenance}
    task = tasks.get(header.task)
    loaded = Model(header.spec, task, preprocess=header.preprocess, labels=header.labels, metadata=metadata)
    weights.fill(loaded, tensors, path)
    return loaded.eval()


def for_pictures(model: Model) -> Model:
    """`model`, if it says the class of pictures.

    Raises:
        InputError: where its inputs are of another kind, or it has no classes.
    """
    if model.spec.dims != 2:
        raise InputError(f"the model takes inputs with {model.spec.dims} spatial axes, and pictures have 2; use it from Python")
    if not model.labels:
        raise InputError("the model has no classes; give it some by `resnets train --weights`, or use it from Python")
    return model


def save(model: Model, path: str | Path) -> Path:
    """Write a model with all that belongs to it as one `.safetensors` file; `load` reads it."""
    return weights.save(model, path)


def transfer(model: Model, saved: str | Path) -> dict[str, list[str]]:
    """Put into `model` what fits of a saved one, a file or a run directory.

    Returns:
        Names of tensors: "loaded", "re-initialised" (not in the file, or of another shape), "ignored" (only in the file).

    Raises:
        InputError: where nothing fits.
    """
    path = find(saved)
    header, tensors = weights.read(path)
    own = model.state_dict()
    # A head for other classes is another head, even where their number is the same.
    same_head = header.labels == model.labels
    heads = tuple(f"{name}." for name in model.head_names)
    fitting = {
        name: tensor
        for name, tensor in tensors.items()
        if name in own and own[name].shape == tensor.shape and (same_head or not name.startswith(heads))
    }
    if not any(tensor.ndim > 1 and not name.startswith(heads) for name, tensor in fitting.items()):
        raise InputError(
            f"{path}: no tensor of its {header.spec.name} fits into {model.spec.name}; use --model {header.spec.name}"
        )
    model.load_state_dict(fitting, strict=False)
    return {
        "loaded": list(fitting),
        "re-initialised": [name for name in own if name not in fitting],
        "ignored": [name for name in tensors if name not in fitting],
    }
