"""Derive the `ResNetSpec` from the names and shapes of tensors, and check that the tensors are those of that network."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from resnets.errors import InputError
from resnets.models import weights, zoo
from resnets.models.nn.heads import classifier
from resnets.models.nn.trunk import Trunk
from resnets.models.spec import ResNetSpec, SpecFields

Tensors = Mapping[str, Tensor]
Shapes = Mapping[str, tuple[int, ...]]

# Fields that may differ between a spec and the row of the zoo that gives its name: FREE, and if no row agrees, LOOSE.
FREE = {"name", "in_chans", "num_classes", "dims", "zero_init_last", "depth_counts", "drop_path", "output_stride"}
LOOSE = FREE | {"stem", "stem_stride", "stem_width", "stage_stride", "shortcut"}
IN_TRUNK = r"(conv|bn|norm|stem|layer)\d*\."  # of names that cannot be left out without another network
SHOWN = ("block", "depths", "width", "groups", "group_width", "order", "attention")  # fields that tensors always show


def infer(tensors: Tensors, hidden: Mapping[str, Any], path: Path) -> ResNetSpec:
    """The spec of the network that the tensors belong to.

    Args:
        tensors: by our names.
        hidden: fields that names and shapes do not show but the file's family does, such as `stride_in`.
        path: the file, for messages.

    Raises:
        InputError: if they do not belong to a residual network that this package can build.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name, shape in shapes.items():
        if len(set(shape[2:])) > 1:
            form = " x ".join(map(str, shape[2:]))
            inflated = ", as in 3-D networks inflated from 2-D ones (I3D, SlowFast)" * (len(shape) == 5)
            raise InputError(f"{path}: {name} is a kernel of {form}{inflated}; those here are as long along each axis")
    try:
        fields: dict[str, Any] = {**_stem(shapes), **_blocks(shapes), **_head(shapes), **hidden}
        spec = ResNetSpec(**fields)
    except (KeyError, IndexError, ZeroDivisionError, StopIteration) as error:
        few = ", ".join(sorted(tensors)[:4])
        raise InputError(
            f"{path}: not a residual network that can be built here ({error} is missing); it has {few}, ... ({len(tensors)})"
        ) from None
    except InputError as error:
        raise InputError(f"{path}: not a residual network that can be built here: {error}") from None
    name = named(spec)
    counts = zoo.get(name).depth_counts if name in zoo.ROWS else spec.depth_counts
    return dataclasses.replace(spec, name=name, depth_counts=counts)


def named(spec: ResNetSpec) -> str:
    """The name in the zoo whose spec agrees in all fields except `FREE`, or else except `LOOSE`; "resnet" if none does."""
    for free in (FREE, LOOSE):
        fields = [field.name for field in dataclasses.fields(spec) if field.name not in free]
        for name in zoo.ROWS:
            row = zoo.get(name)
            if all(getattr(row, field) == getattr(spec, field) for field in fields):
                return name
    return "resnet"


def with_model(spec: ResNetSpec, model: str | None, hidden: Mapping[str, Any], path: Path) -> ResNetSpec:
    """`spec` with the fields that tensors do not show taken from the zoo's row `model`; `spec` itself if `model` is None.

    Raises:
        InputError: if the tensors, or what is known of their family, contradict that row.
    """
    if model in (None, spec.name):
        return spec
    row = zoo.get(model)
    told = {field: getattr(spec, field) for field in (*SHOWN, *({"stride_in"} & hidden.keys()))}
    if {spec.shortcut, row.shortcut} <= {"A", "none"}:  # neither has tensors
        spec = dataclasses.replace(spec, shortcut=row.shortcut)
    for field, value in told.items():
        if getattr(row, field) != value:
            raise InputError(
                f"{path}: the tensors are a {spec.name}'s, not a {model}'s ({field} is {value}, not {getattr(row, field)}); "
                "leave out --model"
            )
    return dataclasses.replace(spec, name=row.name, stride_in=row.stride_in, depth_counts=row.depth_counts)


def completed(tensors: Tensors, spec: ResNetSpec, path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """The state dict for a network of `spec`: in its order and dtypes, missing `num_batches_tracked` added as 0.

    Returns:
        The tensors, and the names of others that are beside the network, such as those of another head.

    Raises:
        InputError: if a tensor is missing, has another shape, or is in the trunk and no part of it.
    """
    weights.check_size(spec, dict(tensors), path)
    own = skeleton(spec)
    beside = [name for name in tensors if name not in own and not re.match(IN_TRUNK, name)]
    counters = {name: torch.zeros((), dtype=torch.long) for name in own if name.endswith("num_batches_tracked")}
    held = counters | {name: tensor for name, tensor in tensors.items() if name not in beside}
    if found := weights.faults(own, held):
        raise InputError(f"{path}: looks like a {spec.name}, but cannot be built here ({found})")
    return {name: held[name].to(tensor.dtype).contiguous() for name, tensor in own.items()}, beside


def skeleton(spec: ResNetSpec) -> dict[str, Tensor]:
    """The state dict of a network of `spec` on the "meta" device: names, shapes and dtypes without values."""
    with torch.device("meta"):
        network: nn.Module = Trunk(spec)
        for name, module in classifier(spec).items():
            network.add_module(name, module)
    return network.state_dict()


# --- from names and shapes --------------------------------------------------------------------------------------------------


def _stem(shapes: Shapes) -> SpecFields:
    deep = "conv1.weight" not in shapes
    first = shapes["conv1.0.weight" if deep else "conv1.weight"]
    stem = "deep" if deep else {7: "imagenet", 3: "small"}.get(first[-1])
    if stem is None:
        raise InputError(f"its first convolution is {first[-1]} wide, and those here are 7 or 3")
    width = shapes["conv1.6.weight"][0] if deep else first[0]
    return {"stem": stem, "stem_width": width, "in_chans": first[1], "dims": len(first) - 2}


def _blocks(shapes: Shapes) -> SpecFields:
    found = {(int(m[1]), int(m[2])) for name in shapes if (m := re.match(r"layer([1-4])\.(\d{1,4})\.", name))}
    depths = tuple(sum(stage == number for stage, _ in found) for number in range(1, 1 + max((s for s, _ in found), default=0)))
    first = "layer1.0."
    bottleneck = f"{first}conv3.weight" in shapes
    width = shapes[f"{first}conv3.weight"][0] // 4 if bottleneck else shapes[f"{first}conv1.weight"][0]
    blocks: SpecFields = {
        "block": "bottleneck" if bottleneck else "basic",
        "depths": depths,
        "width": width,
        "order": "post" if "bn1.weight" in shapes else "pre",
        "attention": "se" if f"{first}se.fc1.weight" in shapes else "none",
        "shortcut": _shortcut(shapes, depths),
    }
    stem = shapes["conv1.weight" if "conv1.weight" in shapes else "conv1.6.weight"][0]
    if stem == width:
        blocks["stem_width"] = None
    if bottleneck:
        mid, per_group = shapes[f"{first}conv2.weight"][:2]
        blocks |= {"groups": mid // per_group, "group_width": math.ceil(per_group * 64 / width)}
    return blocks


def _shortcut(shapes: Shapes, depths: tuple[int, ...]) -> str:
    """The shortcut, from the convolutions on shortcuts. Without any it is "A", or "B" if there is only one stage."""
    projections = [
        name
        for name in sorted(shapes)
        if re.fullmatch(r"layer\d\.\d+\.downsample\.[01]\.weight", name) and len(shapes[name]) > 1
    ]
    if not projections:
        return "A" if len(depths) > 1 else "B"
    if any(name.endswith(".1.weight") for name in projections):
        return "D"
    needless = shapes["layer1.0.conv1.weight"][1] == shapes[projections[0]][0] and projections[0].startswith("layer1.0.")
    return "C" if needless or any(".0.downsample" not in name for name in projections) else "B"


def _head(shapes: Shapes) -> SpecFields:
    return {"num_classes": shapes["fc.weight"][0] if "fc.weight" in shapes else 0}
