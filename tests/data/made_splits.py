"""Small splits in memory and as files, and loaders of them."""

import numpy as np
from PIL import Image

from resnets.data.pictures.stored import ArrayImages, FileImages
from resnets.data.preprocess import Preprocess
from resnets.data.transforms import Augment
from resnets.data.types import Split
from tests.data.made import picture_loader

RULE = Preprocess(size=(8, 8), crop_pct=1.0, mean=(0.4,), std=(0.2,))
TRAIN = Augment(crop="pad", hflip=0.5)
HEAVY = Augment(crop="resized", hflip=0.5, auto_augment="trivialaugment", random_erase=0.5, mixup=0.2, cutmix=1.0)


def pixels(num, size=8, chans=1):
    return np.random.default_rng(0).integers(0, 256, (num, size, size, chans), dtype=np.uint8)


def arrays(num=20, classes=3, **shape):
    return Split(ArrayImages(pixels(num, **shape), "train"), np.arange(num) % classes)


def files(folder, num=20):
    """Pictures of different sizes, as files."""
    paths = []
    for index in range(num):
        paths.append(folder / f"{index}.png")
        height, width = 9 + index % 4, 12 - index % 3
        random = np.random.default_rng(index)
        Image.fromarray(random.integers(0, 256, (height, width), dtype=np.uint8)).save(paths[-1])
    return Split(FileImages(paths, 1), np.arange(num) % 3)


def loader(split, **settings):
    return picture_loader(split, **{"preprocess": RULE, "batch_size": 6, "augment": TRAIN} | settings)


def spoil(split, *indices):
    for index in indices:
        split.images.path(index).write_bytes(b"no picture")
