"""Pictures of two splits in one row, for cross-validation."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

from resnets.data.pictures.images import StoredImages


class JoinedImages(StoredImages):
    """Encoded pictures of several kinds or places, in one row.

    Args:
        parts: where they lie.
        places: (N, 2) for each picture the number of its part, and its position there.
    """

    def __init__(self, parts: Sequence[StoredImages], places: np.ndarray | None = None) -> None:
        rows = [np.stack([np.full(len(part), number), np.arange(len(part))], 1) for number, part in enumerate(parts)]
        self.parts, self.in_chans = tuple(parts), parts[0].in_chans
        self.places = np.concatenate(rows) if places is None else places
        if all(part.groups is not None for part in parts):
            ends = np.cumsum([0] + [int(part.groups.max()) + 1 for part in parts if part.groups is not None])
            groups = [ends[number] + part.groups for number, part in enumerate(parts)]
            self.groups = np.array([groups[number][index] for number, index in self.places.tolist()])

    def __len__(self) -> int:
        return len(self.places)

    def _find(self, index: int) -> tuple[StoredImages, int]:
        number, place = self.places[index].tolist()
        return self.parts[number], place

    def name(self, index: int, /) -> str:
        part, place = self._find(index)
        return part.name(place)

    def open(self, index: int, /) -> BinaryIO:
        part, place = self._find(index)
        return part.open(place)

    def subset(self, indices: Sequence[int] | np.ndarray) -> JoinedImages:
        return JoinedImages(self.parts, self.places[np.asarray(indices, dtype=np.int64)])

    def digest(self) -> bytes:
        return self._hash([part.digest() for part in self.parts])

    def state(self) -> bytes:
        return self._hash([part.state() for part in self.parts])

    def _hash(self, parts: Sequence[bytes]) -> bytes:
        return hashlib.sha256(b"".join(parts) + self.places.astype("<i8").tobytes()).digest()
