"""Plain JPEGs for training, in less time than Pillow takes and with the same pixels. No torch.

simplejpeg's libjpeg-turbo writes rows of RGB at once, without Pillow's four bytes a pixel and without a copy. Whatever is not
as plain as most photographs are goes to Pillow, which then reads it or says why it cannot.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

import numpy as np

PLAIN = {("YCbCr", 3): "RGB", ("RGB", 3): "RGB", ("Gray", 3): "RGB", ("Gray", 1): "GRAY"}  # (as stored, in_chans) -> as read


def read_jpeg(data: bytes, in_chans: int, max_pixels: int) -> np.ndarray | None:
    """The pixels of a JPEG file, uint8 (H, W, in_chans); None where Pillow is needed, whatever the reason."""
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
    """What stands in a JPEG before its compressed pixels; all of it where that does not follow the rules."""
    at = 2
    while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] != b"\xda":
        at += 2 + int.from_bytes(data[at + 2 : at + 4])  # a marker of two bytes, then a segment that begins with its length
    return data[:at] if data[at : at + 1] == b"\xff" else data


@cache
def simplejpeg() -> ModuleType | None:
    """The library, where it is installed."""
    try:
        import simplejpeg
    except ImportError:
        return None
    return simplejpeg
