"""What the network will see, drawn before training: pictures as they are evaluated, and beneath each as training shows it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from torch import Tensor

from resnets.data.loaders import BadImages, Loader
from resnets.data.pictures.images import ArrayImages, StoredImages
from resnets.data.preprocess import Preprocess
from resnets.data.sources import Source
from resnets.data.transforms import Augment, mean_tensor, replace_size
from resnets.data.types import Split
from resnets.draw.gallery import gallery
from resnets.errors import InputError

VIEWS = 2  # epochs of training that are shown
COLUMNS = range(4, 9)  # of the drawing; the number that leaves the fewest pictures over, the greatest of these


def preview(
    source: Source,
    preprocess: Preprocess,
    augment: Augment | None,
    path: Path | str,
    *,
    count: int = 32,
    seed: int = 0,
    train_size: tuple[int, ...] | None = None,
) -> Path:
    """Draw up to `count` training pictures, as many of each class as can be, as `Loader` hands them to the network.

    Mixup and cutmix are off: a mixed picture would belong to no class. Pictures that cannot be read are left out, and so are
    a few for which there is no whole row.

    Args:
        augment: what training does to pictures; None: only the evaluation's view is drawn.
        train_size: (H, W) that training crops to, where it is not `preprocess.size`.
    """
    if "train" not in source.splits:
        raise InputError(f"{source.name}: no training split to preview, only {', '.join(source.splits)}; add one")
    if count < 1:
        raise InputError(f"count={count}: give at least 1 picture to preview")
    train = source.splits["train"]
    assert isinstance(train.images, ArrayImages | StoredImages)
    chosen = stratified(train.targets, count, seed)
    sample = Split(train.images.subset(chosen), train.targets[chosen])
    train_size = train_size or preprocess.size

    def view(augment: Augment | None, epoch: int = 0) -> dict[int, np.ndarray]:
        """The readable pictures of the sample by their positions."""
        size = preprocess.size if augment is None else train_size
        loader = Loader(
            split=sample, preprocess=preprocess, batch_size=len(chosen), num_classes=len(source.labels),
            bad=BadImages(len(chosen)), augment=augment, train_size=size, seed=seed,
        )  # fmt: skip
        (batch,) = loader.epoch(epoch)
        if not len(batch.indices):
            raise InputError(f"{source.name}: none of {len(chosen)} pictures can be read; `resnets data check` says why")
        fitted = preprocess if size == preprocess.size else replace_size(preprocess, size)
        return dict(zip(batch.indices.tolist(), to_pixels(batch.images, fitted), strict=True))

    views = [view(None)]
    words = f"{source.name}: {_by(preprocess.size)} as evaluated"
    if augment is not None:
        unmixed = dataclasses.replace(augment, mixup=0.0, cutmix=0.0)
        views += [view(unmixed, epoch) for epoch in range(VIEWS)]
        words += f"; beneath, {_by(train_size)} in training"
    positions = sorted(views[0])
    columns = min(len(positions), max(COLUMNS, key=lambda num: (-(len(positions) % num), num)))
    pictures, captions = [], []
    for start in range(0, len(positions) - columns + 1, columns):
        row = positions[start : start + columns]
        pictures += [each[position] for each in views for position in row]
        captions += [source.labels[sample.targets[position]] for position in row]
        for epoch in range(1, len(views)):
            captions += [f"training, epoch {epoch}"] + [""] * (columns - 1)
    return gallery(pictures, captions, path, columns=columns, title=words)


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
