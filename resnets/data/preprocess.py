"""`Preprocess`: how an image becomes the input of a network, as plain data. No torch."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from resnets.data import window_levels
from resnets.errors import InputError, check_choices, is_whole
from resnets.files import short

# The allowed values of each field that is a choice.
CHOICES: dict[str, tuple[str, ...]] = {
    "resize": ("crop", "pad", "squash", "shorter", "keep"),
    "interpolation": ("bilinear", "bicubic"),
}
FREE = ("shorter", "keep")  # resize rules for inputs of any size, which keep the aspect ratio
MAX_SIDE, MAX_VALUES = 8192, 1 << 26  # of an input: the longest side, and pixels or voxels in all
MAX_LENGTH, MAX_RATE = 1 << 22, 1 << 24  # of a series: values of a channel, and values per second
LEAST_CROP = 0.1  # images are resized to size / crop_pct; published values are 0.8 and more
MOST = 1e9  # in ranges of volumes
LEAST_STD = 1e-6  # smaller ones make infinite inputs
BIT_DEPTHS = range(8, 17)
Range = tuple[float, float, float, float]  # of a channel of volumes: lowest, highest, mean, standard deviation
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocess:
    """How an image becomes the input of a network, in evaluation, prediction and export alike.

    The image is turned upright (EXIF), converted to `in_chans` channels of 8 bits (of an image of 16 bits by `bit_depth`),
    resized to `size` by the rule `resize`, scaled to [0, 1], and normalised as (x - mean) / std.

    Args:
        size: (height, width) of the input in pixels; of a series (length,). For volumes, whose inputs may have any size,
            (depth, height, width) of the training patches in voxels.
        resize: "crop" (the shorter side to size / crop_pct, then a centre crop), "pad" (the longer side to size, then padding
            with the mean colour, which is 0 after normalisation), "squash" (both sides to size; the aspect ratio changes).
            For dense prediction (boxes or masks) inputs of any size: "shorter" (the shorter side to size[0], or less if the
            longer side would exceed size[1]), "keep" (the image's own size). Of series see `data.series.series.fit_series`.
        crop_pct: for "crop": side of the crop as a fraction of the resized image, in (0, 1].
        interpolation: "bilinear" or "bicubic", with antialiasing, as in Pillow.
        mean: one value per channel, in [0, 1]; or one per value of the input, in the order (channel, row, column), for the
            per-pixel mean of He et al. (2015, section 4.2). Of series in the units of their values.
        std: standard deviation, one value per channel, above 0.
        bit_depth: of images of 16 bits, how many of these their values use, 8 to 16 (DICOM's "bits stored"): 2**bit_depth - 1
            becomes white. Other images have no use for it.
        window: (level, width) of the values that become black to white in DICOM, and to which volumes are clipped; None: as
            the file says, and all values of volumes.
        each: of series, each channel is normalised by its own mean and standard deviation instead.
        spacing: of volumes, (depth, height, width) of a voxel in mm, to which they are resampled; None: as they are.
        ranges: of volumes, for each channel (lowest, highest, mean, std) in the unit of its values, which are clipped to the
            first two and become (x - mean) / std; None: by the mean and the standard deviation of the volume itself.
        rate: of series, values per second that files have to have; None: any, or not known.

    Raises:
        InputError: for a value out of range.
    """

    size: tuple[int, ...] = (224, 224)
    resize: str = "crop"
    crop_pct: float = 0.875
    interpolation: str = "bilinear"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    bit_depth: int = 16
    window: tuple[float, float] | None = None
    each: bool = False
    rate: int | None = None
    spacing: tuple[float, ...] | None = None
    ranges: tuple[Range | None, ...] | None = None

    def __post_init__(self) -> None:
        check_choices(self, CHOICES)
        for field, kind in (("size", int), ("mean", float), ("std", float)):
            values = getattr(self, field)
            if isinstance(values, str | bytes | dict):
                raise InputError(f"{field}={short(values)}: give a list of numbers")
            try:
                object.__setattr__(self, field, tuple(kind(value) for value in values))
            except (TypeError, ValueError, OverflowError):
                raise InputError(f"{field}={short(values)}: give a list of numbers") from None
        most = MAX_LENGTH if len(self.size) == 1 else MAX_SIDE
        if not 1 <= len(self.size) <= 3 or min(self.size) < 1 or max(self.size) > most or math.prod(self.size) > MAX_VALUES:
            raise InputError(
                f"size={short(self.size)}: give height and width in pixels (for volumes depth first, of series the length), "
                f"each from 1 to {most:,}, and at most {MAX_VALUES:,} in all"
            )
        if not isinstance(self.crop_pct, int | float) or not LEAST_CROP <= self.crop_pct <= 1:
            raise InputError(f"crop_pct={short(self.crop_pct)}: give a fraction from {LEAST_CROP} to 1")
        if not is_whole(self.bit_depth) or self.bit_depth not in BIT_DEPTHS:
            raise InputError(f"bit_depth={short(self.bit_depth)}: give a number of bits from 8 to 16")
        if self.window is not None:
            object.__setattr__(self, "window", window_levels.parsed(self.window))
        if self.spacing is not None:
            object.__setattr__(self, "spacing", _numbers(self.spacing, 3, "spacing"))
        if self.ranges is not None:
            object.__setattr__(self, "ranges", _ranges(self.ranges, len(self.std)))
        if not isinstance(self.each, bool):
            raise InputError(f"each={short(self.each)}: give true or false")
        if self.rate is not None and not (is_whole(self.rate) and 1 <= self.rate <= MAX_RATE):
            raise InputError(f"rate={short(self.rate)}: give values per second, from 1 to {MAX_RATE:,}")
        if len(self.mean) not in (len(self.std), len(self.std) * math.prod(self.size)):
            raise InputError(f"mean has {len(self.mean)} values and std {len(self.std)}: give one per channel")
        if not all(abs(value) <= 1 / LEAST_STD for value in self.mean):
            raise InputError(f"mean={short(self.mean)}: give finite numbers; compute them from images in [0, 1]")
        if not all(LEAST_STD <= value <= 1 / LEAST_STD for value in self.std):
            raise InputError(f"std={short(self.std)}: give numbers of at least {LEAST_STD}; compute them from images in [0, 1]")

    def to_json(self) -> dict[str, Any]:
        """The fields as plain data; without what is usual of those that version 0.1.0 does not know."""
        usual = {"bit_depth": BIT_DEPTHS[-1], "window": None, "each": False, "rate": None}
        usual |= {"spacing": None, "ranges": None}
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in usual or value != usual[name]}

    @property
    def in_chans(self) -> int:
        return len(self.std)

    @property
    def keeps_whole(self) -> bool:
        """Whether a picture of the input's size stays as it is."""
        return self.resize != "crop" or self.crop_pct == 1


def _numbers(values: Any, num: int, name: str) -> tuple[float, ...]:
    """`num` numbers of at most `MOST`, the last of them at least `LEAST_STD`; of spacings all. Raises `InputError`."""
    try:
        found = tuple(float(value) for value in values)
    except (TypeError, ValueError, OverflowError):
        found = ()
    positive = found if name == "spacing" else found[-1:]
    if len(found) != num or not all(abs(value) <= MOST for value in found) or min(positive, default=0) < LEAST_STD:
        raise InputError(f"{name}={short(values)}: give {num} numbers, {'all' if name == 'spacing' else 'the last'} above 0")
    return found


def _ranges(values: Any, num: int) -> tuple[Range | None, ...]:
    if not isinstance(values, list | tuple) or len(values) != num:
        raise InputError(f"ranges={short(values)}: give one for each channel, or null")
    found: Any = tuple(None if each is None else _numbers(each, 4, "ranges") for each in values)
    if wrong := [each for each in found if each is not None and not each[0] < each[1]]:
        raise InputError(f"ranges={short(wrong[0])}: the lowest value is not below the highest")
    return found
