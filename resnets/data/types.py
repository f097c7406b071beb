"""What readers, loaders and tasks hand to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


class Batch(NamedTuple):
    """What a loader hands to a task.

    `images` (N, C, H, W) float32, normalised, or uint8 from a raw loader; `targets`, of labels (N,) int64, or (N, num_classes)
    float32 after mixing, and of dense tasks what `resnets.data.dense_loader` says; `indices` (N,) int64, the positions in the
    split.
    """

    images: Tensor
    targets: Any
    indices: Tensor


class Images(Protocol):
    """Pictures that can be had one by one, each as uint8 (H, W, C) with the channels asked for when the source was opened."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> np.ndarray: ...

    def name(self, index: int, /) -> str:
        """What to call the picture in messages: its path, or "train[17]"."""
        ...


class Split(NamedTuple):
    """One split of a source: its pictures and, for each, the position of its class in `Source.labels`."""

    images: Images
    targets: np.ndarray  # (N,) int64
