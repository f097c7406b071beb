"""What is of volumes in tasks with one answer each: network, size of inputs, normalisation, augmentation. See `forms`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resnets.data.preprocess import Preprocess
from resnets.data.types import Samples, Source, Split
from resnets.data.window_levels import limits
from resnets.engine.recipe import changed_spec, spec_changes
from resnets.engine.settings import fields_of, show
from resnets.engine.values import Design, Settings
from resnets.errors import InputError
from resnets.models import zoo
from resnets.models.header import Header
from resnets.models.spec import ResNetSpec
from resnets.models.zoo import Named
from resnets.tasks.image_level.settings import ImageLevelSettings

NETWORK, OF_LARGE = "resnet20_cifar", "resnet18"  # the networks of inputs up to `MOST` voxels, and of larger ones
MOST = 64**3  # voxels of an input that nobody asked for
STRIDED = 24**3  # voxels above which a stem that keeps every one of them is given a stride
LOOKED = 200  # volumes whose headers are read
ALIKE = 1.6  # longest side, in medians, up to which volumes are padded
LARGEST = 0.95  # quantile of a side that the input has then
KEEPING = "pad", "squash"  # rules for inputs of one size


def design(asked: Settings, source: Source, header: Header | None, named: Named) -> Design:
    if asked.get("resize") not in (None, *KEEPING):
        raise InputError(f"resize={asked['resize']}: a volume is padded, or resampled to one size; use pad or squash")
    changes: dict[str, Any] = {"in_chans": source.in_chans, "dims": 3} | spec_changes(asked)
    scale: dict[str, Any] = {"mean": (0.0,) * source.in_chans, "std": (1.0,) * source.in_chans, "crop_pct": 1.0}
    size, rule = asked_size(asked), {name: asked[name] for name in ("resize", "interpolation") if asked.get(name)}
    if header is not None and len(header.preprocess.size) == 3 and header.preprocess.resize in KEEPING:
        own = rule | ({} if size is None else {"size": size})
        return Design(changed_spec(header, asked, changes), dataclasses.replace(header.preprocess, **scale, **own))
    fitted, by_data = size_of(source.splits["train"].images.shapes(LOOKED), asked.get("resize"))
    preprocess = Preprocess(size=size or fitted, **{"resize": by_data} | rule | scale)
    if header is not None:
        return Design(strided(changed_spec(header, asked, changes), preprocess, asked), preprocess)
    name = asked.get("model", "auto")
    if name == "auto":
        name = NETWORK if math.prod(preprocess.size) <= MOST else OF_LARGE
    return Design(strided(named(name, **changes), preprocess, asked), preprocess)


def asked_size(asked: Settings) -> tuple[int, ...] | None:
    """(D, H, W) that the user asked for. Raises `InputError` where that is said twice."""
    side, sides = asked.get("img_size"), asked.get("volume_size")
    if side is not None and sides is not None and tuple(sides) != (side,) * 3:
        raise InputError(f"img_size={side} and volume_size={show(tuple(sides))} exclude each other; give one of them")
    return tuple(sides) if sides is not None else None if side is None else (side,) * 3


def size_of(shapes: np.ndarray, rule: str | None) -> tuple[tuple[int, ...], str]:
    """The size (D, H, W) of inputs, and the rule: volumes (N, 3) of about one size are padded to what nearly all have, so that
    lengths stay what they are; others are resampled to the median. Neither has more than `MOST` voxels."""
    if not len(shapes):
        raise InputError("no volume of the training split can be read; `resnets data check` says why")
    median, largest = np.median(shapes, 0), np.quantile(shapes, LARGEST, axis=0)
    alike = bool((shapes.max(0) <= ALIKE * median).all()) and np.ceil(largest).prod() <= MOST
    rule = rule or ("pad" if alike else "squash")
    sides = largest if rule == "pad" else median
    smaller = min(1.0, (MOST / sides.prod()) ** (1 / 3))
    rounded = np.ceil(sides) if smaller == 1 else np.floor(sides * smaller)
    return tuple(max(1, int(side)) for side in rounded), rule


def strided(spec: ResNetSpec, preprocess: Preprocess, asked: Settings) -> ResNetSpec:
    """The network, its stem with a stride for larger inputs where nobody asked for one; weights go on, whatever the stride."""
    if asked.get("stem_stride") is None and math.prod(preprocess.size) > STRIDED and spec.levels[0].stride == 1:
        return zoo.change(spec, stem_stride=2)
    return spec


def settle(recipe: ImageLevelSettings, origins: Mapping[str, str], design: Design, own: str) -> dict[str, tuple[Any, str]]:
    if recipe.normalise not in ("data", "each"):
        raise InputError(f"normalise={recipe.normalise}: each volume is normalised by itself; leave it out")
    if recipe.crop == "resized":
        raise InputError("crop=resized: volumes are moved as a whole; use pad, with crop_pad, and zoom")
    preprocess = design.preprocess
    whose = "the weights, or the data" if recipe.weights else "the data"
    found: dict[str, tuple[Any, str]] = {
        "resize": (preprocess.resize, whose),
        "dims": (3, "the data"),
        "normalise": ("each", "the data"),
    }
    if recipe.img_size is None and recipe.volume_size is None:
        found["volume_size"] = (preprocess.size, whose)
    stride = getattr(design.spec, "stem_stride", None)
    if recipe.stem_stride is None and stride is not None:
        found["stem_stride"] = (stride, "the data")
    return found


def preprocess(recipe: ImageLevelSettings, design: Design, source: Source, bad: Any) -> Preprocess:
    return design.preprocess


def inputs(recipe: ImageLevelSettings, preprocess: Preprocess) -> str:
    size = " x ".join(map(str, preprocess.size))
    how = {
        "pad": "voxels as they are: larger volumes cut to their middle, smaller ones filled with their mean",
        "squash": f"others resampled to that, {preprocess.interpolation}",
        "keep": "as they are",
    }[preprocess.resize]
    clipped = ""
    if preprocess.window is not None:
        clipped = "clipped from {:g} to {:g}, then ".format(*limits(preprocess.window))
    return f"{size} voxels (depth, height, width), {how}; {clipped}each by its own mean and standard deviation"


def samples(
    split: Split, preprocess: Preprocess, num_classes: int, recipe: ImageLevelSettings | None, device: Any, balance: bool
) -> Samples:
    from resnets.data.batches.image_level import CPU
    from resnets.data.batches.whole_volumes import VolumeAugment, WholeVolumes

    own: dict[str, Any] = {"split": split, "preprocess": preprocess, "num_classes": num_classes, "device": device or CPU}
    if recipe is None:
        return WholeVolumes(**own)
    augment = VolumeAugment(
        mirror=(recipe.dflip, recipe.vflip, recipe.hflip),
        shift=recipe.crop_pad if recipe.crop == "pad" else 0.0,
        rotation=recipe.rotation,
        zoom=recipe.zoom,
        scaling=recipe.scaling,
        jitter=recipe.jitter,
        mixup=recipe.mixup if "mixup" in fields_of(type(recipe)) else 0.0,  # type: ignore[attr-defined]
    )
    return WholeVolumes(**own, augment=augment, seed=recipe.seed, balance=balance, repeats=recipe.repeats)


def preview(source: Source, samples: Any, captions: Sequence[str], out: str | Path, seed: int) -> Path:
    from resnets.tasks.image_level import fitted_preview

    size = " x ".join(map(str, samples.preprocess.size))
    return fitted_preview.preview(source, samples, captions, out, f"the middle slice of {size} voxels", seed=seed)
