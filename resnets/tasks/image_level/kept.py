"""What meters keep of each picture, where their figures need all pictures together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Kept:
    """Answers (N, ...) and targets (N, ...) of pictures, as the task has them, and their positions in the split (N,)."""

    answers: np.ndarray
    targets: np.ndarray
    positions: np.ndarray

    def __add__(self, other: Kept) -> Kept:
        pairs = ((getattr(self, name), getattr(other, name)) for name in ("answers", "targets", "positions"))
        return Kept(*(np.concatenate(pair) for pair in pairs))

    def sorted(self) -> Kept:
        """In the order of the split, each picture once: results do not depend on the order, or on the number of processes."""
        _, first = np.unique(self.positions, return_index=True)
        return Kept(self.answers[first], self.targets[first], self.positions[first])
