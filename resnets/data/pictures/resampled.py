"""A volume on another grid: the same place in space, other distances of voxels; read in parts, as any volume. No torch.

The grid covers what the volume covers: the middle of voxel i along an axis lies at (i + 1/2) before / after - 1/2 of the
volume's own, where `before` and `after` are the numbers of voxels; so the spacing that is asked for is met up to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from resnets.data.pictures.images import BadPicture
from resnets.data.pictures.volume import Volume

SLAB = 2**22  # voxels that are made at a time
MOST = 2**28  # values of a volume on its grid, beyond which it may have twice as many as its file: anyone's file may say any mm
LINEAR, NEAREST = 1, 0  # orders of interpolation


def on_grid(volume: Volume, spacing: Sequence[float] | None) -> Volume:
    """The volume with about this spacing (D, H, W) in mm; itself where it has that, or none is asked for. Raises
    `BadPicture`."""
    if spacing is None:
        return volume
    lengths = zip(volume.shape[:3], volume.spacing, spacing, strict=True)
    shape = tuple(max(1, round(length * own / wanted)) for length, own, wanted in lengths)
    return volume if shape == volume.shape[:3] else Resampled(volume, shape)


class Resampled(Volume):
    """A volume on a grid of `shape` (D, H, W), by linear interpolation. Its statistics are those of the original.

    Raises:
        BadPicture: where it would have too many voxels.
    """

    def __init__(self, volume: Volume, shape: tuple[int, ...]) -> None:
        if math.prod(shape) * volume.channels > max(MOST, 2 * math.prod(volume.shape)):
            raise BadPicture(volume.path, f"at this spacing it has {' x '.join(map(str, shape))} voxels; give a larger spacing")
        self._original, self.path, self.rounded = volume, volume.path, 0.0
        self.shape = (*shape, *volume.shape[3:])
        self.factors = tuple(before / after for before, after in zip(volume.shape[:3], shape, strict=True))
        self.spacing = tuple(own * factor for own, factor in zip(volume.spacing, self.factors, strict=True))
        scale = np.diag([*self.factors[::-1], 1.0])
        scale[:3, 3] = (np.array(self.factors[::-1]) - 1) / 2
        self.affine = volume.affine @ scale

    @property
    def original(self) -> Volume:
        return self._original

    @property
    def window(self) -> tuple[float, float] | None:  # type: ignore[override]
        return self._original.window

    @property
    def ranges(self) -> Any:  # type: ignore[override]
        return self._original.ranges

    @property
    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        return self._original.statistics

    @property
    def num_bytes(self) -> int:
        return self._original.num_bytes

    @property
    def _stored(self) -> np.ndarray:
        raise AssertionError("nothing is stored on this grid")

    def __getitem__(self, part: Any) -> np.ndarray:
        parts = self.parts(part)
        found = np.empty((*(each.stop - each.start for each in parts), self.channels), np.float32)
        for inside, box, offset in self.boxes(parts):
            values = self._original[box].reshape(*(each.stop - each.start for each in box), self.channels)
            for channel in range(self.channels):
                found[inside][..., channel] = interpolated(values[..., channel], self, offset, found[inside].shape[:3], LINEAR)
        return found if len(self.shape) == 4 else found[..., 0]

    def parts(self, part: Any) -> tuple[slice, ...]:
        """A part of the volume (slices, or `...`) as a slice for each axis, with both ends."""
        given = part if isinstance(part, tuple) else () if part is Ellipsis else (part,)
        every = [*given, *[slice(None)] * (3 - len(given))]
        return tuple(slice(*each.indices(length)[:2]) for each, length in zip(every, self.shape[:3], strict=True))

    def boxes(self, parts: tuple[slice, ...]) -> Iterator[tuple[slice, tuple[slice, ...], list[float]]]:
        """What is read for a part, some slices at a time: which slices of the part these are, the box of the original that they
        lie in, and where in it the first voxel lies."""
        high = max(1, SLAB // max(1, math.prod(each.stop - each.start for each in parts[1:])))
        for start in range(parts[0].start, parts[0].stop, high):
            stop = min(start + high, parts[0].stop)
            box, offset = [], []
            for each, factor, length in zip(
                (slice(start, stop), *parts[1:]), self.factors, self._original.shape[:3], strict=True
            ):
                first, last = ((at + 0.5) * factor - 0.5 for at in (each.start, each.stop - 1))
                low = min(max(0, math.floor(first)), length - 1)
                box.append(slice(low, max(low + 1, min(length, math.ceil(last) + 1))))
                offset.append(first - low)
            yield slice(start - parts[0].start, stop - parts[0].start), tuple(box), offset

    def forget(self) -> None:
        self._original.forget()

    def save_like(self, values: np.ndarray, path: Any) -> None:
        """Values on this grid, such as a map, as a file of the original's grid."""
        from scipy.ndimage import affine_transform

        factors = [1 / factor for factor in self.factors]
        offset = [(factor - 1) / 2 for factor in factors]
        shape = self._original.shape[:3]
        self._original.save_like(affine_transform(values, factors, offset, shape, order=LINEAR, mode="nearest"), path)

    def save_mask(self, values: np.ndarray, labels: Sequence[str], path: Any) -> None:
        raise AssertionError("masks lie on the grid of the original")


def interpolated(values: np.ndarray, grid: Resampled, offset: Sequence[float], shape: Sequence[int], order: int) -> np.ndarray:
    """Values of a box of the original at so many voxels of the grid, the first of which lies at `offset`."""
    from scipy.ndimage import affine_transform

    kind = np.float32 if order == LINEAR else values.dtype
    return affine_transform(values, grid.factors, offset, tuple(shape), output=kind, order=order, mode="nearest")
