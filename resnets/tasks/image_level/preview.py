"""What the network will see, drawn before training: pictures as they are evaluated, and beneath each as training shows it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from resnets.data.batches.image_level import PictureSamples
from resnets.data.loader import Loader
from resnets.data.preprocess import Preprocess
from resnets.data.transforms import Augment, mean_tensor, replace_size
from resnets.data.types import Source
from resnets.data.workers import BadImages
from resnets.draw.gallery import gallery
from resnets.errors import InputError

VIEWS = 2  # epochs of training that are shown
COLUMNS = range(4, 9)  # of the drawing; the number that leaves the fewest pictures over, the greatest of these


def preview(
    source: Source, samples: PictureSamples, captions: Sequence[str], path: Path | str, *, count: int = 32, seed: int = 0
) -> Path:
    """Draw up to `count` training pictures, as many of each class as can be, as `Loader` hands them to the network.

    Mixup and cutmix are off: a mixed picture would belong to no class. Pictures that cannot be read are left out, and so are
    a few for which there is no whole row.

    Args:
        samples: of the training split; without `augment` only the evaluation's view is drawn.
        captions: what is known of each picture, in a few words.
    """
    if count < 1:
        raise InputError(f"count={count}: give at least 1 picture to preview")
    train = samples.split
    chosen = stratified(train.targets.codes(), count, seed)
    sample, preprocess = train.subset(chosen), samples.preprocess

    def view(augment: Augment | None, epoch: int = 0) -> dict[int, np.ndarray]:
        """The readable pictures of the sample by their positions."""
        size = preprocess.size if augment is None else samples.size
        some = dataclasses.replace(samples, split=sample, augment=augment, train_size=size, balance=False, repeats=1)
        (batch,) = Loader(samples=some, batch_size=len(chosen), bad=BadImages(len(chosen))).epoch(epoch)
        if not len(batch.indices):
            raise InputError(f"{source.name}: none of {len(chosen)} pictures can be read; `resnets data check` says why")
        if augment is None:
            pixels = batch.images.permute(0, 2, 3, 1).numpy()
        else:
            pixels = to_pixels(batch.images, preprocess if size == preprocess.size else replace_size(preprocess, size))
        return dict(zip(batch.indices.tolist(), pixels, strict=True))

    views = [view(None)]
    words = f"{source.name}: {_by(preprocess.size)} as evaluated"
    if samples.augment is not None:
        unmixed = dataclasses.replace(samples.augment, mixup=0.0, cutmix=0.0)
        views += [view(unmixed, epoch) for epoch in range(VIEWS)]
        words += f"; beneath, {_by(samples.size)} in training"
    positions = sorted(views[0])
    columns = min(len(positions), max(COLUMNS, key=lambda num: (-(len(positions) % num), num)))
    pictures, beneath = [], []
    for start in range(0, len(positions) - columns + 1, columns):
        row = positions[start : start + columns]
        pictures += [each[position] for each in views for position in row]
        beneath += [captions[chosen[position]] for position in row]
        for epoch in range(1, len(views)):
            beneath += [f"training, epoch {epoch}"] + [""] * (columns - 1)
    return gallery(pictures, beneath, path, columns=columns, title=words)


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
