"""Pictures with boxes or masks as inputs: each at its own size, one by one in evaluation, padded to a batch in training.

Targets of training are int64 (N, *size) class indices with `IGNORE` where nothing is known, or for boxes a dict per picture:
"size" (2,) int64, its height and width, and the fields of `Boxes` as tensors. Those of evaluation are `Truth`s.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from resnets.data.depth import read_as
from resnets.data.geometry import pad_batch, pad_indices
from resnets.data.pictures.images import BadPicture
from resnets.data.pictures.resize import fit_picture, mean_array
from resnets.data.preprocess import Preprocess
from resnets.data.randomness import mix_seed
from resnets.data.targets import Boxes, Truth
from resnets.data.transforms import normalise
from resnets.data.types import Batch, Part, Read, Split

CPU = torch.device("cpu")
# (image, target, seed, epoch, index, batch) -> pixels and the target that fits: `geometry.DenseAugment`, `volumes.Patches`.
Augmentation = Callable[..., tuple[Tensor, Any]]


@dataclass(kw_only=True)
class DenseSamples:
    """The pictures of a split with their boxes or masks; see `data.types.Samples`.

    Args:
        augment: what training does to a picture and its target; None: evaluation, in order, one picture per batch and process.
        train_size: (H, W) of every training input, where it is known beforehand.
        repeats: pictures are seen so many times per epoch, each time differently changed; for sets of few pictures.
    """

    split: Split
    preprocess: Preprocess
    augment: Augmentation | None = None
    train_size: tuple[int, ...] | None = None
    seed: int = 0
    repeats: int = 1
    device: torch.device = CPU
    grow_from = 1.0
    in_memory = False
    sequential = False

    def __post_init__(self) -> None:
        self.train = self.whole_batches = self.augment is not None
        self.split = read_as(self.split, self.preprocess)
        self.size = self.train_size or self.preprocess.size

    def __len__(self) -> int:
        return len(self.split) * (self.repeats if self.train else 1)

    def order(self, epoch: int) -> np.ndarray:
        return repeated_order(self, epoch)

    def reader(self, batch_size: int) -> Dataset:
        return _Labelled(self.split, self.preprocess, self.augment, self.seed, batch_size)

    def collate(self) -> Any:
        return partial(collate, fill=fill_of(self.preprocess))

    def gather(self, epoch: int, first: int, positions: np.ndarray) -> Read:
        raise AssertionError("pictures with labels are read one by one")

    def finish(self, read: Read, part: Part) -> Batch:
        pixels = read.pixels
        if self.train and len(pixels):  # of nothing, what several processes take through the network all the same
            pixels = pixels.to(self.device)
            pixels = normalise(pixels, self.preprocess) if pixels.dtype == torch.uint8 else pixels
        return Batch(pixels, read.targets, read.positions, read.sizes)


def repeated_order(samples: Any, epoch: int) -> np.ndarray:
    """In evaluation the order of the split; in training all images `repeats` times, each time in another order."""
    if not samples.train:
        return np.arange(len(samples))
    rounds = [np.random.default_rng(mix_seed(samples.seed, epoch, n, "order")) for n in range(samples.repeats)]
    return np.concatenate([random.permutation(len(samples.split)) for random in rounds])


def fill_of(preprocess: Preprocess) -> tuple[int, ...]:
    """The mean colour, which is 0 once it is normalised, one value per channel from 0 to 255."""
    return tuple(round(255 * float(value)) for value in mean_array(preprocess).mean((1, 2)))


@dataclass
class _Labelled(Dataset):
    """(epoch, position in its order, index) -> (pixels, target, index), or (None, name, reason) where it cannot be read.

    In training all pictures of a batch, of `batch_size`, get one scale.
    """

    split: Split
    preprocess: Preprocess
    augment: Augmentation | None
    seed: int
    batch_size: int

    def __getitem__(self, key: tuple[int, int, int]) -> Any:
        epoch, position, index = key
        try:
            picture, target = self.split[index]
        except BadPicture as bad:
            return None, self.split.images.name(index), bad.reason
        if self.augment is None:
            truth = Truth(index, picture.shape[:2], target)
            return torch.from_numpy(fit_picture(picture, self.preprocess)), truth, index
        # A picture that comes twice in an epoch is changed in two ways: its position counts, not its index.
        drawn_by = {"seed": self.seed, "epoch": epoch, "index": position, "batch": position // self.batch_size}
        pixels, target = self.augment(picture, target, **drawn_by)
        return pixels, target, index


def collate(samples: list[Any], fill: Sequence[int]) -> Read:
    """A batch of the samples that could be read, padded with `fill` to the largest."""
    read = [sample for sample in samples if sample[0] is not None]
    bad = [sample[1:] for sample in samples if sample[0] is None]
    positions = torch.tensor([index for *_, index in read], dtype=torch.int64)
    if not read:
        nothing = torch.empty(0, len(fill), 1, 1)  # one of several processes may have nothing, and takes the step all the same
        return Read(nothing, torch.empty(0, 1, 1, dtype=torch.int64), positions, bad)
    targets = [target for _, target, _ in read]
    if isinstance(targets[0], Truth):
        (pixels,) = (pixels for pixels, *_ in read)
        return Read(pixels[None].contiguous(), targets, positions, bad, [truth.size for truth in targets])
    pixels, sizes = pad_batch([pixels for pixels, *_ in read], multiple=1, fill=fill)
    if isinstance(targets[0], Boxes):
        return Read(pixels, [as_tensors(target, size) for target, size in zip(targets, sizes, strict=True)], positions, bad)
    return Read(pixels, pad_indices(targets, (pixels.shape[-2], pixels.shape[-1])), positions, bad)


def as_tensors(boxes: Boxes, size: Tensor) -> dict[str, Tensor]:
    """A detector's target. `size` (2,): height and width of the picture in the batch."""
    given = {field.name: getattr(boxes, field.name) for field in dataclasses.fields(Boxes)}
    return {"size": size} | {name: torch.from_numpy(value) for name, value in given.items() if value is not None}


def class_counts(split: Split, num_classes: int, most: int = 200) -> np.ndarray:
    """How often each class is there, (num_classes,) int64: objects, or pixels, in up to `most` pictures, evenly spread."""
    counts = np.zeros(num_classes, np.int64)
    for index in np.unique(np.linspace(0, len(split) - 1, min(most, len(split))).round().astype(int)).tolist():
        try:
            _, target = split[index]
        except BadPicture:
            continue
        values = target.labels[~target.ignore] if isinstance(target, Boxes) else target[target < num_classes]
        counts += np.bincount(values.astype(np.int64).reshape(-1), minlength=num_classes)
    return counts
