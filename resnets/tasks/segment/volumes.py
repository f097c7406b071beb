"""What is other of volumes: patches in training, whole volumes in evaluation, each normalised by itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from resnets.data.intensities import CT, is_ct, ranges
from resnets.data.machine import num_processors
from resnets.data.millimetres import AUTO, NONE
from resnets.data.pictures.images import BadPicture
from resnets.data.preprocess import Preprocess
from resnets.data.types import Samples, Source, Split
from resnets.data.words import IMAGES_OF
from resnets.engine.settings import show
from resnets.engine.values import Design, Settings
from resnets.errors import InputError
from resnets.models import budget
from resnets.models.header import Header
from resnets.models.spec import ResNetSpec
from resnets.tasks.dense.task import sizes
from resnets.tasks.segment.planning import Budget, Planned, plan
from resnets.tasks.segment.settings import PATCH, PLANNED, SURFACE_TOLERANCE, SegmentSettings
from resnets.tasks.segment.surfaces import tables

# Settings of pictures and of volumes, and what they are where they do nothing; of older runs of pictures too.
OF_PICTURES: dict[str, Any] = {"img_size": (None,), "resize": ("keep",), "scales": ((1.0,),), "normalise": ("data",)}
OF_VOLUMES: dict[str, Any] = {
    "dflip": (0.0,), "rotation": (0.0,), "zoom": (0.0,), "intensity": (0.0,), "foreground": (1 / 3,),
    "surface_tolerance": (SURFACE_TOLERANCE,), "spacing": (AUTO, NONE), "modality": (AUTO, "other"),
}  # fmt: skip


def check(recipe: SegmentSettings, dims: int) -> None:
    """Raise `InputError` where a setting is given that only changes pictures, or volumes, and `dims` says the other; and where
    the library is missing that volumes are measured with."""
    for name, off in (OF_PICTURES if dims == 3 else OF_VOLUMES).items():
        if (value := getattr(recipe, name)) not in off:
            raise InputError(f"{name}={show(value)}: {IMAGES_OF[dims]} cannot use it; leave it out")
    if recipe.train_size and len(recipe.train_size) not in (1, dims):
        raise InputError(f"train_size={show(recipe.train_size)}: give one side, or {dims}, one for each axis")
    if dims == 3:
        tables()


def preprocess(source: Source, size: tuple[int, ...]) -> Preprocess:
    """Inputs of any size, of which training sees patches of `size`."""
    mean, std = (0.0,) * source.in_chans, (1.0,) * source.in_chans
    return Preprocess(size=size, resize="keep", crop_pct=1.0, mean=mean, std=std)


def is_planned(asked: Settings, header: Header | None) -> bool:
    """Whether the network is planned from the volumes: where no other one was asked for, by name or by weights."""
    return header is None and asked.get("model", "auto") in ("auto", PLANNED)


def planned(source: Source, asked: Settings) -> Planned:
    """The network and the patches for these volumes on this machine, around what was asked for."""
    import torch

    from resnets.engine import device as devices

    device = devices.find(str(asked.get("device", "auto")))
    memory = torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else budget.memory() // 2
    found = measured(source)
    return plan(*found, Budget.of(device.type, num_processors(), memory), asked, in_chans=source.in_chans)


def settled(
    recipe: SegmentSettings, origins: Mapping[str, str], source: Source, design: Design, own: str
) -> dict[str, tuple[Any, str]]:
    """The settings that say what was planned, as far as they were left open."""
    spec, size = design.spec, design.preprocess.size
    asked = {"device": recipe.device, "depths": spec.depths, "strides": spec.strides, "width": spec.width, "train_size": size}
    planned_of = asked | {"batch_size": planned(source, asked).batch}
    names = ("depths", "strides", "width", "train_size", "batch_size")
    return {name: (planned_of[name], "the plan") for name in names if origins[name] in ("default", own)}


def told(recipe: SegmentSettings, source: Source) -> str:
    """The plan in a line."""
    shape, spacing = ((" x ".join(f"{value:.3g}" for value in values)) for values in measured(source))
    halved = "+".join(recipe.strides or ())
    patch = " x ".join(map(str, recipe.train_size or ()))
    return (
        f"plan     volumes of mostly {shape} voxels of {spacing} mm: patches of {patch}, "
        f"{recipe.batch_size} a step; {recipe.width} channels at first, {show(recipe.depths)} blocks, strides {halved}"
    )


def measured(source: Source, most: int = 24) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The median shape (D, H, W) in voxels and the median spacing in mm of up to `most` training volumes, evenly spread, of
    those that can be read; (64, 64, 64) at 1 mm where none can."""
    images, found = source.splits["train"].images, []
    for index in np.unique(np.linspace(0, len(images) - 1, min(most, len(images))).round().astype(int)).tolist():
        with suppress(BadPicture):
            volume = images[index]
            found.append((volume.shape[:3], volume.spacing))
    shape, spacing = np.median(found or [((PATCH,) * 3, (1.0,) * 3)], 0).tolist()
    return tuple(shape), tuple(spacing)


def patch_size(source: Source, spec: ResNetSpec, sides: tuple[int, ...] | None) -> tuple[int, ...]:
    """(D, H, W) of training's patches: `sides`; or of one alone, along each axis or, where volumes are mostly shorter, the
    largest multiple of the trunk's stride that they have; where they are shorter than that too, all of them."""
    if sides and len(sides) > 1:
        return sides
    side, stride = sides[0] if sides else PATCH, spec.levels[-1].stride
    lengths = [int(np.median(lengths)) for lengths in zip(*sizes(source) or [(side,) * 3], strict=True)]
    return tuple(side if length >= side else length // stride * stride or length for length in lengths)


def measuring(recipe: SegmentSettings) -> dict[str, Any]:
    """What the settings of the head keep of how answers are measured; nothing of what is usual."""
    tolerance = recipe.surface_tolerance
    return {} if tolerance == SURFACE_TOLERANCE else {"surface_tolerance": tolerance}


def prepared(preprocess: Preprocess, recipe: SegmentSettings, source: Source, bad: Any) -> Preprocess:
    """With the spacing of the source, and of CT the values of the foreground of its training split."""
    train = source.splits["train"]
    ct = [recipe.modality == CT] * source.in_chans if recipe.modality != AUTO else is_ct(source)
    found = ranges(train, ct, source.background, bad) if any(ct) and train.images.window is None else None
    return dataclasses.replace(preprocess, spacing=train.images.spacing, ranges=found)


def words(preprocess: Preprocess) -> str:
    """How volumes become inputs, for people."""
    patch, known = " x ".join(map(str, preprocess.size)), preprocess.ranges or ()
    grid = f"resampled to {' x '.join(f'{length:g}' for length in preprocess.spacing)} mm, " if preprocess.spacing else ""
    values = [f"CT: {each[0]:g} to {each[1]:g} by mean {each[2]:g}, deviation {each[3]:g}" for each in known if each]
    own = [] if known and None not in known else ["each volume by its own mean and standard deviation"]
    return f"{grid}patches of {patch} in training; {'; '.join([*values, *own])}"


def samples(split: Split, preprocess: Preprocess, recipe: SegmentSettings | None, device: Any) -> Samples:
    from resnets.data.batches.volumes import CPU, Patches, VolumeSamples

    if recipe is None:
        return VolumeSamples(split=split, preprocess=preprocess, device=device or CPU)
    names = ("hflip", "vflip", "dflip", "rotation", "zoom", "intensity", "foreground", "jitter")
    patches = Patches(size=preprocess.size, **{name: getattr(recipe, name) for name in names})
    return VolumeSamples(
        split=split,
        preprocess=preprocess,
        augment=patches,
        seed=recipe.seed,
        repeats=recipe.repeats,
        device=device or CPU,
    )
