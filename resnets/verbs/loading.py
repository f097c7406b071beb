"""The loaders of a run, from its plan."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch

from resnets.data import cache
from resnets.data.dense_loader import Augmentation, DenseLoader, class_counts, fill_of
from resnets.data.geometry import DenseAugment
from resnets.data.loaders import CPU, Loader
from resnets.data.patches import Patches
from resnets.data.readers import known
from resnets.data.readers.names import DenseSource, DenseSplit
from resnets.data.sources import Source
from resnets.data.transforms import Augment
from resnets.engine.distributed import ALONE, Processes
from resnets.engine.job import Reporter
from resnets.engine.plan import Plan
from resnets.engine.recipe import SMALL
from resnets.tasks.dense import of_volumes


def loaders(
    plan: Plan, data_dir: str | Path | None, reporter: Reporter, place: torch.device, processes: Processes
) -> tuple[Any, Any, str | None]:
    """The loaders of training and validation, and a line that tells how decoded pictures are kept."""
    if isinstance(plan.source, DenseSource):
        return *dense_loaders(plan, place, processes), None
    kept, line = kept_pictures(plan, data_dir, reporter)
    return train_loader(kept, place, processes), val_loader(kept, place, processes), line


def counted(source: Source | DenseSource, num_classes: int) -> np.ndarray:
    """How often each class is there in the training split: pictures, objects or pixels."""
    train = source.splits["train"]
    if isinstance(train, DenseSplit):
        return class_counts(train, num_classes)
    return np.bincount(train.targets, minlength=num_classes)


def dense_loaders(plan: Plan, place: torch.device, processes: Processes) -> tuple[DenseLoader, DenseLoader]:
    """The loaders of training and validation for a dense task."""
    recipe, preprocess, splits = plan.recipe, plan.preprocess, plan.source.splits
    size: tuple[int, ...] | None
    augment: Augmentation
    if of_volumes(plan.source):
        size = preprocess.size
        augment = Patches(size=size, hflip=recipe.hflip, jitter=recipe.jitter)
    else:
        size = crop = None if recipe.train_size is None else (recipe.train_size, recipe.train_size)
        augment = DenseAugment(
            preprocess=preprocess,
            scales=recipe.scales,
            hflip=recipe.hflip,
            vflip=recipe.vflip,
            crop=crop,
            jitter=recipe.jitter,
            fill=fill_of(preprocess),
        )
    common: dict[str, Any] = {
        "preprocess": preprocess,
        "bad": plan.bad,
        "part": None if processes.alone else processes.part,
        "workers": recipe.workers or 0,
        "place": place if place.type == "cuda" else CPU,
    }
    train = DenseLoader(
        split=splits["train"],
        batch_size=recipe.batch_size * processes.world,
        augment=augment,
        train_size=size,
        seed=recipe.seed,
        repeats=recipe.repeats,
        **common,
    )
    return train, DenseLoader(split=splits["val"], batch_size=processes.world, **common)


def train_loader(plan: Plan, place: torch.device = CPU, processes: Processes = ALONE) -> Loader:
    recipe, preprocess = plan.recipe, plan.preprocess
    least, most = recipe.crop_scale
    augment = Augment(
        crop=recipe.crop,
        pad=recipe.crop_pad,
        scale=(least, most),
        hflip=recipe.hflip,
        auto_augment=recipe.auto_augment,
        random_erase=recipe.random_erase,
        mixup=recipe.mixup,
        cutmix=recipe.cutmix,
    )
    return Loader(
        split=plan.source.splits["train"],
        preprocess=preprocess,
        batch_size=recipe.batch_size * processes.world,
        part=None if processes.alone else processes.part,
        num_classes=len(plan.labels),
        bad=plan.bad,
        augment=augment,
        train_size=None if recipe.train_size is None else (recipe.train_size, recipe.train_size),
        seed=recipe.seed,
        balance=recipe.balance == "sampler",
        repeats=recipe.repeats,
        workers=recipe.workers or 0,
        place=place if place.type == "cuda" else CPU,
    )


def val_loader(plan: Plan, place: torch.device, processes: Processes) -> Loader:
    recipe, small = plan.recipe, max(plan.preprocess.size) <= SMALL
    return Loader(
        split=plan.source.splits["val"],
        preprocess=plan.preprocess,
        batch_size=max(recipe.batch_size, 250 if small else 32) * processes.world,
        part=None if processes.alone else processes.part,
        num_classes=len(plan.labels),
        bad=plan.bad,
        workers=recipe.workers or 0,
        place=place if place.type == "cuda" else CPU,
    )


def kept_pictures(plan: Plan, data_dir: str | Path | None, reporter: Reporter) -> tuple[Plan, str | None]:
    """The plan with pictures that are kept once they are decoded, as its recipe says, and a line that tells how."""
    recipe, splits = plan.recipe, plan.source.splits
    pictures = recipe.batch_size * recipe.accumulate * (recipe.steps or 0)
    kept, line = cache.keep(
        recipe.cache,
        {name: splits[name] for name in ("train", "val")},
        again=not recipe.probe
        and (recipe.time is not None or (recipe.epochs or 0) > 1 or pictures > len(splits["train"].targets)),
        workers=recipe.workers or 0,
        folder=known.datasets_dir(data_dir).parent / "packed",
        say=reporter.say,
    )
    return dataclasses.replace(plan, source=dataclasses.replace(plan.source, splits={**splits, **kept})), line
