"""A volume: a grid of values in space, in one orientation whatever its file's, and what is computed of it. No torch.

Arrays are (D, H, W) or (D, H, W, C). D runs from feet to head, H from back to front, W from left to right: NIfTI's canonical
axes (RAS+) in reverse order.
"""

from __future__ import annotations

import gzip
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from resnets.data.pictures.windowed import automatic, shares
from resnets.data.planes import VIEWS
from resnets.data.preprocess import Range
from resnets.data.targets import NUMBERS
from resnets.data.window_levels import limits
from resnets.errors import InputError
from resnets.files import replacing

MAX_VOXELS = 2**31
MAX_CHANNELS = 32
SLAB = 2**22  # voxels that are summed at a time
ROUNDED = 1e-3  # largest distance of a label from an integer; a scaled file of integers 0 and 3 may hold 2.9999999993
ALIGNED = 1e-2  # mm that corners of volumes in one place may lie apart
FLAT = 1e-6  # a channel whose standard deviation is at most this fraction of its mean has no contrast


def library() -> ModuleType:
    """nibabel. Raises `InputError` if it is not installed."""
    try:
        import nibabel
    except ImportError as error:
        raise InputError("volumes in NIfTI files need a library: pip install 'resnets[volumes]'") from error
    return nibabel


class Volume(ABC):
    """One volume (abstract). `volume[2:6, :, 8:40]` reads that part as float32, with the file's scale applied.

    Args:
        path: of its file, or what it is called.
        shape: (columns, rows, slices[, channels]) as the file has them.
        affine: (4, 4), from these indices to mm in RAS+.
        window: (level, width) that values are clipped to as inputs of a network; None: all of them.

    Raises:
        ValueError: where no orientation follows from the affine matrix.
    """

    #: slope and offset that stored values are scaled by
    scale: tuple[float, float] = (1.0, 0.0)
    #: for each channel how its values are clipped and normalised, as of `Preprocess`; None: by `statistics` of its own
    ranges: tuple[Range | None, ...] | None = None

    def __init__(self, path: Path, shape: Sequence[int], affine: np.ndarray, window: tuple[float, float] | None = None) -> None:
        nibabel = library()
        if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
            raise ValueError("its affine matrix is singular or not finite")
        turn = nibabel.orientations.io_orientation(affine)
        if not np.isfinite(turn).all():
            raise ValueError("its affine matrix is nearly singular")
        self.path, self.window = path, window
        self.rounded = 0.0  # most that `indices` has rounded a value
        self._turn = turn  # (3, 2): for each axis of the file, its canonical axis and its direction (1 or -1)
        upright = tuple(shape[int(axis)] for axis in np.argsort(self._turn[:, 0]))
        self.shape: tuple[int, ...] = (*upright[::-1], *shape[3:])
        #: (4, 4), from array indices (x, y, z), that is (W, H, D), to mm, whatever the file's order of axes
        self.affine = affine @ nibabel.orientations.inv_ornt_aff(self._turn, shape[:3])
        #: distance between neighbouring voxels along D, H and W in mm
        self.spacing = tuple(float(length) for length in np.linalg.norm(self.affine[:3, :3], axis=0)[::-1])

    @property
    @abstractmethod
    def _stored(self) -> np.ndarray:
        """The stored values (D, H, W[, C]) without the file's scale. Raises `BadPicture`."""

    @property
    @abstractmethod
    def num_bytes(self) -> int:
        """Memory for the decoded values in bytes; 0 if the file is memory-mapped."""

    @abstractmethod
    def save_like(self, values: np.ndarray, path: Path) -> None:
        """Write `values` (D, H, W), such as a prediction, as NIfTI at this volume's place, in its order of axes."""

    @abstractmethod
    def save_mask(self, values: np.ndarray, labels: Sequence[str], path: Path) -> None:
        """Write class indices (D, H, W) in the way of this volume's file; `labels` are the names of the classes."""

    def turned(self, values: np.ndarray) -> np.ndarray:
        """Values in the file's order of axes (columns, rows, slices[, C]) as (D, H, W[, C])."""
        turned = library().orientations.apply_orientation(values, self._turn)
        return turned.transpose(2, 1, 0, *range(3, turned.ndim))

    def turned_back(self, values: np.ndarray) -> np.ndarray:
        """(D, H, W) in the file's order of axes (columns, rows, slices)."""
        nibabel = library()
        assert values.shape == self.shape[:3], (values.shape, self.shape)
        turn_back = nibabel.orientations.ornt_transform(np.array([[0, 1], [1, 1], [2, 1]]), self._turn)
        return np.ascontiguousarray(nibabel.orientations.apply_orientation(values.transpose(2, 1, 0), turn_back))

    def apart(self, other: Volume) -> float:
        """The largest distance in mm between corresponding corners of this volume and another one of as many voxels."""
        last = np.array([length - 1 for length in self.shape[2::-1]])
        corners = np.array(np.meshgrid(*[(0, length) for length in last], [1])).reshape(4, -1)
        return float(np.linalg.norm(((self.affine - other.affine) @ corners)[:3], axis=0).max())

    @property
    def original(self) -> Volume:
        """The volume on the grid of its file."""
        return self

    @property
    def channels(self) -> int:
        return self.shape[3] if len(self.shape) == 4 else 1

    def __getitem__(self, part: Any) -> np.ndarray:
        slope, offset = self.scale
        values = np.asarray(self._stored[part], dtype=np.float32)
        return values if (slope, offset) == (1, 0) else values * np.float32(slope) + np.float32(offset)

    def forget(self) -> None:
        """Free the decoded values or the memory map; they are read again on the next access."""
        self.__dict__.pop("_stored", None)

    def _clipped(self, part: Any) -> np.ndarray:
        values = self[part]
        if self.ranges is not None:
            ends = np.array([(-np.inf, np.inf) if known is None else known[:2] for known in self.ranges], np.float32).T
            values = np.clip(values, *(ends if len(self.shape) == 4 else ends[:, 0]))
        return values if self.window is None else np.clip(values, *limits(self.window))

    @cached_property
    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation (C,) float32 over all finite values, clipped to the window; 1 as standard deviation
        without contrast. Those of `ranges` where these are known."""
        if self.ranges is None or None in self.ranges:
            mean, std = self._own_statistics()
        else:
            mean, std = np.zeros((2, self.channels), np.float32)
        for channel, known in enumerate(self.ranges or ()):
            if known is not None:
                mean[channel], std[channel] = known[2:]
        return mean, std

    def _own_statistics(self) -> tuple[np.ndarray, np.ndarray]:
        count, total, squares = np.zeros((3, self.channels))
        rows = max(1, SLAB // math.prod(self.shape[1:]))
        for start in range(0, self.shape[0], rows):
            values = self._clipped(slice(start, start + rows)).reshape(-1, self.channels).astype(np.float64)
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
        values = self._clipped(part)
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
        slope, offset = self.scale
        values = self._stored[part]
        if (slope, offset) != (1, 0) or values.dtype.kind == "f":
            values = np.asarray(values, dtype=np.float64) * slope + offset
            if not np.isfinite(values).all() or (apart := float(np.abs(values - np.rint(values)).max(initial=0))) > ROUNDED:
                raise ValueError("values that are not integers")
            self.rounded, values = max(self.rounded, apart), np.rint(values)
        if values.size and (values.min() < 0 or values.max() >= NUMBERS):
            raise ValueError(f"values from {values.min():g} to {values.max():g}")
        return np.asarray(values, dtype=np.int32)

    def drawn(self, row: int) -> np.ndarray:
        """The slice `row` along D as an image: uint8 (H, W, 1), front at the top; values in the window, or the middle 99 %."""
        values = self[row : row + 1].reshape(*self.shape[1:3], -1)[::-1, :, :1]
        return (shares(values, self.window or automatic(values)) * 255).round().astype(np.uint8)

    def planes(self, at: Sequence[int]) -> list[np.ndarray]:
        """The planes of `data.planes.VIEWS`, at an index along each axis, as images: uint8 (rows, columns, 1), of the first
        channel; all in one window, that of the volume or the middle 99 % of what they show."""
        found = []
        for view in VIEWS:
            part = tuple(slice(at[axis], at[axis] + 1) if axis == view.axis else slice(None) for axis in range(3))
            values = self[part].reshape(*(self.shape[axis] for axis in (view.rows, view.columns)), -1)
            found.append(values[::-1, :, :1])
        window = self.window or automatic(np.concatenate([values.ravel() for values in found]))
        return [(shares(values, window) * 255).round().astype(np.uint8) for values in found]


def nifti_of(values: np.ndarray) -> Any:
    """nibabel's image of values (C, D, H, W), with voxels of 1 mm."""
    own = values.transpose(3, 2, 1, 0)
    return library().Nifti1Image(own[..., 0] if len(values) == 1 else own, np.eye(4))


def write_nifti(image: Any, path: Path) -> None:
    """Write nibabel's image, whole or not at all; compressed where the path ends in .gz."""
    content = image.to_bytes()
    with replacing(path) as temporary:
        temporary.write_bytes(gzip.compress(content, mtime=0) if path.suffix.lower() == ".gz" else content)
