"""A volume whose channels lie in files of their own, as nnU-Net names them: case_0000.nii.gz, case_0001.nii.gz. No torch."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from resnets.data.pictures.images import BadPicture
from resnets.data.pictures.nifti import SUFFIXES
from resnets.data.pictures.volume import ALIGNED, MAX_CHANNELS, Volume

NUMBERED = re.compile(r"(?P<case>.+)_(?P<number>\d{4})", re.DOTALL)


def numbered(path: Path) -> tuple[str, int, str]:
    """The case, the number of its channel and the suffix in a path's name; -1 as a number where it has none."""
    suffix = next((path.name[-len(end) :] for end in SUFFIXES if path.name.lower().endswith(end)), "")
    stem = path.name.removesuffix(suffix)
    found = NUMBERED.fullmatch(stem)
    return (found["case"], int(found["number"]), suffix) if found else (stem, -1, suffix)


def further(path: Path) -> list[Path]:
    """The files of the further channels of the case whose first one is at `path`."""
    case, number, suffix = numbered(path)
    names = (f"{case}_{other:04}{suffix}" for other in range(1, MAX_CHANNELS) if number == 0)
    return list(takewhile(Path.is_file, map(path.with_name, names)))


def firsts(paths: Collection[Path]) -> list[Path]:
    """Paths without those of further channels of cases whose first one is among them."""
    there = set(paths)

    def is_further(path: Path) -> bool:
        case, number, suffix = numbered(path)
        return number > 0 and path.with_name(f"{case}_0000{suffix}") in there

    return [path for path in paths if not is_further(path)]


class Modalities(Volume):
    """Volumes of one grid, whose channels it has one after the other; it is called, and written, as the first one.

    Raises:
        BadPicture: where they lie on different grids.
    """

    def __init__(self, parts: Sequence[Volume]) -> None:
        self.parts, first = parts, parts[0]
        for part in parts[1:]:
            if part.shape[:3] != first.shape[:3]:
                raise BadPicture(part.path, f"it has the shape {part.shape[:3]}, and {first.path.name} has {first.shape[:3]}")
            if (apart := first.apart(part)) > ALIGNED:
                raise BadPicture(part.path, f"it lies up to {apart:.3g} mm from {first.path.name}; resample it to that")
        self.path, self.window, self.rounded = first.path, first.window, 0.0
        self.affine, self.spacing, self._turn = first.affine, first.spacing, first._turn
        self.shape = (*first.shape[:3], sum(part.channels for part in parts))

    def __getitem__(self, part: Any) -> np.ndarray:
        values = (volume[part] if len(volume.shape) == 4 else volume[part][..., None] for volume in self.parts)
        return np.concatenate(list(values), -1)

    @property
    def _stored(self) -> np.ndarray:
        raise AssertionError("of channels that are stored in different ways only values are asked for")

    @property
    def num_bytes(self) -> int:
        return sum(part.num_bytes for part in self.parts)

    def forget(self) -> None:
        for part in self.parts:
            part.forget()

    def save_like(self, values: np.ndarray, path: Path) -> None:
        self.parts[0].save_like(values, path)

    def save_mask(self, values: np.ndarray, labels: Sequence[str], path: Path) -> None:
        self.parts[0].save_mask(values, labels, path)
