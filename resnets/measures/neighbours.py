"""The nearest of many vectors: exact, by matrix products, in memory for one block at a time."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from resnets.errors import InputError

METRICS = ("cosine", "euclidean")
ROWS, COLUMNS = 256, 32_768  # queries and vectors of one product: 32 MiB of float32
MOST_COLUMNS = 1 << 18  # vectors of a product with few queries: short products keep several processors waiting for each other


class Nearest(NamedTuple):
    """The nearest vectors of each query, the nearest first.

    Args:
        positions: (M, k) int64, in the order of the vectors; of equals the first.
        distances: (M, k) float32: 1 - cosine, from 0 to 2, or Euclidean.
    """

    positions: np.ndarray
    distances: np.ndarray


def nearest(
    queries: np.ndarray,
    vectors: Any,
    topk: int,
    *,
    metric: str = "cosine",
    lengths: np.ndarray | None = None,
    without: np.ndarray | None = None,
) -> Nearest:
    """The `topk` nearest of `vectors` for each of `queries`; fewer where there are not so many.

    Args:
        queries: (M, D).
        vectors: (N, D), an array or a memory map, which is read once for every 256 queries.
        metric: "cosine", of which 1 is the distance to a vector of length 0, or "euclidean".
        lengths: (N,) of the vectors, where they are known, which saves as much time as one query takes.
        without: (M,) the position of a vector that is not to be found by each query, such as its own; -1: none.

    Distances of what is found are computed again in float64, one by one: those of a product are too rough for near copies.

    Raises:
        InputError: for queries, and vectors that were come upon, which are not finite.
    """
    check_finite(queries)
    found = [
        _of_block(queries[start : start + ROWS], vectors, topk, metric, lengths, _part(without, start))
        for start in range(0, len(queries), ROWS)
    ]
    if not found:
        return Nearest(np.zeros((0, 0), np.int64), np.zeros((0, 0), np.float32))
    return Nearest(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _part(without: np.ndarray | None, start: int) -> np.ndarray | None:
    return None if without is None else without[start : start + ROWS]


def _of_block(
    queries: np.ndarray, vectors: Any, topk: int, metric: str, lengths: np.ndarray | None, without: np.ndarray | None
) -> Nearest:
    wanted = queries = np.asarray(queries, np.float32)
    if metric == "cosine":  # the length of a query changes no order
        queries = queries / np.maximum(lengths_of(queries), np.finfo(np.float32).tiny)[:, None]
    best = np.zeros((len(queries), 0), np.float32)  # the largest scores so far, and whose they are
    whose = np.zeros((len(queries), 0), np.int64)
    columns = max(COLUMNS, min(MOST_COLUMNS, ROWS * COLUMNS // len(queries))) if vectors.dtype == np.float32 else COLUMNS
    for start in range(0, len(vectors), columns):
        block = np.asarray(vectors[start : start + columns], np.float32)
        scores = queries @ block.T
        own = lengths_of(block) if lengths is None else lengths[start : start + columns]
        if metric == "cosine":
            with np.errstate(invalid="ignore"):  # what is not finite is told below
                scores /= np.maximum(own, np.finfo(np.float32).tiny)
        else:  # |q - v|^2 = |q|^2 - 2 (q v - |v|^2 / 2)
            scores -= own**2 / 2
        if without is not None:
            inside = np.flatnonzero((without >= start) & (without < start + len(block)))
            scores[inside, without[inside] - start] = -np.inf
        here = _largest(scores, topk)
        best = np.concatenate([best, np.take_along_axis(scores, here, 1)], 1)
        whose = np.concatenate([whose, here + start], 1)
        kept = _largest(best, topk)
        best, whose = np.take_along_axis(best, kept, 1), np.take_along_axis(whose, kept, 1)
    if without is not None and whose.shape[1] == len(vectors):  # all are there, and among them those that are not to be
        others = whose != without[:, None]
        if not others.all():
            whose = np.stack([row[kept][: len(vectors) - 1] for row, kept in zip(whose, others, strict=True)])
    return _exactly(wanted, vectors, whose, metric)


def _largest(scores: np.ndarray, topk: int) -> np.ndarray:
    """(M, k) columns of the largest values of each row, in ascending order of the columns."""
    num = scores.shape[1]
    if num <= topk:
        return np.tile(np.arange(num), (len(scores), 1))
    return np.sort(np.argpartition(scores, num - topk, 1)[:, num - topk :], 1)


def ranked(queries: np.ndarray, vectors: Any, proposed: np.ndarray, topk: int, metric: str) -> Nearest:
    """Of the vectors at the positions `proposed` (M, K) for each query (M, D) the `topk` nearest, measured as in `nearest`."""
    check_finite(queries)
    found = _exactly(queries, vectors, proposed, metric)
    return Nearest(found.positions[:, :topk], found.distances[:, :topk])


def check_finite(queries: np.ndarray) -> None:
    """Raise `InputError` where a vector to search by is not finite."""
    if not np.isfinite(queries).all():
        raise InputError("a vector to search by is not finite (NaN or infinite), so nothing is near it; make it anew")


def _exactly(queries: np.ndarray, vectors: Any, positions: np.ndarray, metric: str) -> Nearest:
    """The vectors at `positions` (M, k), sorted by their distances, as float64 computes these."""
    distances = np.zeros(positions.shape, np.float32)
    for row, query in enumerate(np.asarray(queries, np.float64)):
        found = np.asarray(vectors[positions[row]], np.float64)
        with np.errstate(invalid="ignore"):
            distances[row] = distance(query, found, metric)
    if not np.isfinite(distances).all():
        bad = positions[~np.isfinite(distances)][0]
        raise InputError(f"vector {bad} of those to search is not finite (NaN or infinite); make it anew")
    order = np.lexsort((positions, distances), axis=1) if positions.size else positions
    return Nearest(np.take_along_axis(positions, order, 1), np.take_along_axis(distances, order, 1))


def distance(one: np.ndarray, others: np.ndarray, metric: str = "cosine") -> np.ndarray:
    """The distances (...) of vectors (..., D), float64; 1 - cosine is computed from unit vectors' differences, so that of equal
    ones it is 0."""
    if metric == "euclidean":
        return np.sqrt(((one - others) ** 2).sum(-1))
    pair = [each / np.maximum(lengths_of(each), np.finfo(np.float64).tiny)[..., None] for each in (one, others)]
    nothing = (lengths_of(one) == 0) | (lengths_of(others) == 0)
    return np.where(nothing, 1.0, ((pair[0] - pair[1]) ** 2).sum(-1) / 2)


def lengths_of(vectors: np.ndarray) -> np.ndarray:
    """The Euclidean lengths (...) of vectors (..., D)."""
    return np.sqrt(np.einsum("...d,...d->...", vectors, vectors))
