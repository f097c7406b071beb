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
from resnets.data.pictures.images import BadPicture, printable
from resnets.data.pictures.modalities import NUMBERED
from resnets.data.pictures.resampled import NEAREST, Resampled, interpolated
from resnets.data.pictures.stored import FileImages, evenly_spaced
from resnets.data.pictures.volume import ALIGNED, Volume
from resnets.data.pictures.volumes import SUFFIXES, Volumes, exists, is_nifti, open_volume
from resnets.data.readers.decathlon import NAME, described
from resnets.data.readers.label_rules import BadLabel
from resnets.data.readers.mask_values import class_table, meaning
from resnets.data.readers.pairs import Pairs, by_stem, matched, pairs_of_folders
from resnets.data.readers.walk import Left, folders, normal
from resnets.data.targets import BACKGROUND, IGNORE, Fault, background_of
from resnets.data.types import Note, Source, Split
from resnets.errors import InputError
from resnets.files import is_file

SHARE = 0.1  # of a voxel's shortest side, by which labels may lie beside their volume
MAX_POSITIONS = 1000  # kept for each class of a volume
FOLDERS = (("images", "masks"), ("images", "labels"))
DECATHLON = {"train": ("imagesTr", "labelsTr"), "test": ("imagesTs", "labelsTs")}  # of the Decathlon and nnU-Net


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
            volume = volume.original
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


class ResampledLabels(Labels):
    """The classes of the voxels of a volume on another grid than its file's: each that of the nearest one there."""

    def __init__(self, path: Path, volume: Resampled, table: np.ndarray, background: int) -> None:
        super().__init__(path, volume, table, background)
        self.grid = volume

    def __getitem__(self, part: Any) -> np.ndarray:
        parts = self.grid.parts(part)
        found = np.empty([each.stop - each.start for each in parts], np.uint8)
        for inside, box, offset in self.grid.boxes(parts):
            found[inside] = interpolated(super().__getitem__(box), self.grid, offset, found[inside].shape, NEAREST)
        return found


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
        if isinstance(volume, Resampled):
            return ResampledLabels(self.masks.path(index), volume, self.table, self.background)
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
    if (apart := volume.apart(labels)) > min(ALIGNED, SHARE * min(volume.spacing)):
        raise BadLabel(labels.path, f"the labels lie up to {apart:.3g} mm from the volume; resample them to it", "other_grid")


# --- layouts ---------------------------------------------------------------------------------------------------------


def _pairs(root: Path, left: Left | None = None) -> dict[str, tuple[Path, Path]]:
    for pictures, labels in FOLDERS:
        if found := pairs_of_folders(root, pictures, labels, left):
            return found
    places = {split: (root / first, root / second) for split, (first, second) in DECATHLON.items()}
    return {split: pair for split, pair in places.items() if all(folder.is_dir() for folder in pair)}


def by_case(volumes: Mapping[str, Path], labels: Mapping[str, Path]) -> dict[str, list[Path]]:
    """The files of each case, in the order of their channels. `case_0000` and `case_0001` are those of the labels `case`, as
    nnU-Net calls them; other files are cases by themselves.

    Raises:
        InputError: where a case lacks a channel, or has others than the first one.
    """
    found: dict[str, dict[int, Path]] = {}
    for stem, path in volumes.items():
        part = NUMBERED.fullmatch(stem)
        if part and stem not in labels and part["case"] in labels and part["case"] not in volumes:
            found.setdefault(part["case"], {})[int(part["number"])] = path
        else:
            found[stem] = {0: path}
    num = max((len(files) for case, files in found.items() if case in labels), default=1)
    for case, files in found.items():
        if case in labels and (missing := set(range(num)) - files.keys()):
            there, name = printable(next(iter(files.values()))), f"{case}_{min(missing):04}"
            raise InputError(f"{there}: other cases have {num} files, one a channel, and here is no {name}; add it")
    return {case: [files[number] for number in sorted(files)] for case, files in found.items()}


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

    What `dataset.json` says of classes, modalities and training cases is taken from it (`decathlon`).

    Raises:
        InputError: if classes and labels do not agree, or no volume can be read.
    """
    pairs: dict[str, Pairs] = {}
    left, told, num = Left(), described(root), 1
    for split, places in _pairs(root, left).items():
        labelled = by_stem(places[1], (*SUFFIXES, *DICOM_SUFFIXES), left)
        cases = by_case(_volumes_by_stem(places[0], left), labelled)
        num = max(num, *map(len, cases.values())) if cases else num
        pairs[split] = matched({case: files[0] for case, files in cases.items()}, labelled, places, ".nii.gz")
    if told.training and "train" in pairs:
        pairs["train"] = _listed(root, told.training, pairs["train"], left)
    masks = [path for found in pairs.values() for _, path in found]
    known = meaning(root, masks, _numbers, labels, ignore, first=BACKGROUND, described=told.named)
    names, table = class_table(printable(root), known.named, labels, ignore)
    channels, splits = num * _channels(pairs), {}
    if told.modalities and len(told.modalities) != channels:
        words = f"{len(told.modalities)} modalities ({', '.join(told.modalities)}), and the volumes have {channels} channels"
        raise InputError(f"{printable(root / NAME)}: {words}; correct it, or add files")
    for split, found in pairs.items():
        pictures, stored = ([path.relative_to(root) for path in paths] for paths in zip(*found, strict=True))
        volumes = Volumes(FileImages(pictures, 1, root), channels)
        splits[split] = Split(volumes, LabelVolumes(volumes, FileImages(stored, 1, root), table, background_of(names)))
    notes = (*left.notes(), *known.notes)
    if told.num_tests and "test" not in splits:
        words = f"{told.num_tests:,} test volumes without labels are listed; `resnets predict` takes them"
        notes = (*notes, Note("unlabelled", words, level="note"))
    name = printable(root.resolve().name)
    return Source(name, names, splits, channels, kind="volumes", notes=notes, modalities=told.modalities)


def _listed(root: Path, training: Sequence[tuple[Path, Path]], there: Pairs, left: Left) -> Pairs:
    """The cases that dataset.json lists; an image that is listed without its channel, as nnU-Net does, is that of the case."""
    by_labels = {label: image for image, label in there}
    listed = [(root / image, root / label) for image, label in training]
    found = [(image if exists(image) else by_labels.get(label, image), label) for image, label in listed]
    for label in sorted(by_labels.keys() - {label for _, label in listed}):
        left.add("cases that dataset.json does not list", label)
    return found


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
