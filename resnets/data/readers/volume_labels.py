"""Label volumes, whose voxels are class indices, and the layouts of folders with volumes and labels. No torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from resnets.data.pictures.images import BadPicture, FileImages, evenly_spaced, printable
from resnets.data.pictures.volumes import SUFFIXES, Volume, Volumes
from resnets.data.readers.label_rules import BadLabel
from resnets.data.readers.masks import class_table, names_by_index
from resnets.data.readers.pairs import Pairs, by_stem, matched, pairs_of_folders
from resnets.data.targets import BACKGROUND, IGNORE, Fault, background_of
from resnets.data.types import Source, Split
from resnets.errors import InputError
from resnets.files import is_file

TOLERANCE = 1e-2  # largest distance in mm between corresponding corners of a volume and its labels
MAX_POSITIONS = 1000  # kept for each class of a volume
FOLDERS = (("images", "masks"), ("images", "labels"))
DECATHLON = ("imagesTr", "labelsTr")  # of the Medical Segmentation Decathlon and nnU-Net


class Labels:
    """The class indices of the voxels of `volume`. `labels[2:6, :, 8:40]` reads that part as uint8.

    Args:
        table: as of `masks.ClassMasks`.
        background: the class that `positions` leaves out.

    Raises:
        BadLabel: if the file cannot be read or does not match the volume; on reading a part, if it has unknown values.
    """

    def __init__(self, path: Path, volume: Volume, table: np.ndarray, background: int) -> None:
        try:
            self.volume = Volume(path)
        except BadPicture as error:
            raise BadLabel(path, error.reason, "bad_annotation") from error
        check_alignment(volume, self.volume)
        self.table, self.background = table, background

    def __getitem__(self, part: Any) -> np.ndarray:
        path = self.volume.path
        try:
            values = self.volume.indices(part)
        except BadPicture as error:
            raise BadLabel(path, error.reason, "bad_annotation") from error
        except ValueError as error:
            raise BadLabel(path, f"{error}; labels are integers from 0", "bad_annotation") from error
        classes = self.table[values].reshape(values.shape[:3])
        if (classes < 0).any():
            strange = ", ".join(map(str, np.unique(values[self.table[values] < 0])[:5]))
            raise BadLabel(path, f"{(classes < 0).sum():,} voxels of {strange}, which are no class", "unknown_index")
        return classes.astype(np.uint8)

    @cached_property
    def positions(self) -> tuple[np.ndarray, ...]:
        """For each class that occurs, except the background, positions (K, 3) of up to `MAX_POSITIONS` evenly spaced voxels."""
        classes = self[...]
        found = (np.flatnonzero(classes == index) for index in np.unique(classes) if index not in (self.background, IGNORE))
        return tuple(np.stack(np.unravel_index(evenly_spaced(every, MAX_POSITIONS), classes.shape), 1) for every in found)


@dataclass(frozen=True)
class LabelVolumes:
    """Label volumes, as `Targets`. `read` returns class indices uint8 (D, H, W); `table` is as of `masks.ClassMasks`."""

    volumes: Volumes
    masks: FileImages
    table: np.ndarray
    background: int

    def __len__(self) -> int:
        return len(self.masks)

    def find(self, index: int, /) -> None:
        if not is_file(self.volumes.files.path(index)):
            raise BadLabel(self.volumes.name(index), "the volume of these labels does not exist", "missing_picture")
        if not is_file(self.masks.path(index)):
            raise BadLabel(self.masks.name(index), "the labels of this volume do not exist", "missing_annotation")

    def read(self, index: int, picture: Volume) -> tuple[np.ndarray, list[Fault]]:
        return self.open(index, picture)[...], []

    def open(self, index: int, volume: Volume) -> Labels:
        """The labels of `volume`, to be read in parts. Raises `BadLabel`."""
        return Labels(self.masks.path(index), volume, self.table, self.background)

    def codes(self) -> np.ndarray:
        return np.zeros(len(self), dtype=np.int64)

    def subset(self, indices: np.ndarray) -> LabelVolumes:
        return LabelVolumes(self.volumes.subset(indices), self.masks.subset(indices), self.table, self.background)

    def digest(self) -> bytes:
        return self.masks.digest() + hashlib.sha256(self.table.astype("<i2").tobytes()).digest()


def check_alignment(volume: Volume, labels: Volume) -> None:
    """Raise `BadLabel` unless the labels have the volume's shape and the same position in space."""
    if labels.shape[:3] != volume.shape[:3] or labels.channels != 1:
        raise BadLabel(labels.path, f"the labels have the shape {labels.shape}, the volume {volume.shape}", "wrong_size")
    last = np.array([length - 1 for length in volume.shape[2::-1]])
    corners = np.array(np.meshgrid(*[(0, length) for length in last], [1])).reshape(4, -1)
    apart = np.linalg.norm(((volume.affine - labels.affine) @ corners)[:3], axis=0).max()
    if apart > TOLERANCE:
        raise BadLabel(labels.path, f"the labels lie up to {apart:.3g} mm from the volume; resample them to it", "other_grid")


def worst_slice(truth: np.ndarray, found: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    """The index along D of the slice in which most voxels differ, and that slice of both, flipped as by `Volume.drawn`."""
    row = int(np.argmax([((there != here) & (there != IGNORE)).sum() for there, here in zip(truth, found, strict=True)]))
    return row, truth[row, ::-1].copy(), found[row, ::-1].copy()


# --- layouts ---------------------------------------------------------------------------------------------------------


def _pairs(root: Path) -> dict[str, tuple[Path, Path]]:
    for pictures, labels in FOLDERS:
        if found := pairs_of_folders(root, pictures, labels):
            return found
    folders = root / DECATHLON[0], root / DECATHLON[1]
    return {"train": folders} if all(folder.is_dir() for folder in folders) else {}


def is_volumes(root: Path) -> bool:
    return any(path.name.lower().endswith(SUFFIXES) for pair in _pairs(root).values() for path in pair[0].iterdir())


def read_volumes(root: Path, in_chans: int, labels: Sequence[str] | None = None, ignore: int | None = None) -> Source:
    """Read `[{train,val,test}/]images + labels` (or `masks`), or `imagesTr + labelsTr`, with .nii or .nii.gz files.

    The classes are `labels`, or the lines of `classes.txt`, or `BACKGROUND` for 0 and numbers up to the largest value in any
    label file. `in_chans` is not used: the number of channels is that of the first readable volume.

    Raises:
        InputError: if classes and labels do not agree, or no volume can be read.
    """
    pairs: dict[str, Pairs] = {
        split: matched(by_stem(first, SUFFIXES), by_stem(second, SUFFIXES), (first, second), ".nii.gz")
        for split, (first, second) in _pairs(root).items()
    }
    listed = names_by_index(root, labels, ignore)
    if listed is None:
        listed = (BACKGROUND, *(str(index) for index in range(1, _largest(pairs) + 1)))
    names, table = class_table(printable(root), listed, labels, ignore)
    channels, splits = _channels(pairs), {}
    for split, found in pairs.items():
        pictures, masks = ([path.relative_to(root) for path in paths] for paths in zip(*found, strict=True))
        volumes = Volumes(FileImages(pictures, 1, root), channels)
        splits[split] = Split(volumes, LabelVolumes(volumes, FileImages(masks, 1, root), table, background_of(names)))
    return Source(printable(root.resolve().name), names, splits, channels, kind="volumes")


def _largest(pairs: dict[str, Pairs]) -> int:
    largest = 0
    for _, path in (pair for found in pairs.values() for pair in found):
        try:
            values = Volume(path).indices()
        except (BadPicture, ValueError):  # reported when the volume is used
            continue
        largest = max(largest, int(values[values != IGNORE].max(initial=0)))
    return largest


def _channels(pairs: dict[str, Pairs]) -> int:
    reason = "there is none"
    for path, _ in (pair for found in pairs.values() for pair in found):
        try:
            return Volume(path).channels
        except BadPicture as error:
            reason = reason if not path.exists() else str(error)
    raise InputError(f"no volume can be read ({reason}); give .nii or .nii.gz files")
