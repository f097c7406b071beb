"""Reading images of any common format as upright 8-bit pixels with a given number of channels.

An image that cannot be read completely raises `BadPicture`; `stored` has sequences of images. An image is a uint8 array
(H, W, C), several of one size (N, H, W, C); C is 1 (grey), 3 (RGB) or 4 (RGBA).
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from resnets.data.pictures.deep import UnfitError, all_bits, has_16_bits, in_8_bits, with_depth
from resnets.data.pictures.dicom import picture as dicom
from resnets.data.pictures.dicom.parse import DicomError
from resnets.data.pictures.headers import check_header, check_scans
from resnets.data.pictures.jpeg import before_scan, read_jpeg
from resnets.errors import InputError
from resnets.files import open_regular, short
from resnets.stores import told

# Only these decoders are used, whatever the suffix: the others are rare, and some start other programs (EPS).
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", dicom.FORMAT)
IMAGE_SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".bmp", ".dib", ".gif", ".tif", ".tiff",
    ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", *dicom.SUFFIXES,
})  # fmt: skip
MAX_PIXELS = 100_000_000  # larger images are refused by their header, before decoding
MAX_PICTURE_BYTES = 1 << 31  # of a file
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
Window = tuple[float, float] | None  # of DICOM: level and width; None: as the file says
# What turns an image upright, by its EXIF orientation; with 1 or an unknown value it is upright.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ORIENTATION_TAG = 0x0112
JPEG = b"\xff\xd8"  # how such a file begins


class BadPicture(InputError):
    """An image that cannot be read. `path` is its printable name, `reason` a few words on what is wrong."""

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        self.path, self.reason = printable(path), reason
        super().__init__(self.path, reason)  # both as arguments, so that it can be pickled in a loader's worker

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def printable(path: str | os.PathLike[str]) -> str:
    """`path` as valid Unicode text: bytes of a file name that are not UTF-8 are escaped; of a copy, its address."""
    return told(os.fspath(path)).encode(errors="backslashreplace").decode()


def mode_of(in_chans: int) -> str:
    """Pillow's mode for images of `in_chans` channels. Raises `InputError` unless that is 1, 3 or 4."""
    if in_chans not in MODES:
        raise InputError(f"in_chans={in_chans}: images have 1 (grey), 3 (RGB) or 4 (RGBA) channels; use one of these")
    return MODES[in_chans]


def open_picture(
    picture: str | os.PathLike[str] | BinaryIO,
    in_chans: int = 3,
    name: str = "image",
    bit_depth: int = 16,
    max_pixels: int | None = None,
    window: Window = None,
) -> Image.Image:
    """Read an image from a path or an open binary file: decoded, upright, 8 bits, `in_chans` channels.

    Of an animation the first frame is read. Transparency is composited over white, unless `in_chans` is 4. Values of 16
    bits become 8 by `bit_depth`, as `Preprocess` says; floats are taken as [0, 1], or, if one is above 1, as [0, 255].

    Args:
        name: name of an open file in error messages.
        max_pixels: a larger image is refused by its header, before it is decoded; default (None): `MAX_PIXELS`.
        window: which values of DICOM become black to white.

    Raises:
        BadPicture: if the file is missing, truncated, of an unknown format or too large, or has values out of range.
        InputError: if `in_chans` is not 1, 3 or 4.
    """
    if isinstance(picture, str | os.PathLike):
        name = os.fspath(picture)
        with blame(name), open_regular(picture, MAX_PICTURE_BYTES) as file:
            # As bytes: a part of a file that claims to have gigabytes would be given memory for these.
            return open_picture(BytesIO(file.read()), in_chans, name, bit_depth, max_pixels, window)
    with blame(name):
        with quiet():
            image: Image.Image = Image.open(picture, formats=FORMATS)
            check_pixels(image.size, name, max_pixels or MAX_PIXELS)
            check_header(image, picture)
        if isinstance(image, dicom.DicomImage):
            image.window = window
        if bit_depth < 16 and not image.mode.startswith("I") and has_16_bits(image):
            with _loading(image):
                image = with_depth(image, picture, bit_depth)
        return convert(image, in_chans, name, bit_depth)


def read_stream(stream: Any) -> tuple[BytesIO, str]:
    """An encoded image from bytes, or from an open file or an answer of a server from where it stands; and what to call it.

    Raises:
        BadPicture: where it is empty, holds more than `MAX_PICTURE_BYTES`, or cannot be read.
        InputError: where it gives no bytes.
    """
    if isinstance(stream, bytes | bytearray | memoryview):
        data, name = bytes(stream), "image"
    else:
        name = found if isinstance(found := getattr(stream, "name", None), str) else "image"
        with blame(name):
            data = stream.read(MAX_PICTURE_BYTES + 1)
        if not isinstance(data, bytes):
            read = "text; open it with mode 'rb'" if isinstance(data, str) else f"{type(data).__name__}; give its bytes"
            raise InputError(f"{printable(name)}: an open file that reads {read}")
    if not data:
        raise BadPicture(name, "empty, or read to its end before; rewind it by seek(0)")
    if len(data) > MAX_PICTURE_BYTES:
        raise BadPicture(name, f"more than the {MAX_PICTURE_BYTES:,} bytes that are read")
    return BytesIO(data), name


def read_picture(
    picture: str | os.PathLike[str] | BinaryIO,
    in_chans: int = 3,
    name: str = "image",
    bit_depth: int = 16,
    window: Window = None,
) -> np.ndarray:
    """As `open_picture`, as a uint8 array (H, W, in_chans)."""
    return pixels_of(open_picture(picture, in_chans, name, bit_depth, window=window))


def read_16_bits(file: BinaryIO, name: str) -> np.ndarray | None:
    """The values of an image of 16 bits, (H, W) or (H, W, 3 or 4), as they are stored; None of other images. Raises
    `BadPicture` where it cannot be read."""
    with blame(name):
        with quiet():
            if not has_16_bits(Image.open(file, formats=FORMATS)):
                return None
            file.seek(0)
            data = BytesIO(file.read())  # as in `open_picture`
            image = Image.open(data, formats=FORMATS)
            check_header(image, data)
        check_pixels(image.size, name, MAX_PIXELS)
        with _loading(image):
            return all_bits(image, data)


def read_quickly(file: BinaryIO, in_chans: int, name: str, bit_depth: int = 16, window: Window = None) -> np.ndarray:
    """As `read_picture`, but faster for most JPEGs, with the same pixels if simplejpeg and Pillow use the same libjpeg."""
    with blame(name):
        data = file.read()
        if data.startswith(JPEG):
            check_scans(data)
        pixels = read_jpeg(data, in_chans, MAX_PIXELS) if _is_upright_jpeg(data) else None
    return read_picture(BytesIO(data), in_chans, name, bit_depth, window) if pixels is None else pixels


def _is_upright_jpeg(data: bytes) -> bool:
    if not data.startswith(JPEG):
        return False
    header = before_scan(data)
    if b"Exif" not in header and b"tiff:Orientation" not in header:  # the two ways to store an orientation
        return True
    with quiet(), Image.open(BytesIO(data), formats=("JPEG",)) as picture:
        pass  # only the header is needed
    return _orientation(picture) not in UPRIGHT


def pixels_of(picture: Image.Image) -> np.ndarray:
    """uint8 (H, W, C)."""
    pixels = np.array(picture)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def convert(picture: Image.Image, in_chans: int, name: str = "image", bit_depth: int = 16) -> Image.Image:
    """Convert a Pillow image as `open_picture` does: upright, 8 bits, `in_chans` channels. Raises the same errors."""
    mode = mode_of(in_chans)
    check_pixels(picture.size, name, MAX_PIXELS)
    with blame(name):
        with _loading(picture):
            picture.load()
        upright = UPRIGHT.get(_orientation(picture))  # after loading: Pillow turns TIFF images then, and removes the tag
        if picture.mode[0] in "IF":
            picture = Image.fromarray(in_8_bits(np.asarray(picture), bit_depth))
        if picture.has_transparency_data:
            picture = _in_mode(picture, "RGBA")
            if mode != "RGBA":
                picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
        elif picture.mode not in ("1", "L"):
            picture = _in_mode(picture, "RGB")  # CMYK, YCbCr and others go through RGB, also to grey or RGBA
        picture = _in_mode(picture, mode)
        return picture if upright is None else picture.transpose(upright)


def check_pixels(size: tuple[int, int], name: str, most: int) -> None:
    """Raise `BadPicture` where an image of `size` (width, height) has more than `most` pixels."""
    width, height = size
    if width * height > most:
        raise BadPicture(name, f"{width} x {height} pixels are more than the {most:,} that are read; make it smaller")


def _loading(picture: Image.Image) -> AbstractContextManager[None]:
    """Only TIFF still reads headers, and warns, while loading. The others are decoded without the lock, in several threads."""
    return quiet() if picture.format == "TIFF" else nullcontext()


def _in_mode(picture: Image.Image, mode: str) -> Image.Image:
    """`picture.convert(mode)`, without the copy that Pillow makes if the image already has the mode."""
    return picture if picture.mode == mode else picture.convert(mode)


def _orientation(picture: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 if there is none or the EXIF block is broken."""
    try:
        with quiet():
            return picture.getexif().get(ORIENTATION_TAG, 1)
    except Exception:
        return 1


@contextmanager
def blame(name: str) -> Iterator[None]:
    """Inside, any exception of a decoder becomes a `BadPicture` with the name `name`."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:  # decoders raise nearly every kind of exception for malformed data
        raise BadPicture(name, _reason(error)) from error


_quiet_lock = threading.RLock()  # reading a header may read a picture: of a Dataset


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress Pillow's warnings about headers. Warning filters are global, so only one thread at a time may change them."""
    with _quiet_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _reason(error: Exception) -> str:
    """What a decoder's exception means, in a few words."""
    text = short(error)
    if isinstance(error, UnidentifiedImageError):
        return f"not an image of a known format ({', '.join(FORMATS)}), or truncated in its header"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than the {MAX_PIXELS:,} pixels that are read; make it smaller"
    if isinstance(error, UnfitError | DicomError):
        return text
    if isinstance(error, OSError) and error.strerror:
        return text.lower()
    cut_off = isinstance(error, EOFError) or "truncated" in text.lower()
    return f"{'truncated' if cut_off else 'cannot be decoded'} ({text})"


def with_channels(images: np.ndarray, in_chans: int) -> np.ndarray:
    """Grey or RGB images, uint8 (N, H, W) or (N, H, W, 1 or 3) -> uint8 (N, H, W, in_chans), converted as by Pillow."""
    mode = mode_of(in_chans)
    num, height, width = images.shape[:3]
    if images.size == num * height * width * in_chans:
        return np.ascontiguousarray(images.reshape(num, height, width, in_chans))
    tall = images.reshape(num * height, width, -1)  # all of them as one tall image
    picture = Image.fromarray(tall[:, :, 0] if tall.shape[2] == 1 else tall).convert(mode)
    return pixels_of(picture).reshape(num, height, width, in_chans)
