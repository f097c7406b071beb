"""Reading NIfTI volumes (.nii, .nii.gz), whole or in parts, in one orientation and with their spacing. No torch.

Arrays are (D, H, W) or (D, H, W, C). D runs from feet to head, H from back to front, W from left to right: NIfTI's canonical
axes (RAS+) in reverse order. Uncompressed files are memory-mapped, so that reading a patch reads only its part of the file.
"""

from __future__ import annotations

import gzip
import math
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from resnets.data.pictures.images import BadPicture, FileImages
from resnets.data.targets import NUMBERS
from resnets.errors import InputError
from resnets.files import open_regular, replacing, short

SUFFIXES = (".nii.gz", ".nii")
MAX_VOXELS = 2**31
MAX_UNPACKED = 2**32  # bytes of a compressed volume, which is read whole
MAX_OFFSET = 2**24  # bytes before the voxels
# Of NIfTI-1 and NIfTI-2, by the size of the header: where it says at which byte the voxels begin (vox_offset), and its type.
OFFSETS = {348: (108, "f4"), 540: (168, "i8")}
SLAB = 2**22  # voxels that are summed at a time
MM = {"meter": 1e3, "mm": 1.0, "micron": 1e-3}  # by NIfTI's units of space; unknown ones are taken as mm
ROUNDED = 1e-3  # largest distance of a label from an integer; a scaled file of integers 0 and 3 may hold 2.9999999993
FLAT = 1e-6  # a channel whose standard deviation is at most this fraction of its mean has no contrast


def library() -> ModuleType:
    """nibabel. Raises `InputError` if it is not installed."""
    try:
        import nibabel
    except ImportError as error:
        raise InputError("volumes in NIfTI files need a library: pip install 'resnets[volumes]'") from error
    return nibabel


def _check_start(path: Path) -> None:
    """Raise `OSError` if `path` is not a regular file, `ValueError` if its voxels begin further on than extensions reach.

    nibabel would read, or decompress, all that lies before them.
    """
    packed = path.suffix.lower() == ".gz"
    with open_regular(path) as file, gzip.open(file) if packed else nullcontext(file) as stream:
        start = stream.read(540)  # the header of NIfTI-2; that of NIfTI-1 has 348 bytes
    for order in ("<", ">"):
        size = int(np.frombuffer(start[:4].ljust(4, b"\0"), f"{order}i4")[0])
        if size in OFFSETS and len(start) >= size:
            at, kind = OFFSETS[size]
            offset = float(np.frombuffer(start, f"{order}{kind}", 1, at)[0])
            if not 0 <= offset <= MAX_OFFSET:
                raise ValueError(f"its voxels begin at byte {offset:g}, and at most {MAX_OFFSET:,} are read before them")


class Volume:
    """One volume in a file. `volume[2:6, :, 8:40]` reads that part as float32, with the file's scale applied.

    Raises:
        BadPicture: if the file is not NIfTI, is truncated or too large, or has neither 3 axes nor 4 with channels last.
    """

    def __init__(self, path: Path) -> None:
        nibabel = library()
        self.path = path
        try:
            _check_start(path)
            image = nibabel.load(path)
            if not isinstance(image, nibabel.Nifti1Image):  # includes NIfTI-2, excludes CIFTI and others
                raise ValueError(f"it is {type(image).__name__}")
            shape, affine = image.shape, np.array(image.affine, dtype=np.float64)
            affine[:3] *= MM.get(image.header.get_xyzt_units()[0], 1.0)
            if len(shape) == 5 and shape[3] == 1:  # one vector per voxel
                raise ValueError("it has 5 axes")
            if len(shape) not in (3, 4) or not all(shape) or math.prod(shape) > MAX_VOXELS:
                raise ValueError(
                    f"its shape is {shape}; it must have 3 axes, or 4 with channels last, and at most {MAX_VOXELS:,} values"
                )
            if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
                raise ValueError("its affine matrix is singular or not finite")
            turn = nibabel.orientations.io_orientation(affine)
            if not np.isfinite(turn).all():
                raise ValueError("its affine matrix is nearly singular")
            if path.suffix.lower() == ".gz" and math.prod(shape) * image.get_data_dtype().itemsize > MAX_UNPACKED:
                raise ValueError(f"it unpacks to more than {MAX_UNPACKED:,} bytes; save it as .nii, which is read in parts")
        except (BadPicture, MemoryError, KeyboardInterrupt):
            raise
        except Exception as error:  # a malformed header can raise nearly any exception
            raise BadPicture(path, f"cannot be read as NIfTI ({short(error)})") from error
        self._image = image
        self.rounded = 0.0  # most that `indices` has rounded a value
        self._turn = turn  # (3, 2): for each axis of the file, its canonical axis and its direction (1 or -1)
        upright = tuple(shape[int(axis)] for axis in np.argsort(self._turn[:, 0]))
        self.shape: tuple[int, ...] = (*upright[::-1], *shape[3:])
        #: (4, 4), from array indices (x, y, z), that is (W, H, D), to mm, whatever the file's order of axes
        self.affine = affine @ nibabel.orientations.inv_ornt_aff(self._turn, shape[:3])
        #: distance between neighbouring voxels along D, H and W in mm
        self.spacing = tuple(float(length) for length in np.linalg.norm(self.affine[:3, :3], axis=0)[::-1])

    @property
    def channels(self) -> int:
        return self.shape[3] if len(self.shape) == 4 else 1

    @cached_property
    def _stored(self) -> np.ndarray:
        """The stored values (D, H, W[, C]) without the file's scale; a view of the memory map if it is not compressed."""
        try:
            values = self._image.dataobj.get_unscaled()
        except (MemoryError, KeyboardInterrupt):
            raise
        except Exception as error:
            raise BadPicture(self.path, f"truncated, or cannot be decoded ({short(error)})") from error
        if values.dtype.kind not in "iuf":
            raise BadPicture(self.path, f"its values are {values.dtype}; only numbers can be read")
        turned = library().orientations.apply_orientation(values, self._turn)
        return turned.transpose(2, 1, 0, *range(3, turned.ndim))

    def __getitem__(self, part: Any) -> np.ndarray:
        slope, offset = float(self._image.dataobj.slope), float(self._image.dataobj.inter)
        values = np.asarray(self._stored[part], dtype=np.float32)
        return values if (slope, offset) == (1, 0) else values * np.float32(slope) + np.float32(offset)

    @property
    def num_bytes(self) -> int:
        """Memory for the decoded values in bytes; 0 if the file is memory-mapped."""
        packed = self.path.suffix.lower() == ".gz"
        return math.prod(self.shape) * self._image.get_data_dtype().itemsize if packed else 0

    def forget(self) -> None:
        """Free the decoded values or the memory map; they are read again on the next access."""
        self.__dict__.pop("_stored", None)

    @cached_property
    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation (C,) float32 over all finite values; 1 as standard deviation without contrast."""
        count, total, squares = np.zeros((3, self.channels))
        rows = max(1, SLAB // math.prod(self.shape[1:]))
        for start in range(0, self.shape[0], rows):
            values = self[start : start + rows].reshape(-1, self.channels).astype(np.float64)
            known = np.isfinite(values)
            values[~known] = 0
            count, total, squares = count + known.sum(0), total + values.sum(0), squares + (values**2).sum(0)
        mean = total / np.maximum(count, 1)
        std = np.sqrt(np.maximum(squares / np.maximum(count, 1) - mean**2, 0))
        std[std <= FLAT * np.abs(mean)] = 1
        return mean.astype(np.float32), std.astype(np.float32)

    def normalised(self, part: Any = ...) -> np.ndarray:
        """A part as the network's input, float32 (C, D, H, W): (x - mean) / std by `statistics`, 0 for non-finite values."""
        mean, std = self.statistics
        values = self[part]
        with np.errstate(invalid="ignore", over="ignore"):
            values = (values if len(self.shape) == 4 else values[..., None]) - mean
            values /= std
        values[~np.isfinite(values)] = 0
        return np.ascontiguousarray(np.moveaxis(values, -1, 0))

    def indices(self, part: Any = ...) -> np.ndarray:
        """A part as integers, int32, for label volumes.

        Raises:
            ValueError: if a value is farther than `ROUNDED` from an integer, or not in [0, NUMBERS).
        """
        slope, offset = float(self._image.dataobj.slope), float(self._image.dataobj.inter)
        values = self._stored[part]
        if (slope, offset) != (1, 0) or values.dtype.kind == "f":
            values = np.asarray(values, dtype=np.float64) * slope + offset
            if not np.isfinite(values).all() or (apart := float(np.abs(values - np.rint(values)).max(initial=0))) > ROUNDED:
                raise ValueError("values that are not integers")
            self.rounded, values = max(self.rounded, apart), np.rint(values)
        if values.size and (values.min() < 0 or values.max() >= NUMBERS):
            raise ValueError(f"values from {values.min():g} to {values.max():g}")
        return np.asarray(values, dtype=np.int32)

    def save_like(self, values: np.ndarray, path: Path) -> None:
        """Write `values` (D, H, W), such as a prediction, as NIfTI at this volume's place, in its order of axes.

        Both transforms of the file (qform and sform), their codes and the units stay as they are, so that every program shows
        the result where it shows the volume.
        """
        nibabel = library()
        assert values.shape == self.shape[:3], (values.shape, self.shape)
        turn_back = nibabel.orientations.ornt_transform(np.array([[0, 1], [1, 1], [2, 1]]), self._turn)
        stored = np.ascontiguousarray(nibabel.orientations.apply_orientation(values.transpose(2, 1, 0), turn_back))
        header = self._image.header.copy()
        header.extensions.clear()
        header.set_data_dtype(stored.dtype)
        header.set_data_shape(stored.shape)
        header.set_slope_inter(1, 0)
        header["cal_min"] = header["cal_max"] = 0  # how the volume's grey values were shown
        header.set_intent("none")
        content = type(self._image)(stored, self._image.affine, header).to_bytes()
        with replacing(path) as temporary:
            temporary.write_bytes(gzip.compress(content, mtime=0) if path.suffix.lower() == ".gz" else content)

    def drawn(self, row: int) -> np.ndarray:
        """The slice `row` along D as an image: uint8 (H, W, 1), front at the top, the middle 99 % of the values scaled."""
        values = self[row : row + 1].reshape(*self.shape[1:3], -1)[::-1, :, :1]
        known = values[np.isfinite(values)]
        low, high = np.percentile(known, (0.5, 99.5)) if known.size else (0, 1)
        shares = np.nan_to_num((values - low) / max(high - low, 1e-12))
        return (shares.clip(0, 1) * 255).round().astype(np.uint8)


@dataclass(frozen=True)
class Volumes:
    """Volumes with `in_chans` channels. `volumes[i]` opens one, reading its header only; it raises `BadPicture`."""

    files: FileImages
    in_chans: int

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int, /) -> Volume:
        volume = Volume(self.files.path(index))
        if volume.channels != self.in_chans:
            raise BadPicture(volume.path, f"it has {volume.channels} channels, where {self.in_chans} are expected")
        return volume

    def name(self, index: int, /) -> str:
        return self.files.name(index)

    def relative(self, index: int, /) -> str:
        return self.files.relative(index)

    def subset(self, indices: Any) -> Volumes:
        return Volumes(self.files.subset(indices), self.in_chans)

    def digest(self) -> bytes:
        return self.files.digest()
