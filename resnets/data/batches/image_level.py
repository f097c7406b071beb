"""Pictures with a value each (a class index, say) as inputs: all of one size, in memory or decoded by workers."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from resnets.data.depth import read_as
from resnets.data.pictures.images import BadPicture
from resnets.data.pictures.resize import fit_picture
from resnets.data.pictures.stored import WINDOW, ArrayImages, StoredImages
from resnets.data.preprocess import Preprocess
from resnets.data.randomness import mix_seed, seeded
from resnets.data.transforms import Augment, normalise
from resnets.data.types import Batch, Part, Read, Split

CPU = torch.device("cpu")


@dataclass(kw_only=True)
class PictureSamples:
    """The pictures of a split as inputs of one size; see `data.types.Samples`.

    Args:
        split: pictures and `Values`.
        preprocess: how they become inputs.
        num_classes: length of a mixed target.
        augment: what training does to pictures; None: evaluation, in order, uint8.
        train_size: (H, W) that training crops to, where it is not `preprocess.size`.
        seed: of order and augmentation.
        balance: draw every class equally often (with repetition) rather than every picture once per epoch.
        repeats: show each picture this many times, differently augmented, in a row, and as many fewer pictures per epoch
            (repeated augmentation, arXiv 1901.09335).
        device: what normalises and augments batches. What lies in memory lies there from the start, if it fits.
        grow_from: fraction of its side that an input of training has at first.
    """

    split: Split
    preprocess: Preprocess
    num_classes: int
    augment: Augment | None = None
    train_size: tuple[int, ...] | None = None
    seed: int = 0
    balance: bool = False
    repeats: int = 1
    device: torch.device = CPU
    grow_from: float = 1.0
    sequential = False
    whole_batches = False

    def __post_init__(self) -> None:
        self.train = self.augment is not None
        self.split = read_as(self.split, self.preprocess)
        self.size = self.train_size or self.preprocess.size
        self._pixels = self._in_memory()
        self.in_memory = self._pixels is not None

    def _in_memory(self) -> Tensor | None:
        images = self.split.images
        fits = isinstance(images, ArrayImages) and images.array.shape[1:3] == self.size == self.preprocess.size
        resized = self.augment is not None and self.augment.crop == "resized"
        if not (self.preprocess.keeps_whole and fits) or resized:
            return None
        pixels = torch.from_numpy(images.array).contiguous()
        return pixels.to(self.device) if has_room(self.device, pixels.nbytes) else pixels

    def __len__(self) -> int:
        return len(self.split)

    def order(self, epoch: int) -> np.ndarray:
        return np.arange(len(self)) if self.augment is None else order_of(self, epoch)

    def reader(self, batch_size: int) -> Dataset:
        return _Pictures(self)

    def collate(self) -> Any:
        return collate

    def gather(self, epoch: int, first: int, positions: np.ndarray) -> Read:
        assert self._pixels is not None
        chosen = torch.from_numpy(positions)
        pixels = self._pixels[chosen].permute(0, 3, 1, 2)
        if self.augment is not None and self.augment.auto_augment != "none":
            augmented = []
            for position, picture in enumerate(pixels, first):
                with seeded(self.seed, epoch, position):
                    augmented.append(self.augment.colours(picture))
            pixels = torch.stack(augmented) if augmented else pixels
        return Read(pixels, None, chosen)

    def finish(self, read: Read, part: Part) -> Batch:
        pixels, positions = read.pixels, read.positions
        if len(positions) == 0:  # none is ours, or could be read; the consumer counts batches, so it comes all the same
            return Batch(torch.empty(0, self.preprocess.in_chans, *self.size), positions, positions)
        targets = torch.from_numpy(self.split.targets.values)[positions].to(self.device, non_blocking=True)
        if self.augment is None:
            return Batch(pixels, targets, positions)
        x = normalise(pixels.to(self.device, non_blocking=True), self.preprocess)
        with seeded(self.seed, part.epoch, part.number, "batch"):
            x, targets = self.augment.batch(x, targets, self.num_classes, before=part.before, after=part.after)
        return Batch(x, targets, positions)


def order_of(samples: Any, epoch: int) -> np.ndarray:
    """The order of an epoch of training (N,): shuffled, balanced or repeated, as the samples say."""
    num, targets = len(samples), samples.split.targets.values
    random = np.random.default_rng(mix_seed(samples.seed, epoch, "order"))
    if samples.balance:
        counts = np.bincount(targets, minlength=samples.num_classes)
        weights = 1.0 / counts[targets]
        return random.choice(num, num, p=weights / weights.sum())
    order = random.permutation(num)
    groups = getattr(samples.split.images, "groups", None)
    if groups is not None:  # a few files at a time, so that each is fetched about once
        windows = random.permutation(groups.max() + 1)[groups] // WINDOW
        order = order[np.argsort(windows[order], kind="stable")]
    return order[: -(-len(order) // samples.repeats)].repeat(samples.repeats)[: len(order)]


def has_room(device: torch.device, num_bytes: int) -> bool:
    """Whether so much leaves the device most of its memory."""
    return device.type != "cuda" or 4 * num_bytes <= torch.cuda.mem_get_info(device)[0]


class _Pictures(Dataset):
    """(epoch, position in its order, index) -> (pixels, index), or (None, name, reason) where the picture cannot be read."""

    def __init__(self, samples: PictureSamples) -> None:
        images = samples.split.images
        self.images = images.quickly() if samples.train and isinstance(images, StoredImages) else images
        self.preprocess, self.size = samples.preprocess, samples.size
        self.augment, self.seed = samples.augment, samples.seed

    def __getitem__(self, key: tuple[int, int, int]) -> Any:
        epoch, position, index = key
        try:
            picture = self.images[index]
        except BadPicture as bad:
            return None, self.images.name(index), bad.reason
        if self.augment is None:
            return torch.from_numpy(fit_picture(picture, self.preprocess)), index
        random = Random(mix_seed(self.seed, epoch, position))
        pixels = self.augment.picture(picture, self.preprocess, self.size, random)
        if self.augment.auto_augment != "none":
            with seeded(self.seed, epoch, position):  # costly: a tenth of the time to decode a photograph
                pixels = self.augment.colours(pixels)
        return pixels, index


def collate(samples: list[Any]) -> Read:
    """Pixels (N, C, H, W), channels last in memory, of the samples that could be read."""
    read = [sample for sample in samples if sample[0] is not None]
    # Stacked as they lie in memory, channels last; NumPy does it in half of torch's time.
    pixels = np.stack([sample[0].permute(1, 2, 0).numpy() for sample in read]) if read else np.empty((0, 0, 0, 0))
    positions = torch.tensor([sample[1] for sample in read], dtype=torch.int64)
    bad = [sample[1:] for sample in samples if sample[0] is None]
    return Read(torch.from_numpy(pixels).permute(0, 3, 1, 2), None, positions, bad)
