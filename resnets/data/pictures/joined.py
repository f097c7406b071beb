"""Images of several splits as one sequence, for cross-validation."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

from resnets.data.pictures.stored import StoredImages


class JoinedImages(StoredImages):
    """Encoded images of several sources as one sequence.

    Args:
        parts: the sources.
        positions: (N, 2) int64, for each image the index of its part and its index there; default (None): all, in order.
    """

    def __init__(self, parts: Sequence[StoredImages], positions: np.ndarray | None = None) -> None:
        rows = [np.stack([np.full(len(part), number), np.arange(len(part))], 1) for number, part in enumerate(parts)]
        self.parts, self.in_chans = tuple(parts), parts[0].in_chans
        self.root = getattr(parts[0], "root", "")
        self.positions = np.concatenate(rows) if positions is None else positions
        if all(part.groups is not None for part in parts):
            ends = np.cumsum([0] + [int(part.groups.max()) + 1 for part in parts if part.groups is not None])
            groups = [ends[number] + part.groups for number, part in enumerate(parts)]
            self.groups = np.array([groups[number][index] for number, index in self.positions.tolist()])

    def __len__(self) -> int:
        return len(self.positions)

    def _find(self, index: int) -> tuple[StoredImages, int]:
        number, position = self.positions[index].tolist()
        return self.parts[number], position

    def name(self, index: int, /) -> str:
        part, position = self._find(index)
        return part.name(position)

    def relative(self, index: int, /) -> str:
        part, position = self._find(index)
        return part.relative(position)

    def open(self, index: int, /) -> BinaryIO:
        part, position = self._find(index)
        return part.open(position)

    def subset(self, indices: Sequence[int] | np.ndarray) -> JoinedImages:
        images = JoinedImages(self.parts, self.positions[np.asarray(indices, dtype=np.int64)])
        return images.at_depth(self.bit_depth).windowed(self.window)

    def digest(self) -> bytes:
        return self._hash([part.digest() for part in self.parts])

    def state(self) -> bytes:
        return self._hash([part.state() for part in self.parts])

    def _hash(self, parts: Sequence[bytes]) -> bytes:
        return hashlib.sha256(b"".join(parts) + self.positions.astype("<i8").tobytes()).digest()
