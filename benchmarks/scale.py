"""Many machines on paper: predicting over N pictures, and training, simulated with measured costs; the tables of docs/scale.md.

    python benchmarks/scale.py --measure       # what a picture costs a core of this machine
    python benchmarks/scale.py                 # the tables, of the constants below
    python benchmarks/scale.py --engine-ms 2   # with what an engine costs a core a picture

An event loop over a heap, without a library: the only events are that a node is free, and that one fails. What is measured and
what is assumed is said beside each constant; docs/scale.md says where it was measured.
"""

from __future__ import annotations

import argparse
import heapq
import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

HOUR = 3600.0


@dataclass(frozen=True)
class Cost:
    """What a picture costs.

    Args:
        core_ms: milliseconds of a core, all that processors do.
        num_bytes: that are fetched.
        gpu_rate: pictures per second of a GPU; 0: none is used.
        engine_ms: milliseconds of a core that the engine takes a picture, beside `core_ms`.
    """

    core_ms: float
    num_bytes: float
    gpu_rate: float = 0.0
    engine_ms: float = 0.0


@dataclass(frozen=True)
class Cluster:
    """Machines, all alike, and a store that they share. Everything here is assumed."""

    cores: int
    gpus: int = 0
    dollars: float = 0.0  # an hour of a node
    nic: float = 1.25e9  # bytes per second of a node: 10 Gbit/s
    store: float = 10e9  # bytes per second of the store, for all nodes together
    mtbf_hours: float = 500.0  # between failures, or spot preemptions, of a node
    restart_seconds: float = 300.0  # until a node, or a training, is back
    slow_share: float = 0.05  # of the nodes
    slow_factor: float = 2.0
    jitter: float = 0.05  # deviation of the logarithm of how long a block or a step takes


@dataclass(frozen=True)
class Outcome:
    """How long it took, how much of the nodes' time was lost to failures, and what held it up."""

    hours: float
    lost: float
    limit: str


def node_rate(cost: Cost, cluster: Cluster, nodes: int) -> tuple[float, str]:
    """Pictures per second of a node, and what limits it."""
    limits = {
        "cores": 1000 * cluster.cores / (cost.core_ms + cost.engine_ms),
        "network of the node": cluster.nic / cost.num_bytes,
        "store": cluster.store / nodes / cost.num_bytes,
    }
    if cost.gpu_rate:
        limits["GPUs"] = cluster.gpus * cost.gpu_rate
    limit = min(limits, key=lambda name: limits[name])
    return limits[limit], limit


def predict(num: int, block: int, cost: Cost, cluster: Cluster, nodes: int, seed: int = 0) -> Outcome:
    """Blocks of pictures, each to the next free node; a failure costs its block, which another node takes."""
    random = np.random.default_rng(seed)
    rate, limit = node_rate(cost, cluster, nodes)
    slow = random.random(nodes) < cluster.slow_share
    fails = random.exponential(cluster.mtbf_hours * HOUR, nodes)
    waiting, idle, end, lost = math.ceil(num / block), list(range(nodes)), 0.0, 0.0
    events: list[tuple[float, int, bool]] = []  # when, which node, whether it has failed
    now = 0.0
    while waiting or events:
        while waiting and idle:
            node, waiting = idle.pop(), waiting - 1
            seconds = block / rate * (cluster.slow_factor if slow[node] else 1) * random.lognormal(0, cluster.jitter)
            if fails[node] < now + seconds:
                lost += max(0.0, fails[node] - now) + cluster.restart_seconds
                heapq.heappush(events, (max(now, fails[node]), node, True))
            else:
                heapq.heappush(events, (now + seconds, node, False))
        now, node, failed = heapq.heappop(events)
        if failed:
            waiting += 1
            fails[node] = now + cluster.restart_seconds + random.exponential(cluster.mtbf_hours * HOUR)
            heapq.heappush(events, (now + cluster.restart_seconds, node, False))
        else:
            end = now
            idle.append(node)
    return Outcome(end / HOUR, lost / HOUR / max(end / HOUR * nodes, 1e-9), limit)


def train(
    images: int,
    epochs: int,
    batch: int,
    params: float,
    cost: Cost,
    cluster: Cluster,
    nodes: int,
    save: float = 300.0,
    seed: int = 0,
) -> Outcome:
    """Steps that all GPUs take together: the slowest one counts, then gradients of `params` bytes go round (ring all-reduce
    over the nodes' network). A failure stops all, and costs what was done since the last save, and a restart."""
    random = np.random.default_rng(seed)
    rate, limit = node_rate(cost, cluster, nodes)
    compute = batch * cluster.gpus / rate
    slowest = float(random.lognormal(0, cluster.jitter, (400, nodes)).max(1).mean())
    exchange = 2 * params * (nodes - 1) / nodes / cluster.nic
    step = compute * slowest + max(0.0, exchange - 0.5 * compute)  # half of it hides behind the backward pass
    if exchange > 0.5 * compute:
        limit = "exchange of gradients"
    left = epochs * images / (batch * cluster.gpus * nodes) * step
    useful, now = left, 0.0
    while left > 0:
        until = random.exponential(cluster.mtbf_hours * HOUR / nodes)
        if until >= left:
            now, left = now + left, 0.0
        else:
            left -= until - until % save
            now += until + cluster.restart_seconds
    return Outcome(now / HOUR, 1 - useful / now, limit)


# --- the tables ---

# Measured, on processors: docs/scale.md says where.
INT8 = Cost(core_ms=1000 * 2 / 121.2, num_bytes=83e3)  # ResNet-50 in 8 bits by OpenVINO, from file to label, two cores
FILES = Cost(core_ms=1.80, num_bytes=82e3)  # reading and augmenting a JPEG of 480 x 360 for training
PACKED_BYTES = 36e3  # of a photograph of 500 x 375, packed at 320
# Assumed: no GPU was measured.
GPU_TRAIN, GPU_PREDICT = 2500.0, 10_000.0  # ResNet-50 at 224, pictures per second
CPU_NODE = Cluster(cores=16, dollars=0.7)
GPU_NODE = Cluster(cores=96, gpus=8, dollars=30.0, nic=12.5e9)  # 100 Gbit/s
RESNET50_BYTES = 4 * 25_557_032
SEEDS = 9
NODES = (1, 2, 4, 8, 16, 32, 64)


def table(head: str, run: Callable[[int, int], Outcome], price: float, nodes: tuple[int, ...] = NODES) -> None:
    """A row for each number of nodes; each value is the median of `SEEDS` seeds, which draw failures and slow nodes anew."""
    columns = ("nodes", "hours", "efficiency", "lost to failures", "dollars", "limited by")
    print(f"\n{head}\n\n| {' | '.join(columns)} |\n|{' --: |' * (len(columns) - 1)} :-- |")
    alone = 0.0
    for num in nodes:
        found = [run(num, seed) for seed in range(SEEDS)]
        hours, lost = (float(np.median([getattr(each, name) for each in found])) for name in ("hours", "lost"))
        alone = alone or hours * num
        row = (f"{num}", f"{hours:,.2f}", f"{alone / hours / num:.0%}", f"{lost:.1%}", f"{hours * num * price:,.0f}")
        print(f"| {' | '.join((*row, found[0].limit))} |")


def tables(engine_ms: float, block: int) -> None:
    num, nodes = 100_000_000, "8 GPUs and 96 cores a node"
    int8, files = (replace(cost, engine_ms=engine_ms) for cost in (INT8, FILES))
    on_gpu, packed = replace(files, gpu_rate=GPU_TRAIN), replace(files, gpu_rate=GPU_TRAIN, num_bytes=PACKED_BYTES)
    few, near = replace(GPU_NODE, cores=32), replace(GPU_NODE, store=math.inf)

    def predicting(cost: Cost, cluster: Cluster) -> Callable[[int, int], Outcome]:
        return lambda n, seed: predict(num, block, cost, cluster, n, seed)

    def training(images: int, epochs: int, cost: Cost, cluster: Cluster) -> Callable[[int, int], Outcome]:
        return lambda n, seed: train(images, epochs, 256, RESNET50_BYTES, cost, cluster, n, seed=seed)

    what = f"Predicting {num:,} pictures, ResNet-50"
    table(f"{what} in 8 bits, 16 cores a node", predicting(int8, CPU_NODE), CPU_NODE.dollars)
    table(f"{what}, {nodes}", predicting(replace(files, gpu_rate=GPU_PREDICT), GPU_NODE), GPU_NODE.dollars)
    what = f"Training ResNet-50 for 10 epochs of {num:,} pictures"
    table(f"{what}, {nodes}, from the store", training(num, 10, on_gpu, GPU_NODE), GPU_NODE.dollars)
    table(f"{what}, {nodes}, packed, from the store", training(num, 10, packed, GPU_NODE), GPU_NODE.dollars)
    table(f"{what}, {nodes}, each node's part of the shards on its own disk", training(num, 10, on_gpu, near), GPU_NODE.dollars)
    what = "Training ResNet-50 for 90 epochs of ImageNet, 8 GPUs"
    table(f"{what}, 96 cores", training(1_281_167, 90, on_gpu, near), GPU_NODE.dollars, (1,))
    table(f"{what}, 32 cores", training(1_281_167, 90, on_gpu, replace(few, store=math.inf)), GPU_NODE.dollars, (1,))


# --- what a picture costs a core here ---


def measure(num: int = 64, rounds: int = 5) -> None:
    """Milliseconds of this core a picture (processor time, so that other programs count little): the least of the rounds."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    from resnets.data.batches.image_level import PictureSamples
    from resnets.data.packing import Rule, encode
    from resnets.data.pictures.stored import FileImages
    from resnets.data.preprocess import Preprocess
    from resnets.data.sources import open_source
    from resnets.data.transforms import Augment
    from resnets.data.types import Split
    from resnets.verbs.pack import pack

    def least(work: Callable[[int], object]) -> float:
        found = []
        for _ in range(rounds):
            began = time.thread_time()
            for index in range(num):
                work(index)
            found.append(1000 * (time.thread_time() - began) / num)
        return min(found)

    with tempfile.TemporaryDirectory() as place:
        for width, height in ((500, 375), (4000, 3000)):
            folder = Path(place, str(width))
            for index in range(num):
                photo = Image.fromarray(load_sample_images().images[index % 2]).resize(
                    (width, height), Image.Resampling.BICUBIC
                )
                path = folder / "ab"[index % 2] / f"{index}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                photo.save(path, quality=90)
            files = FileImages(sorted(str(path.relative_to(folder)) for path in folder.rglob("*.jpg")), 3, folder)
            pack(folder, out=Path(place, f"packed{width}"), workers=1)
            packed = open_source(Path(place, f"packed{width}")).splits["train"].images
            sizes = [sum(images.open(index).seek(0, 2) for index in range(num)) / num / 1000 for images in (files, packed)]
            print(f"{num} photographs of {width} x {height}, quality 90: {sizes[0]:.0f} kB; packed at 320: {sizes[1]:.0f} kB")
            rule = Rule(320, "jpeg", 90)
            print(f"    packing one: {least(partial(encode, files, rule=rule)):.2f} ms of a core")
            for name, images in (("files", files), ("packed", packed)):
                split, augment = Split(images, np.zeros(num, np.int64)), Augment(crop="resized", hflip=0.5)
                samples = PictureSamples(split=split, preprocess=Preprocess(), num_classes=2, augment=augment)
                print(f"    reading one of the {name} for training at 224: {least(reading(samples)):.2f} ms of a core")


def reading(samples: Any) -> Callable[[int], Any]:
    reader = samples.reader(32)
    return lambda index: reader[0, index, index]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true", help="measure what a picture costs a core of this machine")
    parser.add_argument("--engine-ms", type=float, default=0.0, help="milliseconds of a core that an engine costs a picture")
    parser.add_argument("--block", type=int, default=10_000, help="pictures of a block, which a failure costs")
    asked = parser.parse_args()
    if asked.measure:
        measure()
    else:
        tables(asked.engine_ms, asked.block)


if __name__ == "__main__":
    main()
