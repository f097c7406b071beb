"""Volumes from NIfTI (.nii, .nii.gz) with their spacing, in one orientation, read patch by patch. No torch.

Arrays are (D, H, W), or (D, H, W, C): from the feet to the head, from the back to the front, from the left to the right, which
are NIfTI's canonical axes (RAS+), the last first. Uncompressed files are mapped into memory, of which a patch
touches its part only.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from resnets.data.images import BadPicture, FileImages, printable
from resnets.data.label_rules import BadLabel, Fault
from resnets.data.labelled import DenseSource, DenseSplit
from resnets.data.masks import NUMBERS, class_table, names_by_index
from resnets.data.pairs import Pairs, by_stem, matched, pairs_of_folders
from resnets.dense import IGNORE
from resnets.spec import InputError

SUFFIXES = (".nii.gz", ".nii")
MAX_VOXELS = 2**31
SAME_PLACE = 1e-2  # mm that a corner of the labels may lie from the picture's
FOLDERS = (("images", "masks"), ("images", "labels"))
DECATHLON = ("imagesTr", "labelsTr")  # of the Medical Segmentation Decathlon and nnU-Net


def library() -> ModuleType:
    try:
        import nibabel
    except ImportError as error:
        raise InputError("volumes in NIfTI files need a library: pip install 'resnets[volumes]'") from error
    return nibabel


class Volume:
    """One volume: `volume[2:6, :, 8:40]` reads that part, float32 for a picture.

    Raises:
        BadPicture: if the file is no NIfTI, is cut off, too large, or has not 3 axes, or 4 with channels last.
    """

    def __init__(self, path: Path) -> None:
        nibabel = library()
        self.path = path
        try:
            image = nibabel.load(path)
            if not isinstance(image, nibabel.Nifti1Image):  # of which NIfTI-2 is a kind, and CIFTI and others are none
                raise ValueError(f"it is {type(image).__name__}")
            shape, affine = image.shape, np.array(image.affine, dtype=np.float64)
            if len(shape) == 5 and shape[3] == 1:  # a vector a voxel
                raise ValueError("it has 5 axes")
            if len(shape) not in (3, 4) or not all(shape) or math.prod(shape) > MAX_VOXELS:
                raise ValueError(
                    f"its shape is {shape}; it must have 3 axes, or 4 with channels last, and at most {MAX_VOXELS:,} values"
                )
            if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
                raise ValueError("its affine matrix is no place in space")
        except (BadPicture, MemoryError, KeyboardInterrupt):
            raise
        except Exception as error:  # a hostile header can raise nearly anything
            raise BadPicture(path, f"cannot be read as NIfTI ({' '.join(str(error).split())})") from error
        self._image = image
        self._turn = nibabel.orientations.io_orientation(
            affine
        )  # (3, 2): for each axis of the file, which one it is, and its sign
        self._affine = affine
        upright = tuple(shape[int(axis)] for axis in np.argsort(self._turn[:, 0]))
        self.shape: tuple[int, ...] = (*upright[::-1], *shape[3:])
        #: of the array's axes x, y, z in mm, whatever the file's order is
        self.affine = affine @ nibabel.orientations.inv_ornt_aff(self._turn, shape[:3])
        #: mm between neighbours along D, H and W
        self.spacing = tuple(float(length) for length in np.linalg.norm(self.affine[:3, :3], axis=0)[::-1])

    @property
    def channels(self) -> int:
        return self.shape[3] if len(self.shape) == 4 else 1

    @cached_property
    def _stored(self) -> np.ndarray:
        """(D, H, W[, C]) as the file has it, before its scale: a view of a map, where the file is not compressed."""
        try:
            values = self._image.dataobj.get_unscaled()
        except (MemoryError, KeyboardInterrupt):
            raise
        except Exception as error:
            raise BadPicture(self.path, f"truncated, or cannot be decoded ({' '.join(str(error).split())})") from error
        if values.dtype.kind not in "iuf":
            raise BadPicture(self.path, f"its values are {values.dtype}; numbers are read")
        turned = library().orientations.apply_orientation(values, self._turn)
        return turned.transpose(2, 1, 0, *range(3, turned.ndim))

    def __getitem__(self, part: Any) -> np.ndarray:
        slope, offset = float(self._image.dataobj.slope), float(self._image.dataobj.inter)
        values = np.asarray(self._stored[part], dtype=np.float32)
        return values if (slope, offset) == (1, 0) else values * np.float32(slope) + np.float32(offset)

    def indices(self, part: Any = ...) -> np.ndarray:
        """The part as whole numbers, int32, exactly.

        Raises:
            ValueError: if one of them is not whole.
        """
        slope, offset = float(self._image.dataobj.slope), float(self._image.dataobj.inter)
        values = self._stored[part]
        if (slope, offset) != (1, 0) or values.dtype.kind == "f":
            values = np.asarray(values, dtype=np.float64) * slope + offset
            if not np.isfinite(values).all() or (values != np.rint(values)).any():
                raise ValueError("values that are not whole numbers")
        if values.size and (values.min() < 0 or values.max() >= NUMBERS):
            raise ValueError(f"values from {values.min():g} to {values.max():g}")
        return np.asarray(values, dtype=np.int32)

    def save_like(self, values: np.ndarray, path: Path) -> None:
        """Write (D, H, W), in this volume's place, orientation and axes, as a NIfTI file: what was found in it, for viewers."""
        nibabel = library()
        assert values.shape == self.shape[:3], (values.shape, self.shape)
        turn_back = nibabel.orientations.ornt_transform(np.array([[0, 1], [1, 1], [2, 1]]), self._turn)
        stored = nibabel.orientations.apply_orientation(values.transpose(2, 1, 0), turn_back)
        nibabel.Nifti1Image(np.ascontiguousarray(stored), self._affine).to_filename(path)


@dataclass(frozen=True)
class Volumes:
    """The volumes of a split, each opened when asked for: header first, values by `Volume.__getitem__`."""

    files: FileImages

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int, /) -> Volume:
        return Volume(self.files.path(index))

    def name(self, index: int, /) -> str:
        return self.files.name(index)

    def subset(self, indices: Any) -> Volumes:
        return Volumes(self.files.subset(indices))

    def digest(self) -> bytes:
        return self.files.digest()


@dataclass(frozen=True)
class LabelVolumes:
    """Volumes of class indices as targets: uint8 (D, H, W), as `masks.ClassMasks`."""

    volumes: Volumes
    masks: FileImages
    table: np.ndarray

    def __len__(self) -> int:
        return len(self.masks)

    def find(self, index: int, /) -> None:
        if not self.volumes.files.path(index).is_file():
            raise BadLabel(self.volumes.name(index), "there is no such volume, and its labels are there", "missing_picture")
        if not self.masks.path(index).is_file():
            raise BadLabel(self.masks.name(index), "there are no such labels, and their volume is there", "missing_annotation")

    def read(self, index: int, picture: Volume) -> tuple[np.ndarray, list[Fault]]:
        path = self.masks.path(index)
        try:
            labels = Volume(path)
            fit_together(picture, labels)
            values = labels.indices()
        except BadLabel:
            raise
        except BadPicture as error:
            raise BadLabel(path, error.reason, "bad_annotation") from error
        except ValueError as error:
            raise BadLabel(path, f"{error}; labels are whole numbers from 0", "bad_annotation") from error
        classes = self.table[values]
        if (classes < 0).any():
            strange = ", ".join(map(str, np.unique(values[classes < 0])[:5]))
            raise BadLabel(path, f"{(classes < 0).sum():,} voxels of {strange}, which is no class", "unknown_index")
        return classes.astype(np.uint8), []

    def codes(self) -> np.ndarray:
        return np.zeros(len(self), dtype=np.int64)

    def subset(self, indices: np.ndarray) -> LabelVolumes:
        return LabelVolumes(self.volumes.subset(indices), self.masks.subset(indices), self.table)

    def digest(self) -> bytes:
        return self.masks.digest() + hashlib.sha256(self.table.astype("<i2").tobytes()).digest()


def fit_together(volume: Volume, labels: Volume) -> None:
    """Raises `BadLabel` unless the labels have the volume's shape, and its place in space."""
    if labels.shape[:3] != volume.shape[:3] or labels.channels != 1:
        raise BadLabel(labels.path, f"the labels have the shape {labels.shape}, the volume {volume.shape}", "wrong_size")
    last = np.array([length - 1 for length in volume.shape[2::-1]])
    corners = np.array(np.meshgrid(*[(0, length) for length in last], [1])).reshape(4, -1)
    apart = np.linalg.norm(((volume.affine - labels.affine) @ corners)[:3], axis=0).max()
    if apart > SAME_PLACE:
        raise BadLabel(labels.path, f"the labels lie up to {apart:.3g} mm from the volume; resample them to it", "other_grid")


# --- layouts ---------------------------------------------------------------------------------------------------------


def _pairs(root: Path) -> dict[str, tuple[Path, Path]]:
    for pictures, labels in FOLDERS:
        if found := pairs_of_folders(root, pictures, labels):
            return found
    folders = root / DECATHLON[0], root / DECATHLON[1]
    return {"train": folders} if all(folder.is_dir() for folder in folders) else {}


def is_volumes(root: Path) -> bool:
    return any(path.name.lower().endswith(SUFFIXES) for pair in _pairs(root).values() for path in pair[0].iterdir())


def read_volumes(root: Path, in_chans: int, labels: Sequence[str] | None = None, ignore: int | None = None) -> DenseSource:
    """`[{train,val,test}/]images + labels` (or `masks`), or the Decathlon's `imagesTr` and `labelsTr`: .nii and .nii.gz.

    Classes are `labels`, else the lines of `classes.txt`, else numbers up to the largest in any label file. `in_chans` is not
    asked for: volumes have the channels that they have.
    """
    pairs: dict[str, Pairs] = {
        split: matched(by_stem(first, SUFFIXES), by_stem(second, SUFFIXES), (first, second), ".nii.gz")
        for split, (first, second) in _pairs(root).items()
    }
    listed = names_by_index(root, labels, ignore)
    if listed is None:
        listed = tuple(str(index) for index in range(_largest(pairs) + 1))
    names, table = class_table(printable(root), listed, labels, ignore)
    splits = {}
    for split, found in pairs.items():
        pictures, masks = ([path.relative_to(root) for path in paths] for paths in zip(*found, strict=True))
        volumes = Volumes(FileImages(pictures, 1, root))
        splits[split] = DenseSplit(volumes, LabelVolumes(volumes, FileImages(masks, 1, root), table))
    return DenseSource(printable(root.resolve().name), "volumes", names, splits, _channels(splits))


def _largest(pairs: dict[str, Pairs]) -> int:
    largest = 0
    for _, path in (pair for found in pairs.values() for pair in found):
        try:
            values = Volume(path).indices()
        except (BadPicture, ValueError):  # named when it is its turn
            continue
        largest = max(largest, int(values[values != IGNORE].max(initial=0)))
    return largest


def _channels(splits: dict[str, DenseSplit]) -> int:
    for split in splits.values():
        for index in range(len(split)):
            try:
                return split.images[index].channels
            except BadPicture:
                continue
    raise InputError("no volume can be read")
