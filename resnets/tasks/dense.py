"""What the plan of a dense task needs beside others: its data, its network, and inputs that keep their shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from resnets.data.pictures.resize import FREE, mean_array
from resnets.data.preprocess import Preprocess
from resnets.data.readers.names import DenseSource
from resnets.data.sources import Source
from resnets.errors import InputError
from resnets.models import zoo
from resnets.models.header import Header
from resnets.models.pretrained.adapting import rule_for
from resnets.models.spec import ResNetSpec
from resnets.tasks.classify.recipes import PATCH

# Above this shorter side of the input a stem that keeps every pixel is given a stride: the deepest features of a trunk for
# small pictures see some 90 pixels of it, for four times the multiply-adds.
LARGE = 320
DILATED = 8  # largest stride of a level for heads that read the last one alone, as in torchvision's
LONGER = 5 / 3  # most of the longer side, in shorter ones, as 1333 to 800 (Detectron)
# Settings that change pictures, and not volumes, and what they may be all the same.
FLAT_ONLY: dict[str, tuple[Any, ...]] = {
    "img_size": (None,), "resize": ("keep",), "vflip": (0.0,), "scales": ((1.0,),), "normalise": ("data",),
}  # fmt: skip


def of_volumes(source: Source | DenseSource) -> bool:
    return isinstance(source, DenseSource) and source.kind == "volumes"


def check_axes(spec: ResNetSpec, source: Source | DenseSource) -> None:
    """Raise `InputError` where the network takes inputs of another kind than the data's."""
    axes, what = (3, "volumes") if of_volumes(source) else (2, "pictures")
    if spec.dims != axes:
        remedy = "leave --dims out" if axes == 3 else "other data reaches a network through Python only"
        raise InputError(f"dims={spec.dims}: {what} have {axes} spatial axes; {remedy}")
    if axes == 3 and spec.in_chans != source.in_chans:
        raise InputError(f"in_chans={spec.in_chans}: the volumes have {source.in_chans}; leave it out")


def dense_network(
    asked: Mapping[str, Any],
    source: DenseSource,
    header: Header | None,
    named: Callable[..., ResNetSpec],
    changes: Mapping[str, Any],
) -> tuple[ResNetSpec, Preprocess]:
    """The network of a dense task, new or that of a saved model, whatever its task; and its inputs, which keep their shape.

    The size of `Preprocess` is what the rule "shorter" needs, or for "keep" that of a typical picture; of volumes, a patch's.

    Args:
        asked: the settings that were given.
        header: of the weights to start from.
        named: (name, **changes) -> a spec.
        changes: to the spec, of those that were asked for.
    """
    volumes = source.kind == "volumes"
    changes = {"in_chans": source.in_chans} | ({"dims": 3} if volumes else {}) | dict(changes)
    if header is None:
        spec = named("resnet18" if asked.get("model", "auto") == "auto" else asked["model"], **changes)
        means: dict[str, Any] = {"mean": (0.5,) * source.in_chans, "std": (0.5,) * source.in_chans}
    else:
        if asked.get("model", "auto") not in ("auto", header.spec.name):
            raise InputError(f"the weights are a {header.spec.name}'s, not a {asked['model']}'s; leave out --model")
        spec, old = zoo.change(header.spec, **changes), rule_for(header.preprocess, source.in_chans)
        rounded = tuple(mean_array(old).mean((1, 2)).round(6).tolist())
        means = {"mean": rounded, "std": old.std, "interpolation": old.interpolation}
    if volumes:
        means = {"mean": (0.0,) * source.in_chans, "std": (1.0,) * source.in_chans}
        return spec, Preprocess(size=patch_size(source, spec, asked.get("train_size")), resize="keep", crop_pct=1.0, **means)
    if asked.get("interpolation"):
        means["interpolation"] = asked["interpolation"]
    side, rule = asked.get("img_size"), asked.get("resize")
    sizes = source.sizes() or [(224, 224)]
    height, width = [int(np.median(lengths)) for lengths in zip(*sizes, strict=True)][-2:]
    rule = rule if rule in FREE else "keep" if side is None else "shorter"
    if (rule == "shorter") != (side is not None):
        raise InputError("resize=shorter and img_size go together: give both, or leave out resize")
    size = (height, width) if side is None else (side, round(LONGER * side))
    if header is None or not header.head:  # else the trunk belongs to a head
        spec = zoo.change(spec, **suited(spec, size, asked))
    return spec, Preprocess(size=size, resize=rule, crop_pct=1.0, **means)


def suited(spec: ResNetSpec, size: tuple[int, ...], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Changes to a trunk under a new head, of strides alone, so that any weights go on; where the user asked for none."""
    changes: dict[str, Any] = {}
    if spec.levels[0].stride == 1 and min(size) > LARGE:
        changes["stem_stride"] = 2
    if asked.get("head") in ("fcn", "deeplabv3"):
        changes["output_stride"] = DILATED
    return {name: value for name, value in changes.items() if asked.get(name) is None}


def patch_size(source: DenseSource, spec: ResNetSpec, side: int | None) -> tuple[int, ...]:
    """(D, H, W) of training's patches: `side` along each axis or, where volumes are mostly shorter, the largest multiple of the
    trunk's stride that they have; where they are shorter than that too, all of them."""
    side, stride = side or PATCH, spec.levels[-1].stride
    lengths = [int(np.median(lengths)) for lengths in zip(*source.sizes() or [(side,) * 3], strict=True)]
    return tuple(side if length >= side else length // stride * stride or length for length in lengths)


def times(size: tuple[int, ...]) -> str:
    return " x ".join(map(str, size))
