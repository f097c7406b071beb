"""A look at whole volumes before training: those that cannot be read, copies, leaks, classes, sizes, voxels, and no contrast.

See `each.check_each`; what DICOM says is `scans.look`'s.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from resnets.data.check.each import check_each
from resnets.data.check.findings import Finding, Findings, many
from resnets.data.check.pictures import REPEATED, Picture
from resnets.data.pictures.volume import SLAB, Volume
from resnets.data.types import Source

SMALL = 0.5  # of the median side
OTHER = 1.1  # times the median spacing, or a part of it, from which voxels are of another size


class Facts(NamedTuple):
    """What is known of a volume beside its `Picture`: (D, H, W), mm along these, the part of values that are not finite, and
    whether all others are the same."""

    picture: Picture
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    unknown: float
    flat: bool


def check_volumes(
    source: Source, *, progress: Callable[[int, int], None] | None = None, workers: int | None = None
) -> Findings:
    """Look at every volume of `source`; the arguments are those of `check_pictures`."""
    facts: list[Facts] = []

    def look(picture: Picture, volume: Volume) -> bytes:
        digest, unknown, low, high = hashlib.sha256(repr(volume.shape).encode()), 0, math.inf, -math.inf
        rows = max(1, SLAB // math.prod(volume.shape[1:]))
        for start in range(0, volume.shape[0], rows):
            values = volume[start : start + rows]
            digest.update(np.ascontiguousarray(values).tobytes())
            known = values[np.isfinite(values)]
            unknown += values.size - known.size
            low, high = min(low, float(known.min(initial=math.inf))), max(high, float(known.max(initial=-math.inf)))
        volume.forget()
        facts.append(Facts(picture, volume.shape[:3], volume.spacing, unknown / math.prod(volume.shape), not high > low))
        return digest.digest()

    return check_each(source, look, lambda: _findings(source, facts), progress)


def _findings(source: Source, facts: list[Facts]) -> Iterator[Finding]:
    if not facts:
        return
    shapes, spacings = (np.array([getattr(each, name) for each in facts]) for name in ("shape", "spacing"))
    median = np.median(shapes, 0)
    sides = " x ".join(
        f"{low}" if low == high else f"{low}-{high}" for low, high in zip(shapes.min(0), shapes.max(0), strict=True)
    )
    usual = np.median(spacings, 0)
    words = f"{many(source.in_chans, 'channel')}; {sides} voxels (depth, height, width), mostly of {_mm(usual)}"
    yield Finding("note", "sizes", words)
    ratio = spacings / usual
    other = np.flatnonzero(((ratio > OTHER) | (ratio < 1 / OTHER)).any(1))
    if len(other):
        items = [facts[at].picture.item(_mm(spacings[at])) for at in other.tolist()]
        words = (
            f"of other voxels than most, {_mm(usual)}; a network sees voxels and no mm: resample them, or use --resize squash"
        )
        yield Finding("warning", "spacings", f"{many(len(other), 'volume')} {words}", items)
    yield from _one_sided(facts)
    if small := [each.picture.item(" x ".join(map(str, each.shape))) for each in facts if (each.shape < SMALL * median).any()]:
        words = "with a side below half of the median; look whether they are whole"
        yield Finding("warning", "small", f"{many(len(small), 'volume')} {words}", small)
    if flat := [each.picture.item() for each in facts if each.flat]:
        yield Finding(
            "warning", "flat", f"{many(len(flat), 'volume')} without contrast, or without any number; remove them", flat
        )
    if unknown := [each.picture.item(f"{each.unknown:.1%}") for each in facts if each.unknown and not each.flat]:
        words = "with values that are not finite, which become the mean"
        yield Finding("warning", "not_finite", f"{many(len(unknown), 'volume')} {words}", unknown)


def _one_sided(facts: list[Facts]) -> Iterator[Finding]:
    """Classes that can be told from the others by the size of their voxels, or their number, as of pictures."""
    train = [each for each in facts if each.picture.split == "train"]
    for kind, what in (("spacing", "the size of their voxels"), ("shape", "their number of voxels")):
        values: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for each in train:
            values[each.picture.label][_mm(each.spacing) if kind == "spacing" else " x ".join(map(str, each.shape))] += 1
        owners = Counter(value for counter in values.values() for value in counter)
        sided = {
            label: counter
            for label, counter in values.items()
            if REPEATED * len(counter) <= counter.total() and all(owners[value] == 1 for value in counter)
        }
        if sided and len(values) > 1:
            items = [{"label": label, kind: ", ".join(sorted(counter))} for label, counter in sided.items()]
            words = (
                f"all of whose training volumes differ from every other class's in {what}: the network may learn that instead"
            )
            level = "error" if len(sided) == len(values) else "warning"
            yield Finding(level, f"one_sided_{kind}", f"{many(len(items), 'class')} {words}; resample or cut all alike", items)


def _mm(spacing: tuple[float, ...] | np.ndarray) -> str:
    return " x ".join(f"{step:.3g}" for step in spacing) + " mm"
