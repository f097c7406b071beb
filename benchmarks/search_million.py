"""A million vectors: how long an index takes to make and to search, how large it is, and what approximate search finds.

    python benchmarks/search_million.py /tmp/million --num 1000000 --out benchmarks/search_million.json

The vectors (512 numbers, of length 1) are drawn around 20,000 centres in 64 dimensions, which a random matrix carries into 512,
with noise there too: near each other as embeddings are, in few directions. Queries are drawn the same way and are none of them.
All ways answer the same queries in one process on the same threads, in alternation, so that ratios hold where milliseconds do
not. The index and the graph, once made, are kept in the folder, with the seconds that they took.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np

from resnets.data.preprocess import Preprocess
from resnets.ship import vectors
from resnets.verbs import approximate
from resnets.verbs.index import Index

WIDTH, LATENT, CENTRES, BLOCK, TOPK = 512, 64, 20_000, 1 << 15, 10


class Drawn:
    """Draws vectors around centres."""

    def __init__(self, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        self.carry = random.normal(size=(LATENT, WIDTH)).astype(np.float32)
        self.centres = random.normal(size=(CENTRES, LATENT)).astype(np.float32)

    def __call__(self, num: int, seed: int) -> np.ndarray:
        random = np.random.default_rng(seed)
        inner = self.centres[random.integers(0, CENTRES, num)] + 0.5 * random.standard_normal((num, LATENT), np.float32)
        found = inner @ self.carry + 0.5 * random.standard_normal((num, WIDTH), np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)


def timed(call: Callable[[], object]) -> tuple[object, float]:
    began = time.perf_counter()
    return call(), time.perf_counter() - began


def kept(folder: Path, name: str, make: Callable[[], object]) -> float:
    """The seconds that something took to make, now or in an earlier run."""
    path = folder / f"{name}.seconds"
    if not path.exists():
        _, seconds = timed(make)
        path.write_text(str(seconds))
    return float(path.read_text())


def write_index(folder: Path, num: int, drawn: Drawn) -> float:
    """Write the index, as `resnets index` does once the vectors are there; the seconds of that."""
    raw = np.memmap(folder / "vectors.f32", np.float32, "w+", shape=(num, WIDTH))
    for start in range(0, num, BLOCK):
        raw[start : start + BLOCK] = drawn(min(BLOCK, num - start), 1 + start)
    header = {"format": vectors.FORMAT, "model": {"name": "none"}, "preprocess": Preprocess().to_json(), "metric": "cosine"}
    rows = {"paths": [b"/pictures/%07d.jpg" % n for n in range(num)], "splits": [b""] * num, "labels": [b""] * num}
    path = folder / "index.npz"
    seconds = kept(folder, "index", lambda: vectors.write(path, header, [vectors.of_rows(header, raw, rows)], [None]))
    (folder / "vectors.f32").unlink()
    return seconds


class Way(NamedTuple):
    """A way to search: queries (M, D) -> positions (M, TOPK); whether it compares all vectors; what it took to make."""

    name: str
    search: Callable[[np.ndarray], np.ndarray]
    is_exact: bool = True
    build_seconds: float | None = None
    num_bytes: int | None = None


def ways(folder: Path, num: int, threads: int) -> list[Way]:
    import faiss
    import usearch.index as usearch

    faiss.omp_set_num_threads(threads)
    index = Index(folder / "index.npz")
    x = np.asarray(index.vectors.vectors)  # mapped: all ways that compare everything read the same pages
    seconds = kept(folder, "graph", lambda: index.make_graph(threads=threads))
    file = approximate.path_of(str(index.header["digest"]))
    print(f"graph: {seconds:.0f} s", flush=True)
    graph = approximate.opened(index.vectors)
    cells = int(num**0.5)
    inverted = faiss.IndexIVFFlat(faiss.IndexFlatIP(WIDTH), WIDTH, cells, faiss.METRIC_INNER_PRODUCT)
    some = np.random.default_rng(0).choice(num, min(num, 40 * cells), replace=False)

    def fill() -> None:
        inverted.train(x[np.sort(some)])
        for start in range(0, num, BLOCK):
            inverted.add(x[start : start + BLOCK])

    _, fill_seconds = timed(fill)
    inverted.nprobe = 32
    print(f"faiss: {fill_seconds:.0f} s", flush=True)

    def brute(q: np.ndarray) -> np.ndarray:
        scores = q @ x.T
        best = np.argpartition(scores, num - TOPK, 1)[:, num - TOPK :]
        return np.take_along_axis(best, np.argsort(-np.take_along_axis(scores, best, 1), 1), 1)

    def ours(approximately: bool) -> Callable[[np.ndarray], np.ndarray]:
        return lambda q: np.array(
            [[near.position for near in row] for row in index.nearest(q, TOPK, approximately=approximately)]
        )

    def usearch_brute(q: np.ndarray) -> np.ndarray:
        found = usearch.search(x, q, TOPK, usearch.MetricKind.IP, exact=True, threads=threads)
        return np.asarray(found.keys).reshape(len(q), -1)

    return [
        Way("NumPy, brute force", brute),
        Way("resnets, exact", ours(False), True, kept(folder, "index", lambda: None), index.path.stat().st_size),
        Way("faiss, brute force", lambda q: faiss.knn(q, x, TOPK, metric=faiss.METRIC_INNER_PRODUCT)[1]),
        Way("usearch, brute force", usearch_brute),
        Way("resnets, approximate", ours(True), False, seconds, file.stat().st_size),
        Way(
            "usearch alone, the same graph",
            lambda q: np.asarray(graph.search(q, TOPK, threads=threads).keys).reshape(len(q), -1),
            False,
            seconds,
            file.stat().st_size,
        ),
        Way(
            f"faiss, IVF{cells} nprobe 32",
            lambda q: inverted.search(q, TOPK)[1],
            False,
            fill_seconds,
            num * (WIDTH * 4 + 8) + cells * WIDTH * 4,
        ),
    ]


def measured(all_ways: list[Way], queries: np.ndarray, rounds: int) -> list[dict]:
    """A row for each way: its medians over queries one by one, and over calls with all of them."""
    truth = all_ways[0].search(queries).tolist()
    one: dict[str, list[float]] = {way.name: [] for way in all_ways}
    many: dict[str, list[float]] = {way.name: [] for way in all_ways}
    recall = {}
    for turn in range(rounds + 1):
        for way in all_ways:
            some = queries[:8] if way.is_exact else queries
            times = [timed(partial(way.search, query[None]))[1] for query in some]
            found, seconds = timed(partial(way.search, queries))
            if turn:  # the first warms up
                one[way.name] += times
                many[way.name].append(seconds / len(queries))
            pairs = zip(truth, np.asarray(found).tolist(), strict=True)
            recall[way.name] = float(np.mean([len(set(a) & set(b)) / TOPK for a, b in pairs]))
        print(f"round {turn}", flush=True)
    return [
        {
            "way": way.name,
            "build_seconds": way.build_seconds,
            "bytes": way.num_bytes,
            "ms_one": 1000 * statistics.median(one[way.name]),
            "ms_of_many": 1000 * statistics.median(many[way.name]),
            "recall_at_10": recall[way.name],
        }
        for way in all_ways
    ]


def table(rows: list[dict]) -> str:
    lines = ["| way | made in s | GB | ms a query | of NumPy's | ms a query, of many | recall@10 |", "|--|--|--|--|--|--|--|"]
    for row in rows:
        cells = [
            row["way"],
            "-" if row["build_seconds"] is None else f"{row['build_seconds']:.0f}",
            "-" if row["bytes"] is None else f"{row['bytes'] / 1e9:.2f}",
            f"{row['ms_one']:.2f}",
            f"{row['ms_one'] / rows[0]['ms_one']:.4f}",
            f"{row['ms_of_many']:.2f}",
            f"{row['recall_at_10']:.3f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--num", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    os.environ["RESNETS_CACHE"] = str(asked.folder / "cache")
    asked.folder.mkdir(parents=True, exist_ok=True)
    drawn = Drawn()
    if not (asked.folder / "index.npz").exists():
        print(f"index: {write_index(asked.folder, asked.num, drawn):.1f} s", flush=True)
    rows = measured(ways(asked.folder, asked.num, asked.threads), drawn(asked.queries, 0), asked.rounds)
    print(table(rows))
    if asked.out:
        about = {"num": asked.num, "width": WIDTH, "queries": asked.queries, "rounds": asked.rounds, "threads": asked.threads}
        about["packages"] = {package: version(package) for package in ("numpy", "faiss-cpu", "usearch")}
        about["graph"] = {"links": approximate.LINKS, "breadth": approximate.BREADTH, "kind": approximate.KINDS["cosine"][1]}
        asked.out.write_text(json.dumps({**about, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
