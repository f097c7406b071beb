"""Pictures made of noise, and what turns them about."""

import numpy as np
from PIL import Image

from resnets.data.preprocess import Preprocess

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def noise(width, height, chans=3, seed=0):
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (height, width, chans), dtype=np.uint8)


def image_of(pixels):
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def planes(image):
    return np.array(image).reshape(image.height, image.width, -1).transpose(2, 0, 1)


def rule(size=(16, 16), chans=3, **settings):
    return Preprocess(size=size, mean=(0.5,) * chans, std=(0.25,) * chans, **settings)
