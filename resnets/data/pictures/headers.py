"""What an image file's header shows before it is decoded: missing rows, too many scans, values that Pillow spreads or cuts.

The images are Pillow's, opened and not loaded. No torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
from PIL import Image, TiffImagePlugin

from resnets.data.pictures.jpeg import jpeg_height

# A progressive JPEG has about ten scans, and each of them is decoded over the whole image. libtiff has the same limit.
MAX_SCANS = 100
HEAD_BYTES = 2**12  # of a JPEG within a TIFF, in which its height is looked for
START_OF_SCAN = b"\xff\xda"  # within compressed data a byte 0xff is followed by 0x00 or a restart marker
# Grey values of few bits, as Pillow names them, and the factor by which it spreads them over 0 to 255.
SPREAD = {"L;2": 85, "L;4": 17}


def check_header(picture: Image.Image, file: BinaryIO) -> None:
    """Raise `ValueError` if `picture`, which was opened from `file`, cannot be decoded whole and in good time."""
    if picture.format in ("JPEG", "MPO"):
        at = file.tell()
        file.seek(0)
        check_scans(file.read())
        file.seek(at)
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        _check_strips(picture, file)


def check_scans(data: bytes) -> None:
    """Raise `ValueError` if the JPEG file `data` has more than `MAX_SCANS` scans."""
    values = np.frombuffer(data, np.uint8)  # three times as fast as data.count
    num = int((values[np.flatnonzero(values[:-1] == START_OF_SCAN[0]) + 1] == START_OF_SCAN[1]).sum())
    if num > MAX_SCANS:
        raise ValueError(f"{num:,} scans, more than the {MAX_SCANS} that are read; save it again")


def _check_strips(picture: TiffImagePlugin.TiffImageFile, file: BinaryIO) -> None:
    """Raise `ValueError` unless the strips or tiles of a TIFF hold all rows; Pillow and libtiff leave missing ones black.

    Of compressed files, libtiff checks all but the height of a JPEG within one. (For the tags: TIFF 6.0, sections 3, 15, 22.)
    """
    tags, compression = picture.tag_v2, picture.info.get("compression")
    if compression not in ("raw", "jpeg"):
        return
    width, height = tags[TiffImagePlugin.IMAGEWIDTH], tags[TiffImagePlugin.IMAGELENGTH]
    bits: Sequence[int] = tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))
    samples = max(tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1), len(bits))
    separate = tags.get(TiffImagePlugin.PLANAR_CONFIGURATION, 1) == 2
    if in_strips := TiffImagePlugin.STRIPOFFSETS in tags:
        keys = TiffImagePlugin.STRIPOFFSETS, TiffImagePlugin.STRIPBYTECOUNTS
        wide, tall = width, min(height, tags.get(TiffImagePlugin.ROWSPERSTRIP, height))
    else:
        keys = TiffImagePlugin.TILEOFFSETS, TiffImagePlugin.TILEBYTECOUNTS
        wide, tall = tags[TiffImagePlugin.TILEWIDTH], tags[TiffImagePlugin.TILELENGTH]
    if min(wide, tall, width, height) < 1:
        raise ValueError("it has strips or tiles without pixels")
    down = math.ceil(height / tall)
    num = math.ceil(width / wide) * down * (samples if separate else 1)
    stored = [offset for offset in tags[keys[0]] if offset]
    if len(stored) < num:
        raise ValueError(f"truncated: {len(stored):,} of its {num:,} strips or tiles are stored")
    row_bits = wide * (bits[0] if separate else sum(bits) if len(bits) > 1 else bits[0] * samples)
    sizes = tags.get(keys[1], ())
    for number, offset in enumerate(stored[:num]):
        last = in_strips and (number + 1) % down == 0
        rows = (height - 1) % tall + 1 if last else tall
        if compression == "jpeg":
            file.seek(offset)
            if (found := jpeg_height(file.read(HEAD_BYTES))) is not None and found < rows:
                raise ValueError(f"truncated: strip or tile {number + 1} holds {found:,} of {rows:,} rows")
        elif number < len(sizes) and 0 < sizes[number] < rows * math.ceil(row_bits / 8):  # some programs write 0
            raise ValueError(f"truncated: strip or tile {number + 1} holds {sizes[number]:,} bytes, less than {rows:,} rows")


def spread(picture: Image.Image) -> int:
    """The factor by which Pillow multiplies the grey values that `picture` stores; 1 unless they have 2 or 4 bits."""
    return SPREAD.get(stored_mode(picture).rstrip("RI"), 1) if picture.mode == "L" else 1


def stored_mode(picture: Image.Image) -> str:
    """How `picture` is stored, as Pillow names it: "L;4", "I;16B", "RGB;16L"; "" where that is not known, or not any more."""
    tiles = getattr(picture, "tile", None)
    raw = tiles[0][3] if tiles else None  # the stored mode, or it and more
    return str(raw if isinstance(raw, str) else raw[0]) if raw else ""
