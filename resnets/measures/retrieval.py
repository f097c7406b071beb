"""Retrieval: each picture of a set searches the others for those of the same person or thing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from resnets.measures.verification import matrix

BLOCK = 2**24  # distances that are in memory at once
RANKS = (1, 5)


class Found(NamedTuple):
    """Of each picture as a query; NaN where no other picture is of the same.

    Args:
        precision_at_1: (N,) whether the nearest other picture is of the same.
        hit_at_5: (N,) whether one of the five nearest is.
        r_precision: (N,) of the R nearest, where R others are of the same, the share that is.
        map_at_r: (N,) the mean over the ranks 1 to R of the precision there where the picture of that rank is of the same, else
            0 (Musgrave, Belongie and Lim 2020, arXiv 2003.08505, section 3.2): R-precision that rewards a right order.
    """

    precision_at_1: np.ndarray
    hit_at_5: np.ndarray
    r_precision: np.ndarray
    map_at_r: np.ndarray


def search(vectors: np.ndarray, people: np.ndarray, kind: str) -> Found:
    """Every picture searches all others. Of equal distances the first position comes first.

    Args:
        vectors: (N, D).
        people: (N,) whom each picture shows.
        kind: of `neighbours.METRICS`.
    """
    codes = np.unique(people, return_inverse=True)[1]
    num = len(codes)
    others = np.bincount(codes)[codes] - 1 if num else np.zeros(0, int)  # R of each query
    found = np.full((4, num), np.nan)
    deepest = min(max(num - 1, 0), max(int(others.max(initial=0)), RANKS[-1]))
    rank = np.arange(1, deepest + 1)
    rows = max(1, BLOCK // max(1, num))
    for start in range(0, num if deepest else 0, rows):
        queries = np.arange(start, min(start + rows, num))
        distance = matrix(vectors[queries], vectors, kind)
        distance[np.arange(len(queries)), queries] = np.inf
        hits = codes[np.argsort(distance, axis=1, kind="stable")[:, :deepest]] == codes[queries][:, None]
        relevant = others[queries][:, None]
        counted = hits & (rank <= relevant)
        precision = np.cumsum(hits, 1) / rank
        with np.errstate(invalid="ignore"):
            found[2, queries] = counted.sum(1) / relevant[:, 0]
            found[3, queries] = (precision * counted).sum(1) / relevant[:, 0]
        found[0, queries], found[1, queries] = hits[:, 0], hits[:, : RANKS[-1]].any(1)
    found[:, others == 0] = np.nan
    return Found(*found)
