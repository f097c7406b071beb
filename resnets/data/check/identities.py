"""A look at pictures of identities before training: that of pictures, and how many each identity has in which split."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from resnets.data.check.findings import Finding, Findings, many
from resnets.data.check.pictures import OF_PICTURES, Data, check_pictures
from resnets.data.identities import LEAST, across, across_words
from resnets.data.types import Source


def check_identities(
    source: Source, *, progress: Callable[[int, int], None] | None = None, workers: int | None = None
) -> Findings:
    """See `check_pictures`."""
    checks = (*OF_PICTURES, functools.partial(_identities, source))
    return check_pictures(source, progress=progress, workers=workers, labels_of=names, checks=checks)


def names(source: Source, split: str) -> list[str]:
    """Whom each picture shows."""
    return source.splits[split].targets.by_name.tolist()


def _identities(source: Source, data: Data) -> Iterator[Finding]:
    if found := across(source):
        both = [{"label": name, "splits": ", ".join(splits)} for name, splits in found.items()]
        yield Finding("error", "identities_across", across_words(found), both)
    counts = {split: data.counts(split) for split in data.splits}
    items: list[dict[str, Any]] = [
        {"label": label} | {split: counts[split].get(label, 0) for split in counts} for label in source.labels
    ]
    parts = ", ".join(
        f"{split} {sum(num > 0 for num in each.values()):,} of {sum(each.values()):,}" for split, each in counts.items()
    )
    num = len(source.labels)
    words = f"{num:,} identit{'y' if num == 1 else 'ies'}; by split, of so many pictures: {parts}"
    yield Finding("note", "identities", words, items)
    for split, each in counts.items():
        alone = [{"label": name, split: 1} for name, number in each.items() if number == 1]
        several = int((np.array([*each.values()]) > 1).sum())
        if several < LEAST:
            words = f"{several} with two pictures or more, and it takes {LEAST}; add pictures"
            yield Finding("error", "few_identities", f"{split} has {words}")
        elif alone:
            words = f"in {split} that is the only one of its identity and makes no genuine pair; add others of the same"
            yield Finding("warning", "single_pictures", f"{many(len(alone), 'picture')} {words}", alone)
