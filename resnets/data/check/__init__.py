"""A look at a dataset before training: what spoils it, named with the remedy."""

from __future__ import annotations

from collections.abc import Callable

from resnets.data.check.findings import LEVELS, Finding, Findings
from resnets.data.check.labels import check_labels
from resnets.data.check.pictures import check_pictures
from resnets.data.types import Source

CHECKS: dict[str, Callable[..., Findings]] = {
    "classes": check_pictures,
    "boxes": check_labels,
    "masks": check_labels,
    "volumes": check_labels,
}


def check(source: Source, *, progress: Callable[[int, int], None] | None = None, workers: int | None = None) -> Findings:
    """Look at every image of `source` and its labels (see `check_pictures` and `check_labels`), and tell the reader's notes."""
    found = CHECKS[source.kind](source, progress=progress, workers=workers)
    notes = [Finding(note.level, note.kind, note.text, [{"label": item} for item in note.items]) for note in source.told]
    every = sorted([*found.findings, *notes], key=lambda finding: LEVELS.index(finding.level))
    return Findings(found.name, found.num_images, tuple(every))
