"""Reading and resizing an image for the network, up to but without normalisation: uint8 (C, H, W). No torch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from PIL import Image

from resnets.data.pictures.images import MODES, Window, convert, open_picture, read_stream
from resnets.data.preprocess import FREE, Preprocess
from resnets.errors import InputError
from resnets.files import check_no_address

Picture: TypeAlias = "str | os.PathLike[str] | bytes | BinaryIO | Image.Image | np.ndarray"
GIVE = "give a path, the bytes of a file, an open file, a PIL.Image or a uint8 array (H, W, C)"

RESAMPLE = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def fit_picture(picture: Picture, preprocess: Preprocess) -> np.ndarray:
    """Read and resize one image for the network: uint8 (C, H, W), channels last in memory.

    Args:
        picture: see `as_image`.
        preprocess: the input's size and channels, and how to resize.

    Raises:
        InputError: if it cannot be read, or is none of these.
    """
    image = as_image(picture, preprocess.in_chans, preprocess.bit_depth, preprocess.window)
    return to_array(fit_image(image, preprocess), preprocess)


def as_image(picture: Picture, in_chans: int, bit_depth: int = 16, window: Window = None) -> Image.Image:
    """An image as an upright Pillow image of `in_chans` channels.

    Args:
        picture: a path; the bytes of an image file, or an open file (`BytesIO`, an upload, an answer of `urlopen`), which is
            read from where it stands; a `PIL.Image`; or a uint8 array (H, W) or (H, W, C), C in the order RGB or RGBA.

    Raises:
        BadPicture: if it cannot be read.
        InputError: if it is none of these, or an address: nothing is fetched.
    """
    if isinstance(picture, str | os.PathLike):
        check_no_address(picture, "give its bytes: urllib.request.urlopen(ADDRESS).read()")
        return open_picture(picture, in_chans, bit_depth=bit_depth, window=window)
    if isinstance(picture, bytes | bytearray | memoryview) or is_open(picture):
        file, name = read_stream(picture)
        return open_picture(file, in_chans, name, bit_depth, window=window)
    if isinstance(picture, np.ndarray):
        channels = picture.shape[2] if picture.ndim == 3 else 1
        if picture.dtype != np.uint8 or picture.ndim not in (2, 3) or channels not in MODES or not picture.size:
            raise InputError(
                f"an array of {picture.dtype} and shape {picture.shape} is not an image; give uint8 (H, W) or (H, W, 1, 3 or "
                "4), several as (N, H, W, C)"
            )
        picture = Image.fromarray(picture[..., 0] if picture.ndim == 3 and picture.shape[2] == 1 else picture)
    if not isinstance(picture, Image.Image):
        raise InputError(f"{type(picture).__name__} is not an image; {GIVE}")
    return convert(picture, in_chans, bit_depth=bit_depth)


def is_open(value: Any) -> bool:
    """Whether it is an open file, or what can be read like one."""
    return callable(getattr(value, "read", None))


def listed(pictures: Any) -> list[Any]:
    """One image, or several in a sequence or an array (N, H, W, C), as a list of what `as_image` takes.

    Raises:
        InputError: where it is neither.
    """
    if isinstance(pictures, np.ndarray) and pictures.ndim in (1, 4):
        return list(pictures)
    one = str | os.PathLike | bytes | bytearray | memoryview | Image.Image | Mapping
    if isinstance(pictures, one) or is_open(pictures) or hasattr(pictures, "__array__") or not isinstance(pictures, Iterable):
        return [pictures]
    return list(pictures)


def fit_image(image: Image.Image, preprocess: Preprocess) -> Image.Image:
    """Resize by the rule `preprocess.resize`. With "pad" the result may be smaller along one axis; `to_array` pads it."""
    height, width = preprocess.size
    resample = RESAMPLE[preprocess.interpolation]
    if preprocess.resize in FREE:
        return resized(image, fitted_size((image.height, image.width), preprocess)[::-1], resample)
    if preprocess.resize == "squash":
        return resized(image, (width, height), resample)
    if preprocess.resize == "pad":
        scale = min(width / image.width, height / image.height)
        return resized(image, (clamp(image.width * scale, width), clamp(image.height * scale, height)), resample)
    image = before_crop(image, preprocess)
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)  # as torchvision rounds
    return image.crop((left, top, left + width, top + height))


def fitted_size(size: tuple[int, int], preprocess: Preprocess) -> tuple[int, int]:
    """The input size (H, W) for an image of `size` (H, W), by the rule "shorter" or "keep"."""
    if preprocess.resize == "keep":
        return size
    shorter, longest = preprocess.size
    scale = min(shorter / min(size), longest / max(size))
    height, width = (max(1, round(side * scale)) for side in size)
    return height, width


def before_crop(image: Image.Image, preprocess: Preprocess) -> Image.Image:
    """The resized image from which the rule "crop" takes the centre."""
    height, width = (whole(side / preprocess.crop_pct) for side in preprocess.size)
    return covering(image, (height, width), RESAMPLE[preprocess.interpolation])


def covering(image: Image.Image, size: tuple[int, int], resample: Image.Resampling) -> Image.Image:
    """Resize to the smallest size that covers `size` (height, width), keeping the aspect ratio.

    Of an image more than four times as long as wide, only the middle is kept.
    """
    height, width = size
    image = middle(image, longest=4 * min(image.size))
    scale = max(width / image.width, height / image.height)
    # Rounded down, as in torchvision.
    return resized(image, (max(width, whole(image.width * scale)), max(height, whole(image.height * scale))), resample)


def whole(length: float) -> int:
    """Round down, with a tolerance for floating-point errors."""
    return int(length + 1e-6)


def middle(image: Image.Image, longest: int) -> Image.Image:
    """Crop the middle so that no side exceeds `longest`. Otherwise resizing a very long image could take all memory."""
    wide, high = min(image.width, longest), min(image.height, longest)
    left, top = (image.width - wide) // 2, (image.height - high) // 2
    return image if image.size == (wide, high) else image.crop((left, top, left + wide, top + high))


def clamp(length: float, most: int) -> int:
    """`length` rounded, at least 1 and at most `most`."""
    return max(1, min(most, round(length)))


def resized(image: Image.Image, size: tuple[int, int], resample: Image.Resampling) -> Image.Image:
    return image if image.size == size else image.resize(size, resample)


def to_array(image: Image.Image, preprocess: Preprocess) -> np.ndarray:
    """A Pillow image as uint8 (C, H, W); if it is smaller than the input, it is centred and padded with the mean colour."""
    pixels = planes(image)
    height, width = preprocess.size
    if pixels.shape[1:] == (height, width) or preprocess.resize in FREE:
        return pixels
    colour = (mean_array(preprocess) * 255).round().astype(np.uint8)
    canvas = np.empty((height, width, preprocess.in_chans), np.uint8).transpose(2, 0, 1)
    canvas[:] = colour
    top, left = (height - pixels.shape[1]) // 2, (width - pixels.shape[2]) // 2
    canvas[:, top : top + pixels.shape[1], left : left + pixels.shape[2]] = pixels
    return canvas


def planes(image: Image.Image) -> np.ndarray:
    """A Pillow image -> uint8 (C, H, W), channels last in memory."""
    return np.array(image).reshape(image.height, image.width, -1).transpose(2, 0, 1)


@cache
def mean_array(preprocess: Preprocess) -> np.ndarray:
    """The mean in [0, 1] as float32 (C, 1, 1), or (C, H, W) if it is per pixel. Read-only, because it is cached."""
    per_channel = len(preprocess.mean) == preprocess.in_chans
    shape = (preprocess.in_chans, 1, 1) if per_channel else (preprocess.in_chans, *preprocess.size)
    mean = np.array(preprocess.mean, dtype=np.float32).reshape(shape)
    mean.flags.writeable = False
    return mean
