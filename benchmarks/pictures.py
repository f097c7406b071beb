"""Training pictures a second of one core, from a folder: ours beside torchvision's two pipelines.

    python benchmarks/pictures.py FOLDER... [--rounds 8] [--num 128] [--size 224]

All of them read files, decode, cut a random part of 8 to 100 % of the area, resize it, mirror every other one, normalise and
make batches of 64, in this process with one thread. They take turns; a figure is the median over the rounds of processor time,
a ratio the median of the ratios within a round. The result is written to pictures.md beside this file.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms as v1
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms import v2

from resnets.contracts import Split
from resnets.data import jpeg
from resnets.data.cache import Kept, decoded_bytes
from resnets.data.images import IMAGE_SUFFIXES, FileImages
from resnets.data.loaders import BadImages, Loader
from resnets.data.transforms import Augment
from resnets.spec import IMAGENET_MEAN, IMAGENET_STD, Preprocess

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


def without_simplejpeg(loader: Loader, epoch: int) -> Iterator:
    library, jpeg.simplejpeg = jpeg.simplejpeg, lambda: None
    yield from loader.epoch(epoch)
    jpeg.simplejpeg = library


def measured(folder: Path, options: argparse.Namespace) -> list[str]:
    """Lines of Markdown."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)[: options.num]
    size = (options.size, options.size)
    files, targets = FileImages(paths, 3), np.zeros(len(paths), np.int64)
    ours, kept = (
        Loader(
            split=Split(images, targets),
            preprocess=Preprocess(size=size, mean=IMAGENET_MEAN, std=IMAGENET_STD),
            batch_size=BATCH,
            num_classes=1,
            bad=BadImages(0),
            augment=Augment(crop="resized", hflip=0.5),
        )
        for images in (files, Kept(files.quickly(), decoded_bytes(files)))
    )
    pil, quick = (
        DataLoader(Pictures(paths, kind(options.size)), BATCH, shuffle=True) for kind in (torchvision_pil, torchvision_bytes)
    )
    ways: dict[str, Callable] = {
        "torchvision: PIL, transforms (v1)": lambda number: pil,
        "torchvision: decode_jpeg, transforms.v2": lambda number: quick,
        "resnets": ours.epoch,
        "resnets, without simplejpeg": lambda number: without_simplejpeg(ours, number),
        "resnets, kept in memory": kept.epoch,  # by the epoch that warms up
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(options.rounds + 1):
        for name, batches in ways.items():
            began = time.process_time()
            for _ in batches(number):
                pass
            if number:  # the first is to warm up
                seconds[name].append(time.process_time() - began)
    base = seconds["torchvision: PIL, transforms (v1)"]
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
        ratio = statistics.median(theirs / value for theirs, value in zip(base, values, strict=True))
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
    torch.set_num_threads(1)
    text = "\n".join(line for folder in options.folder for line in measured(folder, options))
    print(text, end="")
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
