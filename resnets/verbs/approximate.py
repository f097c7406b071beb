"""Approximate search: a graph of vectors (HNSW, arXiv 1603.09320), which the library usearch builds and searches.

A graph is made from an index and stays with the machine, in the user's cache, under the digest of the index: it is read by code
that trusts it, so none is taken from a file of another's. It proposes; distances are measured on the vectors themselves.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from resnets.errors import InputError
from resnets.files import replacing
from resnets.ship.vectors import Vectors

# By metric: usearch's name of it, and the type in which the graph keeps vectors. For cosines 8 bits propose as well as 16.
KINDS = {"cosine": ("cos", "i8"), "euclidean": ("l2sq", "f16")}
LINKS, BREADTH = 16, 128  # usearch's connectivity, and its expansion in adding and searching
MORE = 4  # times as many are proposed as are asked for
BLOCK = 1 << 14


def need() -> Any:
    """The library. Raises `InputError` where it is missing."""
    try:
        from usearch import index
    except ModuleNotFoundError:
        raise InputError("approximate search needs a package more: pip install 'resnets[search]'") from None
    return index


def path_of(digest: str) -> Path:
    """Where the graph of an index with this digest lies: in $RESNETS_CACHE, or ~/.cache/resnets, graphs/."""
    name = digest if re.fullmatch(r"[0-9a-f]{64}", digest) else "none"
    return Path(os.environ.get("RESNETS_CACHE") or "~/.cache/resnets").expanduser() / "graphs" / f"{name}.usearch"


def empty(metric: str, width: int) -> Any:
    name, dtype = KINDS[metric]
    return need().Index(
        ndim=width, metric=name, dtype=dtype, connectivity=LINKS, expansion_add=BREADTH, expansion_search=BREADTH
    )


def build(found: Vectors, threads: int, say: Callable[[int, int], None], graph: Any = None) -> Any:
    """A graph of all vectors, by their ids; with `graph`, that one with those that it lacks."""
    graph = empty(found.header["metric"], found.vectors.shape[1]) if graph is None else graph
    new = np.flatnonzero(~graph.contains(np.asarray(found.ids))) if len(graph) else np.arange(len(found))
    for start in range(0, len(new), BLOCK):
        some = new[start : start + BLOCK]
        graph.add(np.asarray(found.ids[some]), np.asarray(found.vectors[some]), threads=threads)
        say(start + len(some), len(new))
    return graph


def keep(graph: Any, digest: str, before: str | None = None) -> Path:
    """Write a graph to the cache, in place of that of the digest `before`; its path."""
    path = path_of(digest)
    with replacing(path) as temporary:
        graph.save(str(temporary))
    if before is not None and before != digest:
        path_of(before).unlink(missing_ok=True)
    return path


def opened(found: Vectors, *, to_change: bool = False) -> Any:
    """The graph of `found` from the cache, mapped, or to be changed in memory; None where there is none, or a damaged one."""
    path = path_of(str(found.header.get("digest")))
    if not path.is_file():
        return None
    graph = empty(found.header["metric"], found.vectors.shape[1])
    try:
        (graph.load if to_change else graph.view)(str(path))
    except Exception:  # usearch raises RuntimeError for damage; it is built anew
        return None
    return graph if len(graph) == len(found) else None


def proposals(graph: Any, found: Vectors, queries: np.ndarray, topk: int) -> np.ndarray:
    """(M, k) positions that may be among the nearest of each query, more than `topk`."""
    num = min(MORE * topk, len(found))
    graph.expansion_search = max(BREADTH, num)
    matches = graph.search(np.asarray(queries, np.float32), num)
    positions = np.searchsorted(found.ids, np.asarray(matches.keys, np.int64).reshape(len(queries), -1))
    return np.minimum(positions, len(found) - 1)
