"""`resnets cluster`: images that belong together, without their number known beforehand, from a file of vectors."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from resnets.errors import InputError, is_whole
from resnets.files import replacing
from resnets.measures.clusters import ALONE, Agreement, agreement
from resnets.measures.neighbours import lengths_of
from resnets.ship.vectors import Vectors, open_vectors
from resnets.stores import publishing
from resnets.verbs.index import Index

MOST_TREE = 15_000  # images for a threshold: all distances between them take 2.3 GB while they are joined
MOST_DENSITY = 100_000  # images without one: the time grows with the square of their number
BLOCK = 512
SHOWN, EACH = 8, 8  # clusters that are drawn, and images of each


class Clustered(TypedDict, total=False):
    """What was found: clusters of at least two images by falling size, and images by themselves; where all images have labels,
    how well these agree with the clusters."""

    file: str
    num_images: int
    num_clusters: int
    num_alone: int
    largest: list[int]
    method: str
    agreement: Agreement
    drawn: str


@publishing
def cluster(
    file: str | Path,
    out: str | Path,
    *,
    threshold: float | None = None,
    min_size: int = 2,
    draw: str | Path | None = None,
) -> Clustered:
    """Write the cluster of each image to a CSV: path, cluster (0 for the largest, -1 for an image by itself), split and label.

    Args:
        file: vectors, of `embed` or `index`.
        threshold: the mean distance up to which two clusters become one (agglomerative clustering with average linkage);
            None: by density, at whatever distances there are (HDBSCAN, Campello et al. 2013).
        min_size: images that make a cluster, at least.
        draw: a picture of the largest clusters, as PNG; of an .npz.

    Raises:
        InputError: for a file that cannot be read, has fewer than two images or too many, drawings of what are no pictures,
            and numbers out of range.
    """
    found, out = open_vectors(file), Path(out)
    if threshold is not None and not threshold > 0:
        raise InputError(f"threshold={threshold}: give a distance above 0")
    if not is_whole(min_size) or min_size < 2:
        raise InputError(f"min_size={min_size}: give a whole number of at least 2")
    _check_number(len(found), threshold, file)
    if out.exists() or out.is_symlink():
        raise InputError(f"{out}: exists already; remove it, or choose another place with -o")
    index = Index(file) if draw is not None else None
    if index is not None:
        index.check_drawn()
    clusters = by_size(clusters_of(points(found), found.header["metric"], threshold, min_size), min_size)
    _write(out, found, clusters)
    sizes = np.bincount(clusters[clusters != ALONE])
    result: Clustered = {
        "file": str(out),
        "num_images": len(found),
        "num_clusters": len(sizes),
        "num_alone": int((clusters == ALONE).sum()),
        "largest": sizes[:10].tolist(),
        "method": "HDBSCAN" if threshold is None else f"average linkage up to {threshold:g}",
    }
    if found.is_labelled:
        result["agreement"] = agreement(clusters, np.asarray(found.labels))
    if index is not None:
        result["drawn"] = str(drawn(index, clusters, Path(str(draw))))
    return result


def _check_number(num: int, threshold: float | None, file: Any) -> None:
    if num < 2:
        raise InputError(f"{file}: has {num} images, and there is nothing to cluster; add more")
    most = MOST_DENSITY if threshold is None else MOST_TREE
    if num > most:
        other = "leave out --threshold, which is for fewer, or " if threshold is not None and num <= MOST_DENSITY else ""
        raise InputError(
            f"{file}: {num:,} images are more than the {most:,} that are compared here; {other}embed a part of them"
        )


def points(found: Vectors) -> np.ndarray:
    """(N, num_features) float32, which are near each other as the file's metric has it: for cosines of length 1."""
    values = np.asarray(found.vectors)
    if not np.isfinite(values).all():
        bad = int(np.flatnonzero(~np.isfinite(values).all(1))[0])
        raise InputError(f"vector {bad} ({found.paths[bad].decode(errors='backslashreplace')}) is not finite; embed it anew")
    if found.header["metric"] == "euclidean":
        return values
    return values / np.maximum(lengths_of(values), np.finfo(np.float32).tiny)[:, None]


def clusters_of(values: np.ndarray, metric: str, threshold: float | None, min_size: int) -> np.ndarray:
    """(N,) integers, a number for each cluster of `points`; `ALONE` for images in none. See `cluster`."""
    if threshold is None:
        from sklearn.cluster import HDBSCAN

        return HDBSCAN(min_cluster_size=min_size, copy=True).fit_predict(values)
    from scipy.cluster.hierarchy import fcluster, linkage

    return fcluster(linkage(condensed(values, metric), "average"), threshold, "distance")


def condensed(values: np.ndarray, metric: str) -> np.ndarray:
    """The distances between all pairs of rows, float32, in the order in which SciPy has them: (0, 1), (0, 2), ..."""
    from scipy.spatial.distance import cdist

    num = len(values)
    found, end = np.empty(num * (num - 1) // 2, np.float32), 0
    for start in range(0, num, BLOCK):
        block, rest = values[start : start + BLOCK], values[start:]
        near = cdist(block, rest) if metric == "euclidean" else np.maximum(1 - block @ rest.T, 0)
        for row, distances in enumerate(near):
            found[end : end + num - start - row - 1] = distances[row + 1 :]
            end += num - start - row - 1
    return found


def by_size(clusters: np.ndarray, min_size: int) -> np.ndarray:
    """The clusters numbered by falling size, of equals by their first image; `ALONE` for those of fewer than `min_size`."""
    numbers, first, inverse, sizes = np.unique(clusters, return_index=True, return_inverse=True, return_counts=True)
    real = (numbers != ALONE) & (sizes >= min_size)
    order = np.lexsort((first, -sizes))
    new = np.full(len(numbers), ALONE, np.int64)
    new[order[real[order]]] = np.arange(real.sum())
    return new[inverse]


def _write(out: Path, found: Vectors, clusters: np.ndarray) -> None:
    """The CSV, in the order of the clusters."""
    order = np.lexsort((np.arange(len(clusters)), np.where(clusters == ALONE, len(clusters), clusters)))
    with replacing(out) as temporary, temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("path", "cluster", "split", "label"))
        for place in order.tolist():
            texts = [
                bytes(column[place]).decode(errors="backslashreplace") for column in (found.paths, found.splits, found.labels)
            ]
            writer.writerow((texts[0], clusters[place], *texts[1:]))


def drawn(index: Index, clusters: np.ndarray, path: Path) -> Path:
    """Draw some images of the largest clusters, a row for each."""
    from resnets.draw.gallery import gallery

    num = min(SHOWN, int(clusters.max()) + 1)
    if not num:
        raise InputError("no cluster was found, so there is none to draw; leave out --draw, or raise --threshold")
    cells: list[tuple[np.ndarray | None, str]] = []
    for number in range(num):
        members = np.flatnonzero(clusters == number)
        some = members[np.unique(np.linspace(0, len(members) - 1, EACH).astype(int))].tolist()
        cells += [*map(index.cell, some), *[(None, "")] * (EACH - len(some))]
    pictures, captions = zip(*cells, strict=True)
    return gallery(pictures, captions, path, columns=EACH, title=f"The {num} largest clusters")
