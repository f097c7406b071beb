"""What images are called, by what they are: series, pictures or volumes. No torch, no NumPy."""

from __future__ import annotations

import re
from typing import Any

IMAGES_OF = {1: "series", 2: "pictures", 3: "volumes"}  # what images are called, by their spatial axes
PICTURES = IMAGES_OF[2]
FILES_OF = {"series": "series.npz", "pictures": "photo.jpg", "volumes": "volume.nii.gz"}  # names of files, in examples
# What words about pictures are of other images.
WORDS = {
    "series": {"picture": "series", "pictures": "series", "images": "series"},
    "volumes": {"picture": "volume", "pictures": "volumes", "images": "volumes", "pixel": "voxel", "pixels": "voxels"},
}
_WORD = re.compile(r"\b(?:pictures?|images|pixels?)\b")


def called(images: Any) -> str:
    """What the images of a split are called, of `IMAGES_OF`."""
    return str(getattr(images, "called", PICTURES))


def worded(text: str, images: str) -> str:
    """A text of ours about pictures as one about `images` (of `IMAGES_OF`): "pixel accuracy" of volumes is "voxel accuracy"."""
    others = WORDS.get(images, {})
    return _WORD.sub(lambda found: others.get(found[0], found[0]), text)
