"""A look at pictures with several labels each before training: that of classification, and how often each label is there."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from resnets.data.check.findings import TINY, Finding, Findings, many
from resnets.data.check.pictures import OF_PICTURES, Data, check_pictures
from resnets.data.types import Source


def check_tags(source: Source, *, progress: Callable[[int, int], None] | None = None, workers: int | None = None) -> Findings:
    """See `check_pictures`."""
    checks = (*OF_PICTURES, functools.partial(_labels, source))
    return check_pictures(source, progress=progress, workers=workers, labels_of=label_sets, checks=checks)


def label_sets(source: Source, split: str) -> list[str]:
    """The labels of each picture, with bars between them; "none" where it has none."""
    names = np.array(source.labels, object)
    return ["|".join(names[row > 0.5]) or "none" for row in source.splits[split].targets.values]


def _labels(source: Source, data: Data) -> Iterator[Finding]:
    there: dict[str, np.ndarray] = {}  # (N, num_labels) of the readable pictures
    for split in data.splits:
        readable = np.array([not picture.reason for picture in data.pictures if picture.split == split], bool)
        there[split] = source.splits[split].targets.values[readable] > 0.5
    items: list[dict[str, Any]] = [
        {"label": label} | {split: int(rows[:, index].sum()) for split, rows in there.items()}
        for index, label in enumerate(source.labels)
    ]
    totals = ", ".join(f"{split} {len(rows):,}" for split, rows in there.items())
    each = np.concatenate(list(there.values())).sum(1)
    words = f"{each.mean() if len(each) else 0:.1f} labels a picture, {many(int((each == 0).sum()), 'picture')} without any"
    yield Finding("note", "labels", f"{many(len(items), 'label')}; {words}; readable pictures: {totals}", items)
    one_valued = [
        {"label": item["label"], split: f"{item[split]} of {len(rows)}"}
        for item in items
        for split, rows in there.items()
        if len(rows) and item[split] in (0, len(rows))
    ]
    if one_valued:
        words = "that all or none of the pictures of a split have, which says nothing of them; add pictures, or leave it out"
        yield Finding("warning", "one_valued_labels", f"{many(len(one_valued), 'label')} {words}", one_valued)
    tiny = [{"label": item["label"], "train": item["train"]} for item in items if 0 < item.get("train", 0) < TINY]
    if tiny:
        words = f"that fewer than {TINY} training pictures have; add some, or merge labels"
        yield Finding("warning", "tiny_labels", f"{many(len(tiny), 'label')} {words}", tiny)
