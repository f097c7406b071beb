"""A look at boxes, masks or volumes before training: every use of `label_rules.RULES`, with file, object and rule."""

from __future__ import annotations

import functools
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from resnets.data.check.causes import likely_cause
from resnets.data.check.findings import LEVELS, SKEW, TINY, Finding, Findings, many
from resnets.data.check.pictures import ALIKE, Data, Picture, compared
from resnets.data.pictures.images import BadPicture
from resnets.data.pictures.volume import Volume
from resnets.data.readers.label_rules import RULES, BadLabel
from resnets.data.readers.layouts import quoted
from resnets.data.spacings import SAME
from resnets.data.targets import Boxes, Fault
from resnets.data.types import KINDS, Source
from resnets.data.words import worded

CHUNK = 16  # pictures that a worker looks at before it reports
# How large an object is by its area in pixels, as COCO counts.
SIZES = (("small", 0, 32**2), ("medium", 32**2, 96**2), ("large", 96**2, float("inf")))


class Seen(NamedTuple):
    """What is known of one picture."""

    split: str
    name: str
    faults: list[Fault]
    counts: np.ndarray  # (num_labels,) objects of each class, or its pixels
    sizes: tuple[int, ...] = ()  # objects in each of SIZES
    usable: bool = True
    picture: Picture | None = None  # what is compared with others
    spacing: tuple[float, ...] = ()  # of a volume, in mm


def check_labels(
    source: Source,
    *,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
    voxels: bool = True,
) -> Findings:
    """Read every picture and its annotation, and say which rules were applied, to what.

    Args:
        progress: called with the pictures that are done and all there are, now and then.
        voxels: look at images too, not at their labels alone: read volumes, and search for pictures that are there twice.
        workers: threads that read; None: a few more than there are processors.
    """
    total = sum(map(len, source.splits.values()))
    seen: list[Seen] = []
    pool = ThreadPoolExecutor(workers)
    with warnings.catch_warnings():  # of Pillow's, on odd headers; filters belong to the process
        warnings.simplefilter("ignore")
        try:
            for split in source.splits:
                look = functools.partial(_look, source, split, voxels)
                for chunk in pool.map(look, range(0, len(source.splits[split]), CHUNK)):
                    seen += chunk
                    if progress:
                        progress(len(seen), total)
        finally:
            pool.shutdown(cancel_futures=True)
    found = [*_nothing(source, seen), *_rules(seen), *_classes(source, seen), *_sizes(source, seen)]
    found += [*_spacings(seen), *_alike(source, seen)]
    ranked = sorted(found, key=lambda finding: LEVELS.index(finding.level))
    return Findings(source.name, total, tuple(ranked), worded("picture", KINDS[source.kind].images))


def _look(source: Source, split: str, voxels: bool, start: int) -> list[Seen]:
    part = source.splits[split]
    return [_facts(source, split, index, voxels) for index in range(start, min(start + CHUNK, len(part)))]


def _facts(source: Source, split: str, index: int, voxels: bool) -> Seen:
    part, num = source.splits[split], len(source.labels)
    name = part.images.name(index)
    try:
        picture, target, faults = part.read(index)
        if voxels and isinstance(picture, Volume):
            _ = picture.statistics  # all of it is read for them
    except BadPicture as bad:
        rule = bad.rule if isinstance(bad, BadLabel) else "unreadable"
        return Seen(split, name, [Fault(rule, "", bad.reason)], np.zeros(num, np.int64), usable=False)
    is_picture = voxels and isinstance(picture, np.ndarray)
    alike = compared(Picture(split, "", name), picture, part.images, index) if is_picture else None
    if not isinstance(target, Boxes):
        spacing = picture.original.spacing if isinstance(picture, Volume) else ()
        return Seen(split, name, faults, np.bincount(target.ravel(), minlength=num)[:num], picture=alike, spacing=spacing)
    counts = np.bincount(target.labels[~target.ignore], minlength=num)
    area = (target.xyxy[:, 2:] - target.xyxy[:, :2])[~target.ignore].prod(1)
    sizes = tuple(int(((low <= area) & (area < high)).sum()) for _, low, high in SIZES)
    return Seen(split, name, faults, counts, sizes, picture=alike)


def _alike(source: Source, seen: list[Seen]) -> Iterator[Finding]:
    """Pictures that are there twice, as `check_pictures` finds them; their labels are not compared."""
    pictures = tuple(each.picture for each in seen if each.picture is not None)
    if pictures:
        data = Data(source.labels, tuple(source.splits), pictures, pictures)
        yield from (finding for look in ALIKE for finding in look(data))


def _nothing(source: Source, seen: list[Seen]) -> Iterator[Finding]:
    """Whether there is nothing to learn: no usable object in the training split, or pixels of one class alone."""
    if "train" not in source.splits:
        return
    kind = KINDS[source.kind]
    counts = sum((p.counts for p in seen if p.split == "train"), np.zeros(len(source.labels), int))
    missing = [label for label, num in zip(source.labels, counts, strict=True) if not num]
    cause = likely_cause([source.splits["train"]]) if kind.objects else ""
    there = len(source.labels) - len(missing)
    if cause and there:
        yield Finding("error", "cause", cause)
    elif missing and there < (1 if kind.objects else 2):
        faults = Counter(fault.rule for p in seen if p.split == "train" for fault in p.faults if fault.rule != "negative")
        rules = ", ".join(f"{rule} {num:,}" for rule, num in faults.most_common(2) if RULES[rule].level != "note")
        reason = cause or (f"the faults found: {rules}" if rules else "")
        words = f"no usable {kind.units.removesuffix('s')} of {quoted(missing)} in the training split"
        remedy = "" if kind.objects or reason else "; take the name out of classes.txt, or move images over"
        yield Finding("error", "nothing", f"{words}{f'; {reason}' if reason else remedy}")


def _rules(seen: list[Seen]) -> Iterator[Finding]:
    items: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for picture in seen:
        for rule, item, what in picture.faults:
            words = ": ".join(filter(None, (item, what)))
            items[rule].append(
                {"name": picture.name, "split": picture.split, "label": item, "what": words or RULES[rule].words}
            )
    for rule, (level, words) in RULES.items():
        if items[rule]:
            files = len({item["name"] for item in items[rule]})
            where = f" in {files:,} files" if files < len(items[rule]) else ""
            yield Finding(level, rule, f"{rule} {len(items[rule]):,}{where}: {words}", items[rule])


def _classes(source: Source, seen: list[Seen]) -> Iterator[Finding]:
    unit, images = KINDS[source.kind].units, KINDS[source.kind].images
    sums = {
        split: sum((p.counts for p in seen if p.split == split), np.zeros(len(source.labels), int)) for split in source.splits
    }
    pictures = Counter(picture.split for picture in seen if picture.usable)
    items: list[dict[str, Any]] = [
        {"label": label} | {split: int(sums[split][index]) for split in sums} for index, label in enumerate(source.labels)
    ]
    totals = ", ".join(f"{split} {pictures[split]:,}" for split in sums)
    yield Finding("note", "classes", f"{many(len(items), 'class')}, {unit} of each; usable {images}: {totals}", items)
    missing = [
        {"label": label, "missing in": split}
        for split in sums
        for index, label in enumerate(source.labels)
        if not sums[split][index]
    ]
    if missing:
        words = f"without {unit} in a split, which says nothing of them; move {images} over, or take the name out"
        num = len({item["label"] for item in missing})
        yield Finding("warning", "missing_classes", f"{many(num, 'class')} {words}", missing)
    train = {label: int(num) for label, num in zip(source.labels, sums.get("train", ()), strict=False) if num}
    if KINDS[source.kind].objects and train:
        few = [{"label": label, "train": num} for label, num in train.items() if num < TINY]
        if few:
            yield Finding(
                "warning", "tiny_classes", f"{many(len(few), 'class')} with fewer than {TINY} training objects; add some", few
            )
        if max(train.values()) > SKEW * min(train.values()):
            ordered = [{"label": label, "train": train[label]} for label in sorted(train, key=train.__getitem__)]
            times = max(train.values()) / min(train.values())
            words = f"{ordered[-1]['label']!r} has {times:.0f} times as many training objects as {ordered[0]['label']!r}"
            yield Finding("note", "skewed_classes", words, ordered)


def _spacings(seen: list[Seen]) -> Iterator[Finding]:
    """The spacings of volumes, and whether they differ so much that training brings them to one."""
    found = np.array([each.spacing for each in seen if each.spacing])
    if not len(found):
        return
    middle, low, high = (" x ".join(f"{length:.3g}" for length in of(found, axis=0)) for of in (np.median, np.min, np.max))
    words = f"spacing in mm (slices, rows, columns): median {middle}, from {low} to {high}"
    if (np.abs(found / np.median(found, 0) - 1) > SAME).any():
        words += "; segmentation brings volumes to one spacing (--spacing)"
    items = [
        {"label": each.name, "what": " x ".join(f"{length:.4g}" for length in each.spacing)} for each in seen if each.spacing
    ]
    yield Finding("note", "spacings", words, items)


def _sizes(source: Source, seen: list[Seen]) -> Iterator[Finding]:
    if KINDS[source.kind].objects:
        each = np.array([picture.sizes for picture in seen if picture.sizes], dtype=int).reshape(-1, len(SIZES))
        words = ", ".join(f"{name} {num:,}" for (name, _, _), num in zip(SIZES, each.sum(0), strict=True))
        most = int(each.sum(1).max(initial=0))
        yield Finding("note", "objects", f"objects by area (from 32 x 32, from 96 x 96): {words}; at most {most:,} a picture")
