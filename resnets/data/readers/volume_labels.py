"""Label volumes, whose voxels are class indices, and the layouts of folders with volumes and labels. No torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from resnets.data.pictures.dicom.picture import SUFFIXES as DICOM_SUFFIXES
from resnets.data.pictures.dicom.series import below, gathered
from resnets.data.pictures.dicom_segments import Segments, is_seg, numbers_of
from resnets.data.pictures.images import BadPicture, FileImages, evenly_spaced, printable
from resnets.data.pictures.volume import Volume
from resnets.data.pictures.volumes import SUFFIXES, Volumes, exists, is_nifti, open_volume
from resnets.data.readers.label_rules import BadLabel
from resnets.data.readers.mask_values import class_table, meaning
from resnets.data.readers.pairs import Pairs, by_stem, matched, pairs_of_folders
from resnets.data.readers.walk import Left, folders, normal
from resnets.data.targets import BACKGROUND, IGNORE, Fault, background_of
from resnets.data.types import Source, Split
from resnets.errors import InputError
from resnets.files import is_file

# Largest distance between corresponding corners of a volume and its labels, in mm and as a share of a voxel's shortest side.
TOLERANCE, SHARE = 1e-2, 0.1
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
            self.volume = Segments(path, volume) if is_seg(path) else open_volume(path)
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
        if not exists(self.volumes.files.path(index)):
            raise BadLabel(self.volumes.name(index), "the volume of these labels does not exist", "missing_picture")
        if not is_file(self.masks.path(index)):
            raise BadLabel(self.masks.name(index), "the labels of this volume do not exist", "missing_annotation")

    def read(self, index: int, picture: Volume) -> tuple[np.ndarray, list[Fault]]:
        labels = self.open(index, picture)
        classes = labels[...]
        return classes, [Fault("rounded", "", f"by up to {labels.volume.rounded:.1g}")] if labels.volume.rounded else []

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
    if apart > min(TOLERANCE, SHARE * min(volume.spacing)):
        raise BadLabel(labels.path, f"the labels lie up to {apart:.3g} mm from the volume; resample them to it", "other_grid")


# --- layouts ---------------------------------------------------------------------------------------------------------


def _pairs(root: Path, left: Left | None = None) -> dict[str, tuple[Path, Path]]:
    for pictures, labels in FOLDERS:
        if found := pairs_of_folders(root, pictures, labels, left):
            return found
    places = root / DECATHLON[0], root / DECATHLON[1]
    return {"train": places} if all(folder.is_dir() for folder in places) else {}


def without_channel(volumes: Mapping[str, Path], labels: Mapping[str, Path]) -> dict[str, Path]:
    """Volumes by stem, without the channel that nnU-Net adds to it: `case_0000` is the volume of the labels `case`.

    Raises:
        InputError: if such a case has further channels, in files of their own.
    """
    found = {}
    for stem, path in volumes.items():
        case = stem.removesuffix("_0000")
        if further := f"{case}_0001" if stem != case and f"{case}_0001" in volumes else "":
            raise InputError(
                f"{printable(path)}: a channel of {case}, as {volumes[further].name}; put all channels of a case into one file "
                "of four axes, channels last"
            )
        found[stem if stem in labels or case not in labels or case in volumes else case] = path
    return found


def is_volumes(root: Path) -> bool:
    return any(is_nifti(path) or _is_case(path) for pair in _pairs(root).values() for path in pair[0].iterdir())


def _is_case(path: Path) -> bool:
    """Whether it is a folder with DICOM files, which is then a case of that name."""
    return path.is_dir() and next(below(path), None) is not None


def _volumes_by_stem(folder: Path, left: Left) -> dict[str, Path]:
    """The volumes in `folder` by name: NIfTI files, and folders with one DICOM series each.

    Raises:
        InputError: for a name that is there twice, and a folder with several series.
    """
    cases = {normal(path.name): path for path in folders(folder) if _is_case(path)}
    aside = Left() if cases else left  # of which the files in folders are those of the cases
    found = by_stem(folder, SUFFIXES, aside)
    for name, path in cases.items():
        series = gathered(below(path)).series
        if len(series) != 1 or name in found:
            words = "a file here has the same name" if name in found else f"{len(series)} DICOM series, where a case has one"
            raise InputError(f"{printable(path)}: {words}; give each its own folder, of the name of its labels")
        found[name] = next(iter(series))
    return found


def read_volumes(root: Path, in_chans: int, labels: Sequence[str] | None = None, ignore: int | None = None) -> Source:
    """Read `[{train,val,test}/]images + labels` (or `masks`), or `imagesTr + labelsTr`, with .nii or .nii.gz files; a volume
    may be a folder with a DICOM series, whose labels, NIfTI or DICOM SEG, are called as it is.

    The classes are `labels`, or the lines of `classes.txt`, or `BACKGROUND` for 0 and numbers up to the largest value in any
    label file (`mask_values.meaning`). `in_chans` is not used: the number of channels is that of the first readable volume.

    Raises:
        InputError: if classes and labels do not agree, or no volume can be read.
    """
    pairs: dict[str, Pairs] = {}
    left = Left()
    for split, places in _pairs(root, left).items():
        labelled = by_stem(places[1], (*SUFFIXES, *DICOM_SUFFIXES), left)
        pairs[split] = matched(without_channel(_volumes_by_stem(places[0], left), labelled), labelled, places, ".nii.gz")
    masks = [path for found in pairs.values() for _, path in found]
    known = meaning(root, masks, _numbers, labels, ignore, first=BACKGROUND)
    names, table = class_table(printable(root), known.named, labels, ignore)
    channels, splits = _channels(pairs), {}
    for split, found in pairs.items():
        pictures, stored = ([path.relative_to(root) for path in paths] for paths in zip(*found, strict=True))
        volumes = Volumes(FileImages(pictures, 1, root), channels)
        splits[split] = Split(volumes, LabelVolumes(volumes, FileImages(stored, 1, root), table, background_of(names)))
    notes = (*left.notes(), *known.notes)
    return Source(printable(root.resolve().name), names, splits, channels, kind="volumes", notes=notes)


def _numbers(path: Path) -> np.ndarray:
    """The values in a label file, int32 (...)."""
    return numbers_of(path) if is_seg(path) else open_volume(path).indices()


def _channels(pairs: dict[str, Pairs]) -> int:
    reason = "there is none"
    for path, _ in (pair for found in pairs.values() for pair in found):
        try:
            return open_volume(path).channels
        except BadPicture as error:
            reason = reason if not exists(path) else str(error)
    raise InputError(f"no volume can be read ({reason}); give .nii or .nii.gz files, or folders with a DICOM series each")
