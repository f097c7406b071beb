"""Pictures made of noise, what turns them about, and loaders of splits."""

import numpy as np
import torch
from PIL import Image

from resnets.data.batches.dense import DenseSamples
from resnets.data.batches.image_level import PictureSamples
from resnets.data.batches.volumes import VolumeSamples
from resnets.data.loader import Loader
from resnets.data.preprocess import Preprocess
from resnets.data.workers import BadImages

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
OF_THE_LOADER = ("batch_size", "bad", "part", "workers", "pin_memory")


def noise(width, height, chans=3, seed=0):
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (height, width, chans), dtype=np.uint8)


def image_of(pixels):
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def planes(image):
    return np.array(image).reshape(image.height, image.width, -1).transpose(2, 0, 1)


def rule(size=(16, 16), chans=3, **settings):
    return Preprocess(size=size, mean=(0.5,) * chans, std=(0.25,) * chans, **settings)


def picture_loader(split, **settings):
    """A loader of pictures with classes; `settings` are its own and those of its samples."""
    return loader_of(PictureSamples, split, **{"num_classes": 3} | settings)


def dense_loader(split, **settings):
    return loader_of(DenseSamples, split, **settings)


def volume_loader(split, **settings):
    return loader_of(VolumeSamples, split, **settings)


def loader_of(kind, split, **settings):
    own = {name: settings.pop(name) for name in OF_THE_LOADER if name in settings}
    return Loader(samples=kind(split=split, **settings), **{"bad": BadImages(10)} | own)


def same_batches(one, two):
    """Whether images, targets and indices are equal, batch by batch."""
    one, two = list(one), list(two)
    assert len(one) == len(two)
    return all(torch.equal(x, y) for a, b in zip(one, two, strict=True) for x, y in zip(a[:3], b[:3], strict=True))
