"""A look at a dataset before training: what spoils it, named with the remedy."""

from __future__ import annotations

from collections.abc import Callable

from resnets.data.check.findings import Findings
from resnets.data.check.labels import check_labels
from resnets.data.check.pictures import check_pictures
from resnets.data.check.tags import check_tags
from resnets.data.types import Source

CHECKS: dict[str, Callable[..., Findings]] = {
    "classes": check_pictures,
    "boxes": check_labels,
    "masks": check_labels,
    "volumes": check_labels,
    "tags": check_tags,
}


def check(source: Source, *, progress: Callable[[int, int], None] | None = None, workers: int | None = None) -> Findings:
    """Look at every image of `source` and its labels; see `check_pictures` and `check_labels`."""
    return CHECKS[source.kind](source, progress=progress, workers=workers)
