"""What an item is computed from. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from resnets.paper.scales import Scale
from resnets.paper.trainings import Training


@dataclass(frozen=True, kw_only=True)
class Context:
    """All that `Item.measure` may read, and where it may write.

    Args:
        out: the folder of all runs and items.
        folder: the item's folder, for its drawings.
        scale: how much of the paper's protocol was run.
        runs: the finished run directory of each training that the item needs.
        data, data_dir, device: as `resnets.train` takes them.
        say: called with a line of progress.
        models: models that the user named, instead of or beside the item's own runs.
    """

    out: Path
    folder: Path
    scale: Scale
    runs: Mapping[Training, Path]
    data: str
    data_dir: str | None
    device: str
    say: Callable[[str], None]
    models: tuple[str, ...] = ()

    @property
    def by_seed(self) -> dict[tuple[str, int], Path]:
        """The run directories by (label of the network, seed)."""
        return {(training.label, training.seed): folder for training, folder in self.runs.items()}
