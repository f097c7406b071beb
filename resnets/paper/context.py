"""What an item is measured from. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from resnets.paper.scales import Scale
from resnets.paper.trainings import Training


@dataclass(frozen=True, kw_only=True)
class Context:
    """Everything that `Item.measure` may read, and where it may write.

    Args:
        out: the folder of all runs and items.
        folder: the item's own, for its drawings.
        runs: the finished run directory of each training that the item named.
        data, data_dir: as `resnets.train` takes them.
        say: is told of progress, a line at a time.
        models: that were asked for by name, in place of or beside the item's own runs.
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
        """Run directories by (label of the network, seed)."""
        return {(training.label, training.seed): folder for training, folder in self.runs.items()}
