"""A look at a dataset before training: what spoils it, named with the remedy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from resnets.data import depth
from resnets.data.check import groups, scans
from resnets.data.check.findings import LEVELS, Finding, Findings
from resnets.data.check.identities import check_identities
from resnets.data.check.labels import check_labels
from resnets.data.check.pictures import check_pictures
from resnets.data.check.series import check_series
from resnets.data.check.tags import check_tags
from resnets.data.check.volumes import check_volumes
from resnets.data.types import Source

CHECKS: dict[str, Callable[..., Findings]] = {
    "classes": check_pictures,
    "boxes": check_labels,
    "masks": check_labels,
    "volumes": check_labels,
    "scans": scans.check_scans,
    "tags": check_tags,
    "identities": check_identities,
    "volume_classes": check_volumes,
    "volume_tags": check_volumes,
    "series": check_series,
    "series_tags": check_series,
}


def check(source: Source, *, progress: Callable[[int, int], None] | None = None, workers: int | None = None) -> Findings:
    """Look at every image of `source`, its labels, its groups and what DICOM says, and tell the reader's notes; see
    `check_pictures`, `check_labels`, `groups.look`, `scans.look`."""
    source = depth.told(source)
    found = CHECKS[source.kind](source, progress=progress, workers=workers)
    notes = [Finding(note.level, note.kind, note.text, [{"label": item} for item in note.items]) for note in source.told]
    every = sorted(
        (*found.findings, *groups.look(source), *scans.look(source), *notes), key=lambda finding: LEVELS.index(finding.level)
    )
    return dataclasses.replace(found, findings=tuple(every))
