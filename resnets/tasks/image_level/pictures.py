"""What is of pictures in tasks with one answer per image: the network, the size of inputs, augmentation. See `forms`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from resnets.data.machine import cpu_flags
from resnets.data.pictures.stored import StoredImages
from resnets.data.preprocess import FREE, Preprocess
from resnets.data.types import Samples, Source, Split
from resnets.engine.recipe import SMALL, changed_spec, spec_changes
from resnets.engine.settings import fields_of, parse_duration
from resnets.engine.values import Design, Settings
from resnets.errors import InputError
from resnets.models.header import Header
from resnets.models.zoo import Named
from resnets.tasks.image_level.settings import RESIZE, ImageLevelSettings
from resnets.tasks.inputs import scaled, with_statistics

# What small pictures get with `--time`: the width for which so many seconds of a processor in 32 bits pay (docs/lab.md).
QUICK = "resnet8_cifar"
WIDTHS = {0.0: 32, 1200.0: 64}
# Than such a processor, by the kind of device; of processors, also by their instructions for bfloat16.
FASTER = {"cuda": 50.0, "mps": 5.0, "cpu": 1.0, "avx512_bf16": 2.5, "amx_bf16": 5.0}


def design(asked: Settings, source: Source, header: Header | None, named: Named) -> Design:
    """The network and the size of its input; new, or that of a saved model with its preprocessing."""
    changes: dict[str, Any] = {"in_chans": source.in_chans} | spec_changes(asked)
    if header is not None:
        from resnets.models.pretrained.adapting import rule_for

        preprocess = rule_for(header.preprocess, source.in_chans)
        if preprocess.resize in FREE:  # of a task whose inputs keep their shape; here all have one size
            preprocess = dataclasses.replace(preprocess, resize="crop", size=(min(preprocess.size),) * 2)
        own = {name: asked[name] for name in RESIZE if asked.get(name) is not None}
        if asked.get("img_size") is not None:
            own["size"] = (asked["img_size"],) * 2
        return Design(changed_spec(header, asked, changes), dataclasses.replace(preprocess, **own))
    name, size = asked.get("model", "auto"), asked.get("img_size")
    height, width = picture_size(source) if size is None else (size, size)
    if name == "auto":
        name = "resnet18" if max(height, width) > SMALL else QUICK if asked.get("time") else "resnet20_cifar"
        changes = ({"width": quick_width(asked)} if name == QUICK else {}) | changes
    spec = named(name, **changes)
    if size is None and max(height, width) > SMALL:  # larger than they are, pictures cost more and show no more
        height = width = min(spec.img_size, max(96, 32 * round(min(height, width) / 32)))
    neutral = (0.5,) * source.in_chans
    return Design(spec, Preprocess(size=(height, width), mean=neutral, std=neutral))


def quick_width(asked: Settings) -> int:
    """The width of `QUICK` for the time that is asked for, on the device that is."""
    from resnets.engine import device as devices

    device = devices.find(asked.get("device", "auto"))
    own = {device.type} | (cpu_flags() if device.type == "cpu" else set())
    seconds = parse_duration(asked["time"]) * max(faster for name, faster in FASTER.items() if name in own)
    return max(width for least, width in WIDTHS.items() if seconds >= least)


def settle(recipe: ImageLevelSettings, origins: Mapping[str, str], design: Design, own: str) -> dict[str, tuple[Any, str]]:
    if recipe.normalise == "each":
        raise InputError("normalise=each: is for series and volumes, and these are pictures; use data")
    if design.spec.in_chans == 4 and recipe.auto_augment != "none":
        raise InputError(f"auto_augment={recipe.auto_augment} knows grey and colour pictures; use none with 4 channels")
    found: dict[str, tuple[Any, str]] = {}
    if recipe.model == "auto" and recipe.width is None and design.spec.name == QUICK:
        found["width"] = (design.spec.width, "the time")  # its name alone would be another network's
    preprocess, (height, width) = design.preprocess, design.preprocess.size
    if recipe.weights:
        open_yet = [name for name in RESIZE if origins[name] in ("default", own)]
        found |= {name: (getattr(preprocess, name), "the weights") for name in open_yet}
    if height == width and (recipe.img_size is None or recipe.weights):
        by_whom = "the weights" if recipe.weights else "the data" if max(height, width) <= SMALL else "the network"
        found["img_size"] = (height, by_whom)
    return found


def preprocess(recipe: ImageLevelSettings, design: Design, source: Source, bad: Any) -> Preprocess:
    if recipe.weights:
        return design.preprocess
    size = design.preprocess.size if recipe.img_size is None else (recipe.img_size, recipe.img_size)
    rule = {name: getattr(recipe, name) for name in RESIZE}
    preprocess = dataclasses.replace(design.preprocess, size=size, **rule)
    return with_statistics(preprocess, recipe, recipe.normalise, source, bad)


def inputs(recipe: ImageLevelSettings, preprocess: Preprocess) -> str:
    height, width = preprocess.size
    cut = f" {preprocess.crop_pct:.3g}" * (preprocess.resize == "crop")
    return scaled(f"{height} x {width}, {preprocess.resize}{cut}", recipe, recipe.normalise, preprocess)


def samples(
    split: Split, preprocess: Preprocess, num_classes: int, recipe: ImageLevelSettings | None, device: Any, balance: bool
) -> Samples:
    from resnets.data.batches.image_level import CPU, PictureSamples

    device = device or CPU
    if recipe is None:
        return PictureSamples(split=split, preprocess=preprocess, num_classes=num_classes, device=device)
    return PictureSamples(
        split=split,
        preprocess=preprocess,
        num_classes=num_classes,
        augment=augmentation(recipe),
        train_size=None if recipe.train_size is None else (recipe.train_size, recipe.train_size),
        seed=recipe.seed,
        balance=balance,
        repeats=recipe.repeats,
        device=device,
        grow_from=recipe.grow_from,
    )


def preview(source: Source, samples: Any, captions: Sequence[str], out: str | Path, seed: int) -> Path:
    from resnets.tasks.image_level import preview

    return preview.preview(source, samples, captions, out, seed=seed)


def picture_size(source: Source) -> tuple[int, int]:
    """(H, W) of every picture; of files, the typical shorter side twice (224 where no picture can be read)."""
    if source.size is not None:
        return source.size
    images = source.splits["train"].images
    side = (images.short_side() if isinstance(images, StoredImages) else None) or 224
    return side, side


def augmentation(recipe: ImageLevelSettings) -> Any:
    """What training does to pictures."""
    from resnets.data.transforms import Augment

    smallest, largest = recipe.crop_scale
    return Augment(
        crop=recipe.crop,
        pad=recipe.crop_pad,
        scale=(smallest, largest),
        hflip=recipe.hflip,
        auto_augment=recipe.auto_augment,
        random_erase=recipe.random_erase,
        **{name: getattr(recipe, name) for name in ("mixup", "cutmix") if name in fields_of(type(recipe))},
    )
