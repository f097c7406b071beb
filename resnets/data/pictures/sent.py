"""Images and volumes that come as bytes, such as in the body of a request, and examples of both. No torch.

Their names are for people only: no name is ever opened, nor part of a path.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from resnets.data.pictures.images import MODES, BadPicture, open_picture
from resnets.data.pictures.stored import FileImages
from resnets.data.pictures.volume import Volume, nifti_of
from resnets.data.pictures.volumes import Volumes
from resnets.data.preprocess import FREE, Preprocess

GZIP = b"\x1f\x8b"
LARGEST_EXAMPLE = 256  # pixels a side, where inputs may be of any size


class Encoded(NamedTuple):
    """A file that was sent: a printable name, and its bytes."""

    name: str
    content: bytes


class SentPictures:
    """Encoded images in memory.

    Args:
        max_pixels: a larger image is refused by its header, before it is decoded.
    """

    def __init__(self, files: Sequence[Encoded], preprocess: Preprocess, max_pixels: int) -> None:
        self.files, self.in_chans, self.max_pixels = files, preprocess.in_chans, max_pixels

    def name(self, index: int, /) -> str:
        return self.files[index].name

    def picture(self, index: int, preprocess: Preprocess) -> Image.Image:
        """As `open_picture`. Raises `BadPicture` if it cannot be read."""
        name, content = self.files[index]
        return open_picture(BytesIO(content), self.in_chans, name, preprocess.bit_depth, self.max_pixels, preprocess.window)

    def close(self) -> None:
        """Nothing is held."""


class SentVolumes:
    """NIfTI volumes in memory, compressed or not; each is read from a file of our own in a temporary folder, until `close`."""

    def __init__(self, files: Sequence[Encoded], preprocess: Preprocess, max_pixels: int) -> None:
        self.files, self.max_pixels = files, max_pixels
        self.folder = tempfile.TemporaryDirectory(prefix="resnets-volumes-")
        suffixes = (".nii.gz" if file.content.startswith(GZIP) else ".nii" for file in files)
        paths = [Path(self.folder.name, f"{number}{suffix}") for number, suffix in enumerate(suffixes)]
        for path, file in zip(paths, files, strict=True):
            path.write_bytes(file.content)
        self.volumes = Volumes(FileImages(paths, 1), preprocess.in_chans)

    def name(self, index: int, /) -> str:
        return self.files[index].name

    def __getitem__(self, index: int, /) -> Volume:
        name = self.name(index)
        try:
            volume = self.volumes[index]
        except BadPicture as bad:
            raise BadPicture(name, bad.reason) from bad
        if (num := int(np.prod(volume.shape))) > self.max_pixels:
            raise BadPicture(name, f"{num:,} voxels are more than the {self.max_pixels:,} that are read; make it smaller")
        return volume

    def close(self) -> None:
        self.folder.cleanup()


def example_picture(preprocess: Preprocess) -> bytes:
    """An image file of the size and channels that a network takes, of mild noise: one for trying whether all works."""
    most = LARGEST_EXAMPLE if preprocess.resize in FREE else max(preprocess.size)
    height, width = (min(side, most) for side in preprocess.size)
    pixels = np.random.default_rng(0).integers(64, 192, (height, width, preprocess.in_chans), np.uint8)
    file = BytesIO()
    Image.fromarray(pixels[..., 0] if preprocess.in_chans == 1 else pixels, MODES[preprocess.in_chans]).save(file, "PNG")
    return file.getvalue()


def example_volume(preprocess: Preprocess) -> bytes:
    """A NIfTI file of the size of the inputs, or of the training patches."""
    return nifti_of(np.random.default_rng(0).normal(size=(preprocess.in_chans, *preprocess.size)).astype(np.float32)).to_bytes()
