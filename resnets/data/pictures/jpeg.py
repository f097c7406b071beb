"""Fast decoding of common JPEGs for training, with the same pixels as Pillow's. No torch.

simplejpeg (libjpeg-turbo) decodes directly to RGB, without Pillow's intermediate four bytes per pixel and its copy. Unusual
JPEGs are left to Pillow, which reads them or says why it cannot.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

import numpy as np

PLAIN = {("YCbCr", 3): "RGB", ("RGB", 3): "RGB", ("Gray", 3): "RGB", ("Gray", 1): "GRAY"}  # (stored, in_chans) -> decoded as

FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # markers of frame headers


def read_jpeg(data: bytes, in_chans: int, max_pixels: int) -> np.ndarray | None:
    """Decode a JPEG file to uint8 (H, W, in_chans); None if Pillow must read it, for any reason."""
    codec = simplejpeg()
    if codec is None:
        return None
    try:
        height, width, stored, _ = codec.decode_jpeg_header(data)
        wanted = PLAIN.get((stored, in_chans))
        if wanted is None or height * width > max_pixels:
            return None
        return codec.decode_jpeg(data, wanted)  # strict: a warning is an error too
    except ValueError:
        return None


def before_scan(data: bytes) -> bytes:
    """The bytes of a JPEG before its compressed pixels; all bytes if the file is malformed."""
    at = 2
    while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] != b"\xda":
        at += 2 + int.from_bytes(data[at + 2 : at + 4])  # a marker of two bytes, and a segment that begins with its length
    return data[:at] if data[at : at + 1] == b"\xff" else data


def jpeg_height(data: bytes) -> int | None:
    """The height in pixels that a JPEG's frame header states; None if there is none in `data`."""
    at = 2
    while data[at : at + 1] == b"\xff" and len(data) >= at + 9:
        if data[at + 1] in FRAMES:
            return int.from_bytes(data[at + 5 : at + 7])
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return None


@cache
def simplejpeg() -> ModuleType | None:
    """The library simplejpeg, or None if it is not installed."""
    try:
        import simplejpeg
    except ImportError:
        return None
    return simplejpeg
