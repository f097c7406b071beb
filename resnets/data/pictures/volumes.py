"""Volumes in files: NIfTI (.nii, .nii.gz), and DICOM series, which have a path too (`dicom.series`). No torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from resnets.data.pictures.dicom.parse import is_dicom
from resnets.data.pictures.dicom.series import gathered, is_series
from resnets.data.pictures.dicom_volumes import Dicom
from resnets.data.pictures.images import BadPicture
from resnets.data.pictures.modalities import Modalities, further
from resnets.data.pictures.nifti import SUFFIXES, Nifti
from resnets.data.pictures.resampled import on_grid
from resnets.data.pictures.stored import FileImages, evenly_spaced
from resnets.data.pictures.volume import Volume
from resnets.data.preprocess import Preprocess, Range
from resnets.data.words import IMAGES_OF
from resnets.errors import InputError


def open_volume(path: Path, window: tuple[float, float] | None = None) -> Volume:
    """The volume at a path; its values are read on access. Raises `BadPicture`."""
    return (Nifti if is_nifti(path) else Dicom)(path, window)


def is_nifti(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES)


def _in_dicom(path: Path) -> bool:
    return not is_nifti(path) and (is_series(path) or is_dicom(path))


def is_taken(path: Path) -> bool:
    """Whether a path is one of a volume, in NIfTI or DICOM."""
    return is_nifti(path) or _in_dicom(path)


def in_series(files: Iterable[Path], left: Any) -> Iterator[Path]:
    """The paths of the volumes among files: NIfTI as they come, then the series of those in DICOM, and what cannot be read.

    Args:
        left: `readers.walk.Left`, which counts DICOM files without images.
    """
    slices = []
    for path in files:
        if is_nifti(path):
            yield path
        else:
            slices.append(path)
    found = gathered(slices)
    for modality, (num, first) in found.others.items():
        left.add(f"DICOM without images ({modality})", first, num)
    yield from sorted([*found.series, *found.unread])


def exists(path: Path) -> bool:
    """Whether there is a file or a folder at a path, or one in which a series of this name may be."""
    return path.exists() or is_series(path)


def is_named_volume(path: Path) -> bool:
    """Whether a path in a list is one of a volume: NIfTI, a folder, or a series in one. A single file in DICOM is a picture."""
    return is_nifti(path) or is_series(path)


def channels_of(paths: Iterable[Path]) -> int:
    """The channels of the first volume that can be read. Raises `InputError` where there is none."""
    reason = "there is none"
    for path in paths:
        try:
            return open_volume(path).channels
        except BadPicture as error:
            reason = str(error)
    raise InputError(f"no volume can be read ({reason}); give .nii or .nii.gz files, or folders with a DICOM series each")


def mask_suffix(path: Path) -> str:
    """The suffix of a file with class indices for the volume at a path."""
    return ".dcm" if _in_dicom(path) else ".nii.gz"


@dataclass(frozen=True)
class Volumes:
    """Volumes with `in_chans` channels. `volumes[i]` opens one, reading its header only; it raises `BadPicture`. Where a file
    has fewer, the further ones are in files beside it (`modalities`).

    Args:
        window: as of `Volume`.
        ranges, spacing: as of `Preprocess`.
    """

    called: ClassVar[str] = IMAGES_OF[3]
    files: FileImages
    in_chans: int
    window: tuple[float, float] | None = None
    ranges: tuple[Range | None, ...] | None = None
    spacing: tuple[float, ...] | None = None

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int, /) -> Volume:
        volume = open_volume(path := self.files.path(index), self.window)
        if volume.channels < self.in_chans and (others := further(path)):
            volume = Modalities([volume, *(open_volume(other, self.window) for other in others)])
        if volume.channels != self.in_chans:
            raise BadPicture(volume.path, f"it has {volume.channels} channels, where {self.in_chans} are expected")
        volume.ranges = self.ranges
        return on_grid(volume, self.spacing)

    def path(self, index: int, /) -> Path:
        return self.files.path(index)

    def name(self, index: int, /) -> str:
        return self.files.name(index)

    def relative(self, index: int, /) -> str:
        return self.files.relative(index)

    def subset(self, indices: Any) -> Volumes:
        return replace(self, files=self.files.subset(indices))

    def joined(self, other: Volumes) -> Volumes:
        root = Path(self.files.root)
        paths = [images.path(index) for images in (self, other) for index in range(len(images))]
        own = [path.relative_to(root) if path.is_relative_to(root) else path.absolute() for path in paths]
        return replace(self, files=FileImages(own, 1, root))

    def shapes(self, most: int) -> np.ndarray:
        """(K, 3): depth, height and width of up to `most` volumes, evenly spread; of those that can be read."""
        found = []
        for index in evenly_spaced(np.arange(len(self)), most).tolist():
            try:
                found.append(self[index].shape[:3])
            except BadPicture:  # said when it is read
                continue
        return np.array(found, np.int64).reshape(-1, 3)

    def windowed(self, window: tuple[float, float] | None) -> Volumes:
        return replace(self, window=window)

    def read_by(self, preprocess: Preprocess) -> Volumes:
        """The same as inputs of a network."""
        return replace(self, window=preprocess.window, ranges=preprocess.ranges, spacing=preprocess.spacing)

    def digest(self) -> bytes:
        own = self.files.digest()
        others = [other for index in range(len(self)) for other in further(self.files.path(index)) if self.in_chans > 1]
        return hashlib.sha256(own + FileImages(others, 1).digest()).digest() if others else own
