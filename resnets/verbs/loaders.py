"""Batches for one's own training loop: the loaders of `train`, with the same order and augmentation."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from resnets.data.loader import Loader
from resnets.data.preprocess import Preprocess
from resnets.data.transforms import to_input
from resnets.engine.distributed import ALONE
from resnets.engine.plan import Plan, settle
from resnets.errors import InputError
from resnets.models.model import Answering
from resnets.ship import external
from resnets.verbs.train import layers_of, loader


class Batches:
    """The batches of a split: each time that it is gone through an epoch, (inputs, targets) by (inputs, targets).

    Of training every epoch has another order and augmentation, both a function of the seed and of the epoch's number. Images
    that cannot be read are left out.
    """

    def __init__(self, loader: Loader, preprocess: Preprocess, device: torch.device) -> None:
        self.loader, self.preprocess, self.device = loader, preprocess, device
        self.epoch = 0  # the next one

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self.loader)

    @property
    def num_images(self) -> int:
        """In an epoch."""
        return self.loader.num_images

    def __iter__(self) -> Iterator[tuple[Tensor, Any]]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        is_done = self.loader.samples.train  # batches of training are normalised
        for batch in self.loader.epoch(epoch):
            if len(batch.images):
                x = batch.images.to(self.device) if is_done else to_input(batch.images, self.preprocess, self.device)
                yield x, batch.targets.to(self.device)

    def __repr__(self) -> str:
        return f"Batches({self.num_images:,} images in {len(self):,} batches of {self.loader.batch_size})"


class Loaders(NamedTuple):
    """The splits of some data as `Batches` (None: there is no such split), and what a model for them needs."""

    train: Batches
    val: Batches
    test: Batches | None
    labels: tuple[str, ...]
    preprocess: Preprocess


def loaders(
    data: Any = None,
    *,
    model: Any = None,
    batch_size: int | None = None,
    device: str | torch.device = "cpu",
    data_dir: str | Path | None = None,
    **settings: Any,
) -> Loaders:
    """The loaders that `train` would use with these arguments, for a loop of one's own.

    Args:
        data: as `train` takes it.
        model: whose inputs they are to be: the name of a network, or a model, whose preprocessing they then have and whose
            classes must be those of the data; None: by the size of the images.
        batch_size: None: the recipe's.
        device: where inputs and targets are put.
        data_dir: where built-in datasets lie.
        settings: of `train`, as far as they concern images: seed, img_size, hflip, crop, auto_augment, val_fraction, workers.

    Returns:
        `Loaders`: train, val, test, labels, preprocess. Going through one gives (inputs, targets): float32 (N, C, H, W),
        normalised, and for classification int64 (N,), or float32 (N, num_classes) where mixup or cutmix mix images.

    Raises:
        InputError: as `train`, for a task with answers of the size of the image, and a model with other classes than the data.
    """
    own = model if isinstance(model, Answering) else None
    if own is not None:
        own_inputs = {"img_size": own.preprocess.size[0], "in_chans": own.spec.in_chans, "dims": own.spec.dims}
        settings = settings | {"model": own.spec.name, "task": own.task.name} | own_inputs
    elif model is not None:
        settings["model"] = model
    settings, net = external.own(settings | {"batch_size": batch_size})
    _, layers, task = layers_of(data, settings)
    if task.own_size:
        raise InputError(f"the task {task.name} has answers of the size of the image; its loaders are for its own losses")
    named = partial(external.named, net=net) if own is None else lambda name, **changes: own.spec
    plan = settle(task, layers, data_dir, named, data)
    if own is not None:
        plan = for_model(plan, own)
    where = torch.device(device)
    made = {name: Batches(loader(plan, name, where, ALONE), plan.preprocess, where) for name in plan.source.splits}
    return Loaders(made["train"], made["val"], made.get("test"), plan.labels, plan.preprocess)


def for_model(plan: Plan, model: Any) -> Plan:
    """The plan with the inputs of a model. Raises `InputError` where it has other classes."""
    numbers = tuple(map(str, range(len(model.labels))))
    if model.labels != plan.labels and not (model.labels == numbers and len(numbers) == len(plan.labels)):
        raise InputError(
            f"the model has the {len(model.labels)} classes {', '.join(model.labels[:5])}, ... and the data "
            f"{len(plan.labels)}: {', '.join(plan.labels[:5])}, ...; give it theirs by model.reset_classifier(labels)"
        )
    return dataclasses.replace(plan, preprocess=model.preprocess)
