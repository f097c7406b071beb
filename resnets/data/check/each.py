"""A look at images that are no pictures: what is of classes and copies is that of pictures, the rest their own check's."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from resnets.data.check.findings import LEVELS, Finding, Findings
from resnets.data.check.pictures import SETS, Data, Picture, classes
from resnets.data.check.tags import label_sets
from resnets.data.pictures.images import BadPicture
from resnets.data.types import Source
from resnets.data.words import called, worded

REPORTED = 64  # images between reports of progress


def check_each(
    source: Source,
    look: Callable[[Picture, Any], bytes],
    own: Callable[[], Iterable[Finding]],
    progress: Callable[[int, int], None] | None = None,
) -> Findings:
    """One pass over all images.

    Args:
        look: keeps what it will of an image, by its `Picture`, and gives a digest of its values; raises `BadPicture`.
        own: the findings of what was kept.
        progress: called with the images that are done and all there are, now and then.
    """
    first = next(iter(source.splits.values()))
    told, images = label_sets if first.targets.values.ndim == 2 else classes, called(first.images)
    seen, total = list[Picture](), sum(map(len, source.splits.values()))
    for name, split in source.splits.items():
        for index, label in enumerate(told(source, name)):
            picture = Picture(name, label, split.images.name(index))
            try:
                picture = picture._replace(digest=look(picture, split.images[index]))
            except BadPicture as bad:
                picture = picture._replace(reason=bad.reason)
            seen.append(picture)
            if progress and len(seen) % REPORTED == 0:
                progress(len(seen), total)
    data = Data(source.labels, tuple(source.splits), tuple(seen), tuple(each for each in seen if not each.reason))
    sets = (finding for each in SETS for finding in each(data))
    renamed = [dataclasses.replace(each, text=worded(each.text, images)) for each in sets]
    ranked = sorted([*renamed, *own()], key=lambda finding: LEVELS.index(finding.level))
    return Findings(source.name, len(seen), tuple(ranked), worded("picture", images))
