"""All that a page shows beside the files of a run: its pictures, and its figures by slices (slices.json)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resnets.data.looks import LOOKS, Seen, properties
from resnets.data.types import Source
from resnets.engine.run import RunDir
from resnets.errors import InputError, is_memory
from resnets.files import write_json
from resnets.measures import slices
from resnets.models.model import Model
from resnets.verbs.predictions import Judged
from resnets.verbs.report import pictures


def gathered(
    run: RunDir, network: Model, source: Source, judged: Judged, seen: Seen, workers: int | None = 0
) -> Mapping[str, Any]:
    """What `run.write` takes beside the files; slices.json is written. A finished run does not fail for want of a picture: what
    cannot be had becomes a note on the page."""
    write_json(run.slices, by_slices(judged, seen))
    try:
        return pictures.found(network, source, judged, workers)
    except (InputError, OSError, MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not is_memory(error):
            raise
        return {"picture_notes": [f"No pictures: {error}"]}


def by_slices(judged: Judged, seen: Seen) -> dict[str, Any]:
    """The first figure of the task on slices of the split, and the worst slice; see `measures.slices.judge`."""
    sample, part = judged.meter.sample(), judged.part
    groups = None if part.groups is None else part.groups[sample.positions]
    parts = slices.cut(properties(part, sample.positions, seen.of(sample.positions)), LOOKS)
    told = slices.judge(parts, sample.figure, len(sample.positions), sample.right, groups)
    return {"figure": sample.name, "split": judged.split, "num_images": len(sample.positions), **told}
