"""The types that rooms hand to each other, and the `Task` protocol. Types only; nothing here imports torch when it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from resnets.data.targets import Truth
    from resnets.data.types import Images
    from resnets.engine.recipe import Recipe
    from resnets.models.nn.trunk import Trunk
    from resnets.models.spec import ResNetSpec

Losses: TypeAlias = "dict[str, Tensor]"  # scalars; "loss" is the one that is minimised
Criterion: TypeAlias = "Callable[[Any, Tensor], Losses]"  # (outputs, targets) -> losses


@runtime_checkable
class Task(Protocol):
    """What a network is for. One object a task, without state; `resnets.tasks.TASKS` is the table."""

    name: str
    metrics: tuple[str, ...]  # the columns of metrics.csv beside the loss; the first, greater is better, decides "best"
    dense: bool  # whether it says where things are: a `DenseTask`, else a `PictureTask`
    losses: tuple[str, ...]  # what the setting `loss` may be
    heads: tuple[str, ...]  # what the setting `head` may be, the default first
    of_classes: tuple[str, ...]  # how the names of the head's tensors begin that are made anew for other classes
    sees_targets: bool  # in training the network reads the targets and puts out losses

    def form(self, spec: ResNetSpec, recipe: Recipe, before: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of the head, which a saved file keeps; what JSON can hold.

        `before` are those of the weights to start from, if they are for the same task, and count where the recipe is silent.
        """
        ...

    def head(self, model: Trunk, form: Mapping[str, Any]) -> dict[str, nn.Module]:
        """The modules that read the trunk's features, by their names in the state dict."""
        ...

    def forward(self, model: Any, x: Tensor, targets: Any = None) -> Any:
        """Trunk and head: x (N, in_chans, *spatial), normalised -> outputs."""
        ...

    def criterion(self, recipe: Recipe, class_counts: np.ndarray) -> Criterion:
        """The losses of a batch, given the settings of the run and how often each class is there in the training split."""
        ...

    def count(self, outputs: Any, targets: Any) -> dict[str, Tensor]:
        """Of a batch of training: sums over its pictures, of any shape; batches add up."""
        ...

    def measure(self, model: Any, images: Tensor, targets: Any, criterion: Criterion) -> dict[str, Any]:
        """Of a batch of validation: what adds up over batches and processes, "loss" too where there is one."""
        ...

    def summarise(self, sums: Mapping[str, Any], num_images: int, labels: Sequence[str]) -> dict[str, float]:
        """The `metrics`, from the sums over a split, as far as these say them."""
        ...


class PictureTask(Task, Protocol):
    """A task with one answer for a picture, of which a whole split's fit into memory."""

    def evaluate(self, outputs: Any, targets: Tensor, labels: Sequence[str]) -> dict[str, Any]:
        """Everything that `resnets eval` reports, from the outputs of a whole split; what JSON can hold."""
        ...

    def draw(self, outputs: Any, targets: Tensor, labels: Sequence[str], images: Images, folder: Path) -> list[Path]:
        """Draw how a whole split came out, `images` its pictures; the drawings' paths."""
        ...


class DenseTask(Task, Protocol):
    """A task with an answer for places in a picture; pictures come one by one, at the size that `Preprocess` says."""

    def infer(self, model: Any, x: Tensor, whole: tuple[int, ...]) -> Any:
        """What is in the picture x (1, C, *spatial), normalised, as `data.targets` has it, at its own size `whole`."""
        ...

    def meter(self, labels: Sequence[str], form: Mapping[str, Any]) -> Any:
        """What adds up the pictures of a split; its `result()` is everything that `resnets eval` reports."""
        ...

    def judge(self, meter: Any, truth: Truth, found: Any) -> float:
        """Add a picture to `meter`; how well it came out by itself, from 0 to 1."""
        ...

    def draw(self, meter: Any, worst: Sequence[Shown], labels: Sequence[str], folder: Path) -> list[Path]:
        """Draw how a split came out; `worst` is what came out worst, the worst first."""
        ...


class Shown(NamedTuple):
    """A picture, uint8 (H, W, C), beside what is there and what was found there, in the terms of `resnets.data.targets`."""

    score: float
    name: str
    picture: Any
    truth: Any
    found: Any
