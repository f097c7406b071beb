"""Identification: who is it, of those who are enrolled with one picture each? Closed set (everyone is) and open set (others
come too). All figures are means over draws of who is enrolled, and by which picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from resnets.measures.verification import matrix

NUM_DRAWS = 20
FPIRS = (1e-1, 1e-2)
MOST_PEOPLE = 1000  # who are enrolled, so that a draw stays quick


class Probed(NamedTuple):
    """Pictures that are compared with those enrolled.

    Args:
        position: (N,) of each probe.
        enrolled: (N,) bool, whether its person is.
        distance: (N,) to the nearest of those enrolled.
        right: (N,) bool, whether that is its person.
        rank: (N,) of its person among those enrolled, from 1; 0 where that is not enrolled.
    """

    position: np.ndarray
    enrolled: np.ndarray
    distance: np.ndarray
    right: np.ndarray
    rank: np.ndarray


def draws(
    vectors: np.ndarray,
    people: np.ndarray,
    kind: str,
    num_enrolled: int | None = None,
    *,
    num_draws: int = NUM_DRAWS,
    seed: int = 0,
) -> Iterator[Probed]:
    """Enrol one picture each of `num_enrolled` people, drawn (None: of all with two pictures or more), and probe with every
    other picture. Nothing where there are fewer such people than one, or than `num_enrolled` and another.

    Args:
        vectors: (N, D).
        people: (N,) whom each picture shows.
        kind: of `neighbours.METRICS`.
    """
    codes = np.unique(people, return_inverse=True)[1]
    counts = np.bincount(codes)
    several = np.flatnonzero(counts > 1)
    num = min(len(several), MOST_PEOPLE) if num_enrolled is None else num_enrolled
    if num < 1 or num > len(several) or (num_enrolled is not None and num >= len(counts)):
        return
    random = np.random.default_rng(seed)
    by_person = np.split(np.argsort(codes, kind="stable"), np.cumsum(counts)[:-1])
    for _ in range(num_draws):
        chosen = random.permutation(several)[:num]
        gallery = np.array([random.choice(by_person[person]) for person in chosen])
        place = np.full(len(counts), -1)
        place[chosen] = np.arange(num)
        probes = np.setdiff1d(np.arange(len(codes)), gallery)
        if num_enrolled is None:  # nobody else comes
            probes = probes[place[codes[probes]] >= 0]
        distance = matrix(vectors[probes], vectors[gallery], kind)
        own = place[codes[probes]]
        known = own >= 0
        nearest = distance.argmin(1)
        to_own = distance[np.arange(len(probes)), np.where(known, own, 0)]
        rank = np.where(known, 1 + (distance < to_own[:, None]).sum(1), 0)
        yield Probed(probes, known, distance.min(1), known & (nearest == own), rank)


def closed_set(vectors: np.ndarray, people: np.ndarray, kind: str, ranks: tuple[int, ...] = (1, 5)) -> np.ndarray:
    """(len(ranks), N): of each picture as a probe, how often its person is among the so many nearest of those enrolled, who are
    all; NaN of pictures that never are probes."""
    hits, times = np.zeros((len(ranks), len(people))), np.zeros(len(people))
    for probed in draws(vectors, people, kind):
        times[probed.position] += 1
        for row, rank in enumerate(ranks):
            hits[row, probed.position] += probed.rank <= rank
    return np.where(times > 0, hits / np.maximum(times, 1), math.nan)


class OpenSet(NamedTuple):
    """Errors over thresholds where some are enrolled and others are not.

    Args:
        num_enrolled: people.
        num_known, num_strange: different pictures of people who are enrolled in some draw, and who are not.
        threshold: (K,) rising.
        fpir: (K,) the false positive identification rate: of pictures of strangers, the share that is called someone (a false
            alarm).
        fnir: (K,) the false negative identification rate: of pictures of those enrolled, the share that is called nobody, or
            someone else (a miss).
    """

    num_enrolled: int
    num_known: int
    num_strange: int
    threshold: np.ndarray
    fpir: np.ndarray
    fnir: np.ndarray

    def fnir_at(self, fpir: float) -> float | None:
        """At the largest threshold whose FPIR is `fpir` at most; None where so few pictures of strangers cannot tell."""
        if fpir * self.num_strange < 1 - 1e-9:
            return None
        return float(self.fnir[np.searchsorted(self.fpir, fpir + 1e-12, side="right") - 1])

    def at(self, threshold: float) -> tuple[float, float]:
        """(FPIR, FNIR) of a threshold."""
        index = int(np.searchsorted(self.threshold, threshold, side="right")) - 1
        return float(self.fpir[index]), float(self.fnir[index])


def open_set(vectors: np.ndarray, people: np.ndarray, kind: str, num_enrolled: int | None = None) -> OpenSet | None:
    """`num_enrolled` people are enrolled with one picture each (None: half of them), the others are strangers; one threshold
    for all draws. None where there are too few people."""
    counts = np.unique(people, return_counts=True)[1]
    num = num_enrolled or min(int((counts > 1).sum()), len(counts) // 2)
    found = list(draws(vectors, people, kind, num)) if num else []
    if not found:
        return None
    distance, known, right = (
        np.concatenate([getattr(each, name) for each in found]) for name in ("distance", "enrolled", "right")
    )
    positions = [np.unique(np.concatenate([each.position[each.enrolled == own] for each in found])) for own in (True, False)]
    order = np.argsort(distance, kind="stable")
    last = np.flatnonzero(np.append(np.diff(distance[order]) > 0, True))
    alarms, hits = (np.append(0, np.cumsum(part[order])[last]) for part in (~known, right))
    return OpenSet(
        num,
        len(positions[0]),
        len(positions[1]),
        np.append(-np.inf, distance[order][last]),
        alarms / max(1, int((~known).sum())),
        1 - hits / max(1, int(known.sum())),
    )
