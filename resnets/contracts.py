"""The types that rooms hand to each other, and the `Task` protocol. Types only; nothing here imports torch when it runs."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from resnets.engine.recipe import Recipe
    from resnets.spec import ResNetSpec

Features: TypeAlias = "dict[str, Tensor]"  # "c1" ... "c5": (N, C, *spatial), as `ResNetSpec.levels` states
Losses: TypeAlias = "dict[str, Tensor]"  # scalars; "loss" is the one that is minimised
Criterion: TypeAlias = "Callable[[Any, Tensor], Losses]"  # (outputs, targets) -> losses


class Interrupted(Exception):
    """A run was asked to stop by `signal`, and its state is saved in `folder`; `text` says how to go on."""

    def __init__(self, signal: int, folder: Path, text: str | None = None) -> None:
        super().__init__(text or f"stopped, and saved; to go on: resnets train --resume --out {shlex.quote(str(folder))}")
        self.signal, self.folder = signal, folder


class ProcessEnded(Exception):
    """This process ends because another one did; the text says so, or nothing where the first process speaks for all."""


class Batch(NamedTuple):
    """What a loader hands to a task.

    `images` (N, C, H, W) float32, normalised, or uint8 from a raw loader; `targets` (N,) int64, or (N, num_classes) float32
    after mixing; `indices` (N,) int64, the positions in the split.
    """

    images: Tensor
    targets: Tensor
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


@runtime_checkable
class Task(Protocol):
    """What a network is for. One object a task, without state; `resnets.tasks.TASKS` is the table."""

    name: str
    metrics: tuple[str, ...]  # the columns of metrics.csv beside the loss; the first, greater is better, decides "best"

    def head(self, spec: ResNetSpec) -> dict[str, nn.Module]:
        """The modules that read the trunk's features, by their names in the state dict, applied in order."""
        ...

    def criterion(self, recipe: Recipe, class_counts: np.ndarray) -> Criterion:
        """The losses of a batch, given the settings of the run and the pictures of each class in the training split."""
        ...

    def count(self, outputs: Any, targets: Tensor) -> dict[str, Tensor]:
        """Sums over the pictures of a batch, of any shape; batches add up."""
        ...

    def summarise(self, sums: Mapping[str, Tensor], num_images: int) -> dict[str, float]:
        """The `metrics`, from the sums over a split."""
        ...

    def evaluate(self, outputs: Any, targets: Tensor, labels: Sequence[str]) -> dict[str, Any]:
        """Everything that `resnets eval` reports, from the outputs of a whole split; what JSON can hold."""
        ...

    def draw(self, outputs: Any, targets: Tensor, labels: Sequence[str], images: Images, folder: Path) -> list[Path]:
        """Draw how a whole split came out, `images` its pictures; the drawings' paths."""
        ...
