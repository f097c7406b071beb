"""Sample images for tests and benchmarks without data: crops of the two photographs that come with scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from resnets.data.pictures.images import MODES

SAMPLES = "parts of scikit-learn's two sample photographs"  # their description in reports


def write_samples(
    folder: Path, num: int, *, size: tuple[int, int] | None = None, in_chans: int = 3, suffix: str = ".jpg"
) -> list[Path]:
    """Write `num` random crops, half of them flipped, as files to the new folder `folder`. They are the same in every call.

    Args:
        size: (width, height) in pixels of all images; default (None): square crops at their original size.
        in_chans: 1, 3 or 4 channels.
        suffix: suffix of the files, which determines their format.

    Returns:
        The paths.
    """
    from sklearn.datasets import load_sample_images

    folder.mkdir(parents=True)
    photographs = [Image.fromarray(pixels).convert(MODES[in_chans]) for pixels in load_sample_images().images]
    shape, least = (size, 0.5) if size else ((1, 1), 0.08)  # 0.08: squares from 34 pixels
    draw, paths = np.random.default_rng(0), []
    for number in range(num):
        whole = photographs[number % len(photographs)]
        scale = draw.uniform(least, 1) * min(side / wanted for side, wanted in zip(whole.size, shape, strict=True))
        width, height = (scale * side for side in shape)
        left, top = draw.uniform(0, whole.width - width), draw.uniform(0, whole.height - height)
        box = (left, top, left + width, top + height)
        part = whole.resize(size or (round(width), round(height)), Image.Resampling.BICUBIC, box)
        paths.append(folder / f"{number:04}{suffix}")
        (ImageOps.mirror(part) if draw.random() < 0.5 else part).save(paths[-1], quality=90)
    return paths
