"""Reading and resizing an image for the network, up to but without normalisation: uint8 (C, H, W). No torch."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from PIL import Image

from resnets.data.pictures.images import MODES, Window, convert, open_picture, read_stream
from resnets.data.preprocess import FREE, Preprocess
from resnets.errors import InputError
from resnets.files import check_no_address

Picture: TypeAlias = "str | os.PathLike[str] | bytes | BinaryIO | Image.Image | np.ndarray | Any"  # Any: a torch.Tensor
GIVE = "give a path, the bytes of a file, an open file, a PIL.Image, a uint8 array (H, W, C) or a tensor (C, H, W)"

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
            read from where it stands; a `PIL.Image`; a uint8 array (H, W), (H, W, C) or (C, H, W), C in the order RGB or RGBA;
            or a tensor, see `of_tensor`.

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
    if is_tensor(picture):
        picture = of_tensor(picture)
    if isinstance(picture, np.ndarray):
        picture = channels_last(picture)
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


def is_tensor(value: Any) -> bool:
    """Whether it is a `torch.Tensor`; who has one has imported torch."""
    return "torch" in sys.modules and isinstance(value, sys.modules["torch"].Tensor)


def in_numpy(value: Any) -> Any:
    """An array instead of a tensor, on whatever device; anything else as it is."""
    return value.detach().cpu().numpy() if is_tensor(value) else value


def of_tensor(tensor: Any) -> np.ndarray:
    """A tensor as a uint8 array (H, W) or (H, W, C).

    Args:
        tensor: (H, W), (C, H, W) or (H, W, C), on any device, uint8; or floats as `ToTensor` makes them of 8 bits: multiples of
            1/255 from 0 to 1.

    Raises:
        InputError: for other values, such as normalised ones: the pixels behind them are not known.
    """
    values: np.ndarray = in_numpy(tensor)
    if values.dtype.kind == "f":
        scaled = values * 255.0
        whole = np.rint(scaled)
        if not (np.abs(scaled - whole) < 0.01).all() or whole.min(initial=0) < 0 or whole.max(initial=0) > 255:
            raise InputError(
                "a tensor of floats that are no multiples of 1/255 from 0 to 1, so it was normalised or resized; give uint8, "
                "or what ToTensor makes of a picture: the model brings its own normalisation"
            )
        values = whole.astype(np.uint8)
    return channels_last(values, first=True)


def channels_last(values: np.ndarray, *, first: bool = False) -> np.ndarray:
    """(C, H, W) as (H, W, C), where only the first axis can be the channels, or with `first` where it can; else as it is."""
    if values.ndim == 3 and values.shape[0] in MODES and (first or min(values.shape[1:]) > max(MODES)):
        return np.ascontiguousarray(values.transpose(1, 2, 0))
    return values


def is_open(value: Any) -> bool:
    """Whether it is an open file, or what can be read like one."""
    return callable(getattr(value, "read", None))


ORDERS = ("rgb", "bgr")


def listed(pictures: Any, channel_order: str = "rgb") -> list[Any]:
    """One image, or several in a sequence, an array (N, H, W, C) or a tensor (N, C, H, W), as a list of what `as_image` takes.

    Args:
        channel_order: of arrays and tensors: "rgb" (with opacity "rgba"), or "bgr", as OpenCV has them; files say theirs.

    Raises:
        InputError: for another order, and for one where no image has any.
    """
    return _listed(pictures) if channel_order == ORDERS[0] else in_order(_listed(pictures), channel_order)


def in_order(each: list[Any], channel_order: str) -> list[Any]:
    """The images with the arrays and tensors among them in RGB. Raises as `listed`."""
    if channel_order not in ORDERS:
        raise InputError(f"channel_order={channel_order!r}: give one of {', '.join(ORDERS)}")
    if not any(map(has_order, each)):
        raise InputError(f"channel_order={channel_order} has no effect on files, only on arrays and tensors; leave it out")
    return [in_rgb(picture) if has_order(picture) else picture for picture in each]


def has_order(picture: Any) -> bool:
    return isinstance(picture, np.ndarray) or is_tensor(picture)


def in_rgb(picture: Any) -> np.ndarray:
    """An array or tensor whose first three channels are blue, green and red, as an array in RGB."""
    values = of_tensor(picture) if is_tensor(picture) else channels_last(picture)
    if values.ndim != 3 or values.shape[2] not in (3, 4):
        return values
    return values[..., [2, 1, 0, 3][: values.shape[2]]]


def _listed(pictures: Any) -> list[Any]:
    if (isinstance(pictures, np.ndarray) and pictures.ndim in (1, 4)) or (is_tensor(pictures) and pictures.ndim == 4):
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
