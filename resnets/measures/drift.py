"""Whether a model at work answers as it did on validation: the population stability index, and when it tells something.

PSI = sum over bins of (p - q) ln(p / q), the symmetric Kullback-Leibler divergence of the fractions p of validation and q of
now. By custom below 0.1 nothing has changed, and above 0.25 much has. Where nothing has changed, PSI is not 0 but near
(B - 1)(1/N + 1/M) for B bins and N and M pictures: divided by (1/N + 1/M) it is distributed as chi-square with B - 1 degrees of
freedom (Yurdakul 2018, "Statistical properties of population stability index"). So a warning asks for both: above 0.25, and
beyond chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

MUCH = 0.25
CHANCE = 1e-3  # of a warning where nothing has changed, each time that one looks
MAX_BINS = 20  # classes that are told apart, the most frequent on validation; the others are one
REST = ""  # their name
SCORE_BINS = 10
LEAST = 100  # pictures of now


class Drift(NamedTuple):
    """Args:
    psi: the index.
    warn: whether it is above `MUCH`, and beyond chance.
    """

    psi: float
    warn: bool


def compare(expected: Sequence[float], found: Sequence[float]) -> Drift | None:
    """Of counts by bin, of validation and of now; None where there are too few to say.

    Empty bins count as half a picture.
    """
    before, now = np.asarray(expected, float), np.asarray(found, float)
    num_before, num_now = before.sum(), now.sum()
    if num_now < LEAST or num_before < LEAST or len(before) < 2:
        return None
    p, q = (np.maximum(counts, 0.5) / np.maximum(counts, 0.5).sum() for counts in (before, now))
    psi = float(((p - q) * np.log(p / q)).sum())
    from scipy.stats import chi2

    chance = float(chi2.isf(CHANCE, len(before) - 1)) * (1 / num_before + 1 / num_now)
    return Drift(psi, psi > max(MUCH, chance))


def class_bins(counts: Mapping[str, int]) -> dict[str, int]:
    """The most frequent classes with their counts, and all the others together as `REST`."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return dict(ordered[: MAX_BINS - 1]) | {REST: sum(num for _, num in ordered[MAX_BINS - 1 :])}


def score_bins(scores: Sequence[float]) -> list[int]:
    """(`SCORE_BINS`,) counts of scores from 0 to 1, in bins of one width."""
    counts, _ = np.histogram(np.clip(np.asarray(scores, float), 0, 1), SCORE_BINS, (0, 1))
    return counts.tolist()


def in_classes(counts: Mapping[str, int], bins: Mapping[str, int]) -> list[int]:
    """The counts by the bins of `class_bins`, in their order."""
    known = {label: counts.get(label, 0) for label in bins if label != REST}
    return [*known.values(), sum(counts.values()) - sum(known.values())]
