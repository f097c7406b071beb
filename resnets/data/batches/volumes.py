"""Training's patches of volumes, and whole volumes for evaluation; as in `geometry`, of (seed, epoch, position) alone.

Inputs are float32 (C, D, H, W), each volume normalised by itself (`Volume.normalised`); targets are class indices (D, H, W).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from resnets.data.batches import volume_augment
from resnets.data.batches.dense import CPU, repeated_order
from resnets.data.depth import read_as
from resnets.data.pictures.images import BadPicture
from resnets.data.pictures.volume import Volume
from resnets.data.preprocess import Preprocess
from resnets.data.randomness import mix_seed
from resnets.data.readers.volume_labels import Labels
from resnets.data.targets import IGNORE, Truth
from resnets.data.types import Batch, Part, Read, Split

KEPT_BYTES = 2**29  # of decoded voxels that a process keeps, for files that cannot be read in parts


@dataclass(frozen=True, kw_only=True)
class Patches:
    """What training sees of a volume, a pure function of (seed, epoch, index). Called as `geometry.DenseAugment` is.

    Args:
        size: (D, H, W) of a patch. Where the volume is smaller it lies anywhere within, with zeros around it, to be ignored.
        foreground: probability that a patch is cut around a voxel of a class other than the background, as near as the edges
            allow: first a class is drawn of those that are there, then its voxel (nnU-Net, arXiv 1809.10486, takes a third).
            Other patches lie anywhere.
        hflip, vflip, dflip: probability of exchanging left and right, back and front, feet and head.
        rotation, zoom: see `volume_augment.warp`.
        intensity: factor on the probabilities of `volume_augment.CHANGES`.
        jitter: most by which the contrast changes, as a fraction, and the brightness, in standard deviations of the volume.
    """

    size: tuple[int, ...]
    foreground: float = 1 / 3
    hflip: float = 0.5
    jitter: float = 0.0
    vflip: float = 0.0
    dflip: float = 0.0
    rotation: float = 0.0
    zoom: float = 0.0
    intensity: float = 0.0

    def __call__(self, volume: Volume, labels: Labels, *, seed: int, epoch: int, index: int) -> tuple[Tensor, np.ndarray]:
        """Reads the patch, of `labels` where the foreground lies, and of files that are not mapped the whole."""
        random = Random(mix_seed(seed, epoch, index, "patch"))
        centre, mirrored = self._centre(labels, random), random.random() < self.hflip
        contrast, brightness = (self.jitter * random.uniform(-1, 1) for _ in range(2))
        corner = []
        for axis, (side, length) in enumerate(zip(self.size, volume.shape[:3], strict=True)):
            first, last = sorted((0, length - side))
            anywhere = random.randint(first, last)
            corner.append(anywhere if centre is None else min(max(centre[axis] - side // 2, first), last))

        def read(part: tuple[slice, ...]) -> np.ndarray:
            return volume.normalised(part) * np.float32(1 + contrast) + np.float32(brightness)

        draw = Random(mix_seed(seed, epoch, index, "warp"))
        warp = volume_augment.warp(draw, corner, self.size, volume.spacing, rotation=self.rotation, zoom=self.zoom)
        if warp is None:
            pixels, target = self._padded(read, labels, volume.shape[:3], corner)
        else:
            box = warp.box(volume.shape[:3])
            pixels, target = warp(read(box), labels[box], box)
        own = Random(mix_seed(seed, epoch, index, "flips"))
        axes = [n for n, share in enumerate((self.dflip, self.vflip)) if own.random() < share] + [2] * mirrored
        if axes:
            pixels, target = np.flip(pixels, tuple(axis + 1 for axis in axes)), np.flip(target, tuple(axes))
        found = torch.from_numpy(np.ascontiguousarray(pixels))
        if self.intensity:
            found = volume_augment.changed(found, Random(mix_seed(seed, epoch, index, "intensity")), self.intensity)
        return found, np.ascontiguousarray(target)

    def _padded(self, read: Any, labels: Labels, shape: tuple[int, ...], corner: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """The patch at `corner` of a volume of `shape`, as it is: pixels (C, D, H, W) and targets (D, H, W)."""
        inside = tuple(
            slice(max(0, start), min(start + side, length))
            for start, side, length in zip(corner, self.size, shape, strict=True)
        )
        around = [
            (part.start - start, start + side - part.stop) for part, start, side in zip(inside, corner, self.size, strict=True)
        ]
        return np.pad(read(inside), [(0, 0), *around]), np.pad(labels[inside], around, constant_values=IGNORE)

    def _centre(self, labels: Labels, random: Random) -> list[int] | None:
        """A voxel (D, H, W) of the foreground; None: anywhere."""
        wanted, which, where = (random.random() for _ in range(3))
        if wanted >= self.foreground or not labels.positions:
            return None
        positions = labels.positions[int(which * len(labels.positions))]
        return [int(axis) for axis in positions[int(where * len(positions))]]


class Opened:
    """The volumes of a split with their labels, each opened once, and read: its statistics and positions stay known, or what is
    wrong with it.

    So do decoded voxels, up to `KEPT_BYTES`: those of the first that come, for what comes at random is not seen again sooner if
    others make room for it.
    """

    def __init__(self, split: Split) -> None:
        self.split, self.room = split, KEPT_BYTES
        self.pairs: dict[int, tuple[Volume, Labels]] = {}
        self.bad: dict[int, BadPicture] = {}
        self.kept: set[int] = set()

    def __getitem__(self, index: int) -> tuple[Volume, Labels]:
        if index in self.bad:
            raise self.bad[index]
        if index not in self.pairs:
            try:
                self.pairs[index] = self._open(index)
            except BadPicture as bad:
                self.bad[index] = bad
                raise
        return self.pairs[index]

    def _open(self, index: int) -> tuple[Volume, Labels]:
        self.split.targets.find(index)
        volume = self.split.images[index]
        labels = self.split.targets.open(index, volume)
        _ = volume.statistics, labels.positions  # all is read now, so that what is broken is left out whatever the patch
        return volume, labels

    def leave(self, index: int) -> None:
        """A patch was cut: let go of what is not to be kept."""
        volume, labels = self.pairs[index]
        needed = volume.num_bytes + labels.volume.num_bytes
        if index not in self.kept and 0 < needed <= self.room:
            self.kept.add(index)
            self.room -= needed
        if index not in self.kept:
            volume.forget()
            labels.volume.forget()


@dataclass(kw_only=True)
class VolumeSamples:
    """The volumes of a split with their labels; see `data.types.Samples`. Training has patches, evaluation the whole.

    Args:
        repeats: patches of each volume per epoch.
    """

    split: Split
    preprocess: Preprocess
    augment: Patches | None = None
    seed: int = 0
    repeats: int = 1
    device: torch.device = CPU
    grow_from = 1.0
    in_memory = False

    def __post_init__(self) -> None:
        self.train = self.whole_batches = self.augment is not None
        self.split = read_as(self.split, self.preprocess)
        self.sequential = not self.train  # workers would read several whole volumes ahead
        self.size = self.preprocess.size

    def __len__(self) -> int:
        return len(self.split) * (self.repeats if self.train else 1)

    def order(self, epoch: int) -> np.ndarray:
        return repeated_order(self, epoch)

    def reader(self, batch_size: int) -> Dataset:
        return _Cases(self.split, self.augment, self.seed)

    def collate(self) -> Any:
        return partial(collate, shape=(self.preprocess.in_chans, *self.size))

    def gather(self, epoch: int, first: int, positions: np.ndarray) -> Read:
        raise AssertionError("volumes are read one by one")

    def finish(self, read: Read, part: Part) -> Batch:
        pixels = read.pixels.to(self.device) if self.train else read.pixels
        return Batch(pixels, read.targets, read.positions, read.sizes)


class _Cases(Dataset):
    """(epoch, position in its order, index) -> (pixels, target, index), or (None, name, reason) where it cannot be read.

    Without `augment` the pixels are those of the whole volume, and the target is its `Truth`.
    """

    def __init__(self, split: Split, augment: Patches | None, seed: int) -> None:
        self.split, self.augment, self.seed = split, augment, seed
        self.opened = Opened(split)

    def __getitem__(self, key: tuple[int, int, int]) -> Any:
        epoch, position, index = key
        try:
            if self.augment is None:
                self.split.targets.find(index)
                volume = self.split.images[index]
                original = volume.original
                target, _ = self.split.targets.read(index, original)
                truth = Truth(index, original.shape[:3], target, original.spacing)
                return torch.from_numpy(volume.normalised()), truth, index
            pixels, target = self.augment(*self.opened[index], seed=self.seed, epoch=epoch, index=position)
        except BadPicture as bad:
            return None, self.split.images.name(index), bad.reason
        self.opened.leave(index)
        return pixels, target, index


def collate(samples: list[Any], shape: tuple[int, ...]) -> Read:
    """Pixels (N, C, D, H, W) and targets (`Truth`s, or int64 (N, D, H, W)) of what could be read; `shape` (C, D, H, W) is that
    of a batch of none."""
    read = [sample for sample in samples if sample[0] is not None]
    bad = [sample[1:] for sample in samples if sample[0] is None]
    positions = torch.tensor([index for *_, index in read], dtype=torch.int64)
    if not read:
        return Read(torch.empty(0, *shape), torch.empty(0, *shape[1:], dtype=torch.int64), positions, bad)
    pixels, targets = torch.stack([pixels for pixels, *_ in read]), [target for _, target, _ in read]
    if isinstance(targets[0], Truth):
        return Read(pixels, targets, positions, bad, [truth.size for truth in targets])
    return Read(pixels, torch.from_numpy(np.stack(targets).astype(np.int64)), positions, bad)
