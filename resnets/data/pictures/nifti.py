"""Reading NIfTI volumes (.nii, .nii.gz), whole or in parts. No torch.

Uncompressed files are memory-mapped, so that reading a patch reads only its part of the file.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Sequence
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path

import numpy as np

from resnets.data.pictures.images import BadPicture
from resnets.data.pictures.volume import MAX_CHANNELS, MAX_VOXELS, Volume, library, write_nifti
from resnets.files import open_regular, short

SUFFIXES = (".nii.gz", ".nii")
MAX_UNPACKED = 2**32  # bytes of a compressed volume, which is read whole
MAX_OFFSET = 2**24  # bytes before the voxels
# Of NIfTI-1 and NIfTI-2, by the size of the header: where it says at which byte the voxels begin (vox_offset), and its type.
OFFSETS = {348: (108, "f4"), 540: (168, "i8")}
MM = {"meter": 1e3, "mm": 1.0, "micron": 1e-3}  # by NIfTI's units of space; unknown ones are taken as mm


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


class Nifti(Volume):
    """A volume in a NIfTI file.

    Raises:
        BadPicture: if the file is not NIfTI, is truncated or too large, or has neither 3 axes nor 4 with channels last.
    """

    def __init__(self, path: Path, window: tuple[float, float] | None = None) -> None:
        nibabel = library()
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
            if len(shape) == 4 and shape[3] > MAX_CHANNELS:
                raise ValueError(
                    f"it has {shape[3]:,} values for each voxel, as a series in time has, and up to {MAX_CHANNELS} are read as "
                    "channels; save one frame, or their mean"
                )
            super().__init__(path, shape, affine, window)
            if path.suffix.lower() == ".gz" and math.prod(shape) * image.get_data_dtype().itemsize > MAX_UNPACKED:
                raise ValueError(f"it unpacks to more than {MAX_UNPACKED:,} bytes; save it as .nii, which is read in parts")
        except (BadPicture, MemoryError, KeyboardInterrupt):
            raise
        except Exception as error:  # a malformed header can raise nearly any exception
            raise BadPicture(path, f"cannot be read as NIfTI ({short(error)})") from error
        self._image = image
        self.scale = float(image.dataobj.slope), float(image.dataobj.inter)

    @cached_property
    def _stored(self) -> np.ndarray:
        """See `Volume`; a view of the memory map if it is not compressed."""
        try:
            values = self._image.dataobj.get_unscaled()
        except (MemoryError, KeyboardInterrupt):
            raise
        except Exception as error:
            raise BadPicture(self.path, f"truncated, or cannot be decoded ({short(error)})") from error
        if values.dtype.kind not in "iuf":
            raise BadPicture(self.path, f"its values are {values.dtype}; only numbers can be read")
        return self.turned(values)

    @property
    def num_bytes(self) -> int:
        packed = self.path.suffix.lower() == ".gz"
        return math.prod(self.shape) * self._image.get_data_dtype().itemsize if packed else 0

    def save_like(self, values: np.ndarray, path: Path) -> None:
        """See `Volume`. Both transforms of the file (qform and sform), their codes and the units stay as they are, so that
        every program shows the result where it shows the volume."""
        stored = self.turned_back(values)
        header = self._image.header.copy()
        header.extensions.clear()
        header.set_data_dtype(stored.dtype)
        header.set_data_shape(stored.shape)
        header.set_slope_inter(1, 0)
        header["cal_min"] = header["cal_max"] = 0  # how the volume's grey values were shown
        header.set_intent("none")
        write_nifti(type(self._image)(stored, self._image.affine, header), path)

    def save_mask(self, values: np.ndarray, labels: Sequence[str], path: Path) -> None:
        self.save_like(values, path)
