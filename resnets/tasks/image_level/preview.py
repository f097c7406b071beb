"""What the network will see, drawn before training: pictures as they are evaluated, and beneath each as training shows it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from resnets.data.batches.image_level import PictureSamples
from resnets.data.loader import Loader
from resnets.data.preprocess import Preprocess
from resnets.data.transforms import Augment, mean_tensor, replace_size
from resnets.data.types import Source
from resnets.data.words import called
from resnets.data.workers import BadImages
from resnets.draw.gallery import gallery
from resnets.errors import InputError

VIEWS = 2  # epochs of training that are shown
View = dict[int, np.ndarray]  # images as they are drawn, by their positions in a sample
COLUMNS = range(4, 9)  # of the drawing; the number that leaves the fewest pictures over, the greatest of these


def preview(
    source: Source, samples: PictureSamples, captions: Sequence[str], path: Path | str, *, count: int = 32, seed: int = 0
) -> Path:
    """Draw up to `count` training pictures, as many of each class as can be, as `Loader` hands them to the network.

    Mixup and cutmix are off: a mixed picture would belong to no class. Pictures that cannot be read are left out.

    Args:
        samples: of the training split; without `augment` only the evaluation's view is drawn.
        captions: what is known of each picture, in a few words.
    """
    if count < 1:
        raise InputError(f"count={count}: give at least 1 picture to preview")
    train = samples.split
    chosen = stratified(train.targets.codes(), count, seed)
    sample, preprocess = train.subset(chosen), samples.preprocess

    def view(augment: Augment | None, epoch: int = 0) -> View:
        size = preprocess.size if augment is None else samples.size
        some = dataclasses.replace(samples, split=sample, augment=augment, train_size=size, balance=False, repeats=1)
        positions, x = only_batch(source, some, epoch)
        if augment is None:
            return dict(zip(positions, x.permute(0, 2, 3, 1).numpy(), strict=True))
        rule = preprocess if size == preprocess.size else replace_size(preprocess, size)
        return dict(zip(positions, to_pixels(x, rule), strict=True))

    views = [view(None)]
    words = f"{source.name}: {_by(preprocess.size)} as evaluated"
    if samples.augment is not None:
        unmixed = dataclasses.replace(samples.augment, mixup=0.0, cutmix=0.0)
        views += [view(unmixed, epoch) for epoch in range(VIEWS)]
        words += f"; beneath, {_by(samples.size)} in training"
    num = len(views[0])
    columns = min(num, max(COLUMNS, key=lambda each: (-(num % each), each)))
    return in_rows(views, [captions[place] for place in chosen], path, columns=columns, title=words)


def only_batch(source: Source, samples: Any, epoch: int) -> tuple[list[int], Tensor]:
    """All of an epoch in one batch: the positions of the images that can be read, and their inputs (N, C, *size).

    Raises:
        InputError: where none can be read.
    """
    num = len(samples.split)
    (batch,) = Loader(samples=samples, batch_size=num, bad=BadImages(num)).epoch(epoch)
    if not len(batch.indices):
        images = called(samples.split.images)
        raise InputError(f"{source.name}: none of {num} {images} can be read; `resnets data check` says why")
    return batch.indices.tolist(), batch.images


def in_rows(views: Sequence[View], captions: Sequence[str], path: Path | str, *, columns: int, title: str) -> Path:
    """Draw images in rows of `columns`, beneath each row the further `views` of it; a few for which there is no whole row are
    left out. `captions` are by the positions in `views`."""
    positions, drawn, beneath = sorted(views[0]), list[np.ndarray](), list[str]()
    for start in range(0, len(positions) - columns + 1, columns):
        row = positions[start : start + columns]
        drawn += [each[position] for each in views for position in row]
        beneath += [captions[position] for position in row]
        for epoch in range(1, len(views)):
            beneath += [f"training, epoch {epoch}"] + [""] * (columns - 1)
    return gallery(drawn, beneath, path, columns=columns, title=title)


def stratified(targets: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Up to `count` positions of `targets` (N,), drawn in turns from the classes, sorted by class."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(targets))
    by_class = order[np.argsort(targets[order], kind="stable")]
    counts = np.bincount(targets)
    rank = np.empty_like(order)  # which of its class each picture is
    rank[by_class] = np.arange(len(order)) - (np.cumsum(counts) - counts)[targets[by_class]]
    turn = random.permutation(len(counts))[targets]
    chosen = np.lexsort((turn, rank))[:count]
    return chosen[np.argsort(targets[chosen], kind="stable")]


def to_pixels(images: Tensor, preprocess: Preprocess) -> np.ndarray:
    """Normalised (N, C, H, W) back to uint8 (N, H, W, C)."""
    std = images.new_tensor(preprocess.std).reshape(-1, 1, 1)
    pixels = (images * std + mean_tensor(preprocess)) * 255
    return pixels.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()


def _by(size: tuple[int, ...]) -> str:
    return f"{size[1]} x {size[0]}"
