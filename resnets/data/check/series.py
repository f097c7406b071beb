"""A look at series before training: those that cannot be read, copies, leaks, classes, lengths, missing values, flat channels.

See `each.check_each`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import numpy as np

from resnets.data.check.each import check_each
from resnets.data.check.findings import Finding, Findings
from resnets.data.check.pictures import Picture
from resnets.data.types import Source

OUTLYING = 6  # times the interquartile range of all series' standard deviations, above the third quartile
MISSING_MUCH = 0.5


class Facts:
    """What is known of the series beside `Picture`: (split, name, length, missing part, flat channels, deviation)."""

    def __init__(self) -> None:
        self.rows: list[tuple[Picture, int, float, int, float]] = []

    def add(self, picture: Picture, series: np.ndarray) -> None:
        missing = np.isnan(series)
        there = [channel[~gone] for channel, gone in zip(series, missing, strict=True)]
        flat = sum(1 for channel in there if not len(channel) or float(np.ptp(channel)) == 0.0)
        deviation = float(np.sqrt(np.mean([float(channel.var()) for channel in there if len(channel)])))
        self.rows.append((picture, series.shape[1], float(missing.mean()), flat, deviation))


def check_series(source: Source, *, progress: Callable[[int, int], None] | None = None, workers: int | None = None) -> Findings:
    """Look at every series of `source`; the arguments are those of `check_pictures`."""
    facts = Facts()

    def look(picture: Picture, series: np.ndarray) -> bytes:
        facts.add(picture, series)
        return hashlib.sha256(repr(series.shape).encode() + np.ascontiguousarray(series).tobytes()).digest()

    return check_each(source, look, lambda: _values(source, facts), progress)


def _values(source: Source, facts: Facts) -> Iterator[Finding]:
    """Lengths, channels, missing values, channels without contrast, and scales unlike all others."""
    if not facts.rows:
        return
    lengths = np.array([length for _, length, *_ in facts.rows])
    spread = f"{lengths.min():,}" if lengths.min() == lengths.max() else (
        f"{lengths.min():,} to {lengths.max():,}, median {int(np.median(lengths)):,}"
    )  # fmt: skip
    rate = getattr(next(iter(source.splits.values())).images, "rate", None)
    told = "" if rate is None else f", {rate:,} Hz"
    yield Finding("note", "lengths", f"{source.in_chans} channel{'s' * (source.in_chans > 1)}{told}; lengths {spread}")
    gaps = [(picture, share) for picture, _, share, *_ in facts.rows if share]
    if gaps:
        level = "warning" if max(share for _, share in gaps) > MISSING_MUCH else "note"
        items = [picture.item(f"{share:.1%} missing") for picture, share in sorted(gaps, key=lambda gap: -gap[1])]
        words = f"{len(gaps):,} of {len(lengths):,} series with missing values, which are interpolated"
        yield Finding(level, "missing_values", words, items)
    if flat := [picture.item(f"{num} of {source.in_chans} channels") for picture, *_, num, _ in facts.rows if num]:
        words = f"{len(flat):,} series with a channel that never changes; a sensor may have been off"
        yield Finding("warning", "flat_channels", words, flat)
    deviations = np.array([deviation for *_, deviation in facts.rows])
    low, high = np.quantile(deviations, (0.25, 0.75))
    if len(deviations) > 8 and (far := np.flatnonzero(deviations > high + OUTLYING * max(high - low, 0.1 * high))).size:
        items = [facts.rows[at][0].item(f"standard deviation {deviations[at]:.3g}") for at in far[np.argsort(-deviations[far])]]
        words = (
            f"{len(far):,} series vary far more than the others (median {np.median(deviations):.3g}); other units, or a fault?"
        )
        yield Finding("warning", "scales", words, items)
