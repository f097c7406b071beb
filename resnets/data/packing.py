"""Shards written: pictures resized and encoded for a tar, and the tar read back by the reader before it has its name. No torch.

The same pictures and the same `Rule` give the same bytes, with one version of Pillow.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from resnets.data.pictures.deep import has_16_bits
from resnets.data.pictures.dicom.picture import FORMAT as DICOM
from resnets.data.pictures.images import FORMATS, blame, open_picture, quiet, read_picture
from resnets.data.pictures.stored import ArrayImages, StoredImages
from resnets.data.readers.tars import Packed, Sample, read_index
from resnets.errors import InputError
from resnets.files import replacing

# How pictures are written, by the name of the format: Pillow's format and what it is told.
WRITTEN: dict[str, tuple[str, dict[str, Any]]] = {
    "jpeg": ("JPEG", {}),
    "png": ("PNG", {}),
    "webp": ("WEBP", {"lossless": True, "exact": True}),
}
KEEP = "keep"  # bytes as they are; what has to be resized in the format nearest to its own
CHOICES = (*WRITTEN, KEEP)
LOSSY = ("JPEG", "MPO")  # which "keep" resizes to JPEG, others to PNG
SUFFIXES = {
    "JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "WEBP": ".webp", "BMP": ".bmp", "GIF": ".gif", "TIFF": ".tif",
    "PPM": ".ppm", DICOM: ".dcm",
}  # fmt: skip
RESAMPLE = Image.Resampling.BICUBIC  # with antialiasing, as Pillow has it


@dataclass(frozen=True)
class Rule:
    """How pictures are packed.

    Args:
        size: pixels of the shorter side; larger pictures are made so small, smaller ones stay. None: nothing is resized.
        format: of `CHOICES`.
        quality: of JPEG, 1 to 100.
    """

    size: int | None
    format: str
    quality: int

    def resized(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of a picture in the tar, in pixels."""
        shorter = min(width, height)
        if self.size is None or shorter <= self.size:
            return width, height
        return round(width * self.size / shorter), round(height * self.size / shorter)


class Encoded(NamedTuple):
    """A picture for a tar: its bytes, the suffix of its format, (width, height) as stored, and whether the bytes are those of
    its file."""

    content: bytes
    suffix: str
    size: tuple[int, int]
    is_kept: bool


def encode(images: Any, index: int, rule: Rule) -> Encoded:
    """A picture as the rule says. Its bytes stay where nothing has to be resized and the format is right; and always of those
    of more than 8 bits (16 bits, floats, DICOM), of which resizing would lose some. Every picture is decoded whole.

    Raises:
        BadPicture: if it cannot be read.
    """
    if isinstance(images, ArrayImages):
        pixels = images[index]
        return _written(Image.fromarray(pixels if pixels.shape[2] > 1 else pixels[:, :, 0]), rule, "PNG")
    assert isinstance(images, StoredImages)
    name = images.name(index)
    with blame(name), images.open(index) as file:
        content = file.read()
    with blame(name), quiet():
        header = Image.open(BytesIO(content), formats=FORMATS)
        own = header.format or ""
        deep = own == DICOM or header.mode[0] in "IF" or has_16_bits(header)
        transparent = header.has_transparency_data
    if deep:
        read_picture(BytesIO(content), images.in_chans, name, images.bit_depth, images.window)
        return Encoded(content, SUFFIXES[own], header.size, True)
    goal = _format(rule, own)
    grey = header.mode in ("1", "L", "LA")
    picture = open_picture(BytesIO(content), 4 if transparent and goal != "jpeg" else 1 if grey else 3, name)
    if rule.resized(*picture.size) == picture.size and (rule.format == KEEP or own.replace("MPO", "JPEG") == WRITTEN[goal][0]):
        return Encoded(content, SUFFIXES[own], header.size, True)
    return _written(picture, rule, own)


def _format(rule: Rule, own: str) -> str:
    """The format, of `WRITTEN`, of a picture whose own is `own`."""
    return ("jpeg" if own in LOSSY else "png") if rule.format == KEEP else rule.format


def _written(picture: Image.Image, rule: Rule, own: str) -> Encoded:
    """An upright picture of 8 bits, resized and encoded."""
    if (size := rule.resized(*picture.size)) != picture.size:
        picture = picture.resize(size, RESAMPLE)
    name, options = WRITTEN[_format(rule, own)]
    file = BytesIO()
    picture.save(file, name, **options, **({"quality": rule.quality} if name == "JPEG" else {}))
    return Encoded(file.getvalue(), SUFFIXES[name], picture.size, False)


# --- tars ---


class Entry(NamedTuple):
    """A picture with what KEY.json says of it."""

    picture: Encoded
    label: Any
    packed: Packed

    @property
    def key(self) -> str:
        return f"{self.packed.position:09}"

    @property
    def json(self) -> bytes:
        packed = {name: value for name, value in self.packed._asdict().items() if value is not None}
        return json.dumps({"label": self.label, "packed": packed}, separators=(",", ":")).encode()


class Tar(NamedTuple):
    """A tar that was written: its pictures, how many of them have the bytes of their file, its size in bytes, its checksum."""

    num_images: int
    num_kept: int
    num_bytes: int
    sha256: str


def write_tar(path: Path, entries: Iterable[Entry]) -> Tar:
    """Write a shard, which is complete and read back, or not there.

    Raises:
        InputError: if it cannot be written, or what was written is not what is read.
    """
    told: list[tuple[Sample, int, tuple[int, int]]] = []
    kept = 0
    with replacing(path) as half:
        with tarfile.open(half, "w", format=tarfile.USTAR_FORMAT) as tar:
            for entry in entries:
                content = entry.picture.content
                sample = Sample(entry.key + entry.picture.suffix, 0, len(content), entry.label, entry.packed)
                told.append((sample, zlib.crc32(content), entry.picture.size))
                kept += entry.picture.is_kept
                for suffix, data in ((entry.picture.suffix, content), (".json", entry.json)):
                    member = tarfile.TarInfo(entry.key + suffix)
                    member.size = len(data)
                    tar.addfile(member, BytesIO(data))
        with half.open("rb") as file:
            found = read_index(file, str(path))
            same = [sample._replace(offset=0) for sample in found] == [sample for sample, *_ in told]
            for sample, (_, checksum, size) in zip(found, told, strict=same):
                file.seek(sample.offset)
                content = file.read(sample.size)
                with quiet(), Image.open(BytesIO(content), formats=FORMATS) as picture:
                    same &= zlib.crc32(content) == checksum and picture.size == size
            if not same:
                raise InputError(f"{path}: what is read is not what was written; check the disk, and start again by --resume")
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        num_bytes = half.stat().st_size
    return Tar(len(told), kept, num_bytes, digest)


def mean_bytes(images: Any, rule: Rule, most: int = 100) -> float:
    """What a picture takes in a tar on average, by a sample that is always the same; unreadable ones are left out."""
    chosen = np.unique(np.linspace(0, len(images) - 1, most).astype(int))
    sizes = []
    for index in chosen.tolist():
        try:
            sizes.append(len(encode(images, index, rule).content))
        except InputError:
            continue
    # A header and padding of each of the two members, and the padded JSON.
    return (float(np.mean(sizes)) if sizes else 0.0) + 4.5 * tarfile.BLOCKSIZE
