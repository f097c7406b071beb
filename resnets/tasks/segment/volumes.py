"""What is other of volumes: patches in training, whole volumes in evaluation, each normalised by itself."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from resnets.data.intensities import CT, is_ct, ranges
from resnets.data.millimetres import AUTO
from resnets.data.preprocess import Preprocess
from resnets.data.types import Samples, Source, Split
from resnets.engine.settings import show
from resnets.errors import InputError
from resnets.models.spec import ResNetSpec
from resnets.tasks.dense.task import IMAGES_OF, sizes
from resnets.tasks.segment.settings import PATCH, SURFACE_TOLERANCE, SegmentSettings
from resnets.tasks.segment.surfaces import tables

# Settings of pictures, as they are where they do nothing.
OF_PICTURES: dict[str, Any] = {"img_size": None, "resize": "keep", "vflip": 0.0, "scales": (1.0,), "normalise": "data"}
# And the other way round.
OF_VOLUMES: dict[str, Any] = {"surface_tolerance": SURFACE_TOLERANCE, "spacing": AUTO, "modality": AUTO}


def check(recipe: SegmentSettings, dims: int) -> None:
    """Raise `InputError` where a setting is given that only changes pictures, or volumes, and `dims` says the other; and where
    the library is missing that volumes are measured with."""
    for name, off in (OF_PICTURES if dims == 3 else OF_VOLUMES).items():
        if (value := getattr(recipe, name)) != off:
            raise InputError(f"{name}={show(value)}: {IMAGES_OF[dims]} cannot use it; leave it out")
    if dims == 3:
        tables()


def preprocess(source: Source, spec: ResNetSpec, side: int | None) -> Preprocess:
    """Inputs of any size, of which training sees patches."""
    mean, std = (0.0,) * source.in_chans, (1.0,) * source.in_chans
    return Preprocess(size=patch_size(source, spec, side), resize="keep", crop_pct=1.0, mean=mean, std=std)


def patch_size(source: Source, spec: ResNetSpec, side: int | None) -> tuple[int, ...]:
    """(D, H, W) of training's patches: `side` along each axis or, where volumes are mostly shorter, the largest multiple of the
    trunk's stride that they have; where they are shorter than that too, all of them."""
    side, stride = side or PATCH, spec.levels[-1].stride
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
    patches = Patches(size=preprocess.size, hflip=recipe.hflip, jitter=recipe.jitter)
    return VolumeSamples(
        split=split,
        preprocess=preprocess,
        augment=patches,
        seed=recipe.seed,
        repeats=recipe.repeats,
        device=device or CPU,
    )
