"""A threshold for the recognition of people who are enrolled, chosen on the pictures that they are enrolled with, and what is
known of it. Each picture stands once for a stranger, as if its person were not enrolled, and once for its person.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from resnets.measures.intervals import clopper_pearson_upper
from resnets.measures.verification import matrix

ROWS = 256  # pictures whose distances to all others are in memory at once


class Nearest(NamedTuple):
    """Of each picture (N,): the distance to the nearest other picture of its person, and to the nearest of anyone else;
    infinite where there is none."""

    own: np.ndarray
    others: np.ndarray


class Evidence(NamedTuple):
    """A threshold, and what it does to the pictures that it was chosen on.

    Args:
        threshold: the largest distance at which a picture is called someone.
        rate: the share of strangers' pictures that was allowed to be called someone.
        num_people, num_pictures: that are enrolled.
        alarms: pictures that would be called someone else, were their person not enrolled.
        alarmed: people with such a picture.
        bound: with 95 % confidence no more than this share of strangers has one, if they are like the people who are enrolled
            and none of these was chosen for it: by people, for pictures of one person are alike.
        num_again: pictures whose person has another one.
        misses: of these, the pictures that are called nobody, or someone else.
    """

    threshold: float
    rate: float
    num_people: int
    num_pictures: int
    alarms: int
    alarmed: int
    bound: float
    num_again: int
    misses: int


def nearest(vectors: np.ndarray, people: np.ndarray, kind: str) -> Nearest:
    """`vectors` (N, D) of pictures of `people` (N,), compared with each other; `kind` of `neighbours.METRICS`."""
    own, others = np.full(len(vectors), math.inf), np.full(len(vectors), math.inf)
    for start in range(0, len(vectors), ROWS):
        rows = np.arange(start, min(start + ROWS, len(vectors)))
        distance = matrix(vectors[rows], vectors, kind)
        same = people[rows][:, None] == people
        others[rows] = np.where(same, math.inf, distance).min(1)
        same[np.arange(len(rows)), rows] = False
        own[rows] = np.where(same, distance, math.inf).min(1)
    return Nearest(own, others)


def chosen(near: Nearest, people: np.ndarray, rate: float) -> Evidence | None:
    """The largest threshold at which the share `rate` at most of the pictures is called someone else, were their people not
    enrolled; midway to the next smaller distance. None where fewer than two people are enrolled.
    """
    if len(np.unique(people)) < 2:
        return None
    above = np.sort(near.others)[int(rate * len(people))]  # as many are allowed to be nearer
    below = np.concatenate([[0.0], near.own[near.own < above], near.others[near.others < above]]).max()
    return judged(near, people, float(above + below) / 2, rate)


def judged(near: Nearest, people: np.ndarray, threshold: float, rate: float) -> Evidence:
    """What a threshold does."""
    alarm, again = near.others <= threshold, np.isfinite(near.own)
    num, alarmed = len(np.unique(people)), len(np.unique(people[alarm]))
    return Evidence(
        threshold=threshold,
        rate=rate,
        num_people=num,
        num_pictures=len(people),
        alarms=int(alarm.sum()),
        alarmed=alarmed,
        bound=clopper_pearson_upper(alarmed, num),
        num_again=int(again.sum()),
        misses=int((again & ((near.own > threshold) | (near.own > near.others))).sum()),
    )
