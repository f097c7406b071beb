"""Training pictures a second of one core, from a folder: ours beside torchvision's two pipelines.

    python benchmarks/pictures.py FOLDER [--rounds 8] [--num 128] [--size 224]

All three read files, decode, cut a random part of 8 to 100 % of the area, resize it, mirror every other one, normalise and make
batches of 64, in this process with one thread. They take turns; a figure is the median over the rounds of processor time, a
ratio the median of the ratios within a round. The result is written to pictures.md beside this file.
"""

from __future__ import annotations

import argparse
import importlib.util
import platform
import statistics
import time
from collections.abc import Callable
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--num", type=int, default=128)
    parser.add_argument("--size", type=int, default=224)
    options = parser.parse_args()
    torch.set_num_threads(1)
    paths = sorted(path for path in options.folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)[: options.num]
    if not paths:
        parser.error(f"{options.folder}: no pictures")
    size = (options.size, options.size)
    ours = Loader(
        split=Split(FileImages(paths, 3), np.zeros(len(paths), np.int64)),
        preprocess=Preprocess(size=size, mean=IMAGENET_MEAN, std=IMAGENET_STD),
        batch_size=BATCH, num_classes=1, bad=BadImages(0), augment=Augment(crop="resized", hflip=0.5),
    )  # fmt: skip
    pil, quick = (
        DataLoader(Pictures(paths, kind(options.size)), BATCH, shuffle=True) for kind in (torchvision_pil, torchvision_bytes)
    )
    ways: dict[str, Callable] = {
        "torchvision: PIL, transforms (v1)": lambda number: pil,
        "torchvision: decode_jpeg, transforms.v2": lambda number: quick,
        "resnets": ours.epoch,
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
        kind = f"{len(paths)} pictures, the first a {first.format} of {first.width} x {first.height}"
    installed = "with" if importlib.util.find_spec("simplejpeg") else "without"
    lines = [
        f"- {platform.machine()}, one thread; {datetime.now(UTC):%Y-%m-%d}; torch {torch.__version__}, torchvision "
        f"{torchvision.__version__}, {installed} simplejpeg; {kind}; {options.rounds} rounds",
        "",
        "| | ms of a core a picture | pictures a second and core | ratio |",
        "|--|--|--|--|",
    ]
    for name, values in seconds.items():
        ratio = statistics.median(theirs / value for theirs, value in zip(base, values, strict=True))
        each = statistics.median(values) / len(paths)
        lines.append(f"| {name} | {each * 1e3:.2f} | {1 / each:.0f} | {ratio:.2f} |")
    text = "\n".join(lines) + "\n"
    print(text, end="")
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
