"""A model's answers to a labelled split, and predictions.csv: all of them, from which each figure can be computed by hand."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from resnets.data.types import Split
from resnets.data.words import PICTURES, called
from resnets.engine.contract import Meter, Task
from resnets.files import replacing

FIRST = ("path", "split", "group")


class Judged(NamedTuple):
    """A model's answers to a split beside the truth."""

    task: Task
    split: str
    part: Split
    meter: Meter
    num_images: int
    bad: dict[str, str]  # path -> why the image could not be read
    notes: tuple[str, ...] = ()  # what of the data was left out, or taken for another thing

    def result(self) -> dict[str, Any]:
        """The evaluation, with the meter's rule for answers; "images" says what these are, where they are no pictures."""
        own = self.meter.result(self.num_images, self.part.groups)
        notes = {"data_notes": list(self.notes)} if self.notes else {}
        images = called(self.part.images)
        words = {} if images == PICTURES else {"images": images}
        return {"task": self.task.name, "split": self.split, **words, "bad_images": self.bad, **notes, **own}


def write(path: Path, judged: Iterable[Judged]) -> Path:
    """One row an image or object, of each split in turn: path, split, group, and the task's columns (`Meter.records`)."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer: Any = None
        for row in rows(judged):
            if writer is None:
                writer = csv.DictWriter(file, list(row), lineterminator="\n")
                writer.writeheader()
            writer.writerow({name: written(value) for name, value in row.items()})
        if writer is None:
            file.write(",".join(FIRST) + "\n")
    return path


def rows(judged: Iterable[Judged]) -> Iterator[Mapping[str, Any]]:
    for each in judged:
        images, groups = each.part.images, each.part.groups
        for position, record in each.meter.records():
            group = "" if groups is None else groups[position]
            yield {"path": images.name(position), "split": each.split, "group": group} | dict(record)


def written(value: Any) -> Any:
    """A number with eight significant digits; nothing for None."""
    return f"{value:.8g}" if isinstance(value, float) else "" if value is None else value
