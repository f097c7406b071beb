"""Training pictures a second of one core, from a folder: ours beside torchvision's two pipelines.

    python benchmarks/pictures.py FOLDER... [--rounds 8] [--num 128] [--size 224]

All of them read files, decode, cut a random part of 8 to 100 % of the area, resize it, mirror every other one, normalise and
make batches of 64, each in a process of its own with one thread, ours with memory kept as `resnets train` does. They take
turns; a figure is the median over the rounds of processor time, a ratio the median of the ratios within a round. The result is
written to pictures.md beside this file.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms as v1
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms import v2

from resnets.data.batches.image_level import PictureSamples
from resnets.data.cache import Kept, decoded_bytes
from resnets.data.loader import Loader
from resnets.data.pictures import jpeg
from resnets.data.pictures.images import IMAGE_SUFFIXES
from resnets.data.pictures.stored import FileImages
from resnets.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from resnets.data.transforms import Augment
from resnets.data.types import Split
from resnets.data.workers import BadImages
from resnets.engine.device import keep_memory

BATCH = 64


class Pictures(Dataset):
    def __init__(self, paths: list[Path], read: Callable) -> None:
        self.paths, self.read = paths, read

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple:
        return self.read(self.paths[index]), 0


def torchvision_pil(size: int) -> Callable:
    change = v1.Compose(
        [
            v1.RandomResizedCrop(size),
            v1.RandomHorizontalFlip(),
            v1.ToTensor(),
            v1.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
    return lambda path: change(Image.open(path).convert("RGB"))


def torchvision_bytes(size: int) -> Callable:
    change = v2.Compose(
        [
            v2.RandomResizedCrop(size, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
    return lambda path: change(decode_jpeg(read_file(str(path)), ImageReadMode.RGB))


def torchvision_batches(kind: Callable) -> Callable:
    def make(paths: list[Path], size: int) -> Callable:
        loader = DataLoader(Pictures(paths, kind(size)), BATCH, shuffle=True)
        return lambda number: loader

    return make


def our_batches(*, simplejpeg: bool = True, kept: bool = False) -> Callable:
    def make(paths: list[Path], size: int) -> Callable:
        keep_memory()
        if not simplejpeg:
            jpeg.simplejpeg = lambda: None
        files = FileImages(paths, 3)
        samples = PictureSamples(
            split=Split(Kept(files.quickly(), decoded_bytes(files)) if kept else files, np.zeros(len(paths), np.int64)),
            preprocess=Preprocess(size=(size, size), mean=IMAGENET_MEAN, std=IMAGENET_STD),
            num_classes=1,
            augment=Augment(crop="resized", hflip=0.5),
        )
        return Loader(samples=samples, batch_size=BATCH, bad=BadImages(0)).epoch

    return make


BASE = "torchvision: PIL, transforms (v1)"
WAYS: dict[str, Callable[[list[Path], int], Callable]] = {
    BASE: torchvision_batches(torchvision_pil),
    "torchvision: decode_jpeg, transforms.v2": torchvision_batches(torchvision_bytes),
    "resnets": our_batches(),
    "resnets, without simplejpeg": our_batches(simplejpeg=False),
    "resnets, kept in memory": our_batches(kept=True),  # by the epoch that warms up
}


@cache
def batches_of(name: str, paths: tuple[Path, ...], size: int) -> Callable:
    """Made once, in the process that measures it."""
    torch.set_num_threads(1)
    return WAYS[name](list(paths), size)


def epoch_seconds(name: str, paths: tuple[Path, ...], size: int, number: int) -> float:
    batches = batches_of(name, paths, size)(number)
    began = time.process_time()
    for _ in batches:
        pass
    return time.process_time() - began


def measured(folder: Path, options: argparse.Namespace) -> list[str]:
    """Lines of Markdown."""
    paths = tuple(sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)[: options.num])
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    with ExitStack() as stack:
        context = get_context("spawn")
        pools = {name: stack.enter_context(ProcessPoolExecutor(1, context)) for name in WAYS}
        for number in range(options.rounds + 1):
            for name, pool in pools.items():
                taken = pool.submit(epoch_seconds, name, paths, options.size, number).result()
                if number:  # the first is to warm up
                    seconds[name].append(taken)
    with Image.open(paths[0]) as first:
        kilobytes = sum(path.stat().st_size for path in paths) / len(paths) / 1000
        kind = f"{len(paths)} pictures of {kilobytes:.0f} kB, the first a {first.format} of {first.width} x {first.height}"
    lines = [
        f"- {platform.machine()}, one thread; {datetime.now(UTC):%Y-%m-%d}; torch {torch.__version__}, torchvision "
        f"{torchvision.__version__}; {kind}; {options.rounds} rounds",
        "",
        "| | ms of a core a picture | pictures a second and core | ratio |",
        "|--|--|--|--|",
    ]
    for name, values in seconds.items():
        ratio = statistics.median(theirs / value for theirs, value in zip(seconds[BASE], values, strict=True))
        each = statistics.median(values) / len(paths)
        lines.append(f"| {name} | {each * 1e3:.2f} | {1 / each:.0f} | {ratio:.2f} |")
    return [*lines, "", ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--num", type=int, default=128)
    parser.add_argument("--size", type=int, default=224)
    options = parser.parse_args()
    if jpeg.simplejpeg() is None:
        parser.error("pip install simplejpeg, to measure with it and without")
    text = "\n".join(line for folder in options.folder for line in measured(folder, options))
    print(text, end="")
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
