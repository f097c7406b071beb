"""How one picture becomes one input. No torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from resnets.errors import InputError, check_choices

# What may stand in a field that is a choice.
CHOICES: dict[str, tuple[str, ...]] = {
    "resize": ("crop", "pad", "squash", "shorter", "keep"),
    "interpolation": ("bilinear", "bicubic"),
}
FREE = ("shorter", "keep")  # rules of resizing that leave a picture its shape
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocess:
    """How one picture becomes one input: the same in training's evaluation, prediction, serving and export.

    The picture is turned upright, brought to `in_chans` channels of 8 bits, resized to `size` by way of `resize`, scaled to
    [0, 1], and normalised as (x - mean) / std.

    Args:
        size: height and width of the input, in pixels; of volumes, which come at any size, depth, height and width of the
            patches that training sees, in voxels.
        resize: "crop" (the short side to size / crop_pct, then the middle), "pad" (the long side to size, then zeros
            after normalising, that is the mean, around it), "squash" (both sides to size; the shape is not kept). For tasks
            that say where things are, inputs of any size: "shorter" (the shorter side to size[0], unless the longer would be
            over size[1]), "keep" (as it is).
        crop_pct: for "crop": the share of the resized picture that the crop keeps, in (0, 1].
        interpolation: Pillow's "bilinear" or "bicubic", antialiased.
        mean: one value a channel, or one for every value of the input in (channel, row, column) order: the per-pixel
            mean of He et al. (2015, section 4.2).
        std: one value a channel.
    """

    size: tuple[int, ...] = (224, 224)
    resize: str = "crop"
    crop_pct: float = 0.875
    interpolation: str = "bilinear"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def __post_init__(self) -> None:
        check_choices(self, CHOICES)
        for field, kind in (("size", int), ("mean", float), ("std", float)):
            object.__setattr__(self, field, tuple(kind(value) for value in getattr(self, field)))
        if len(self.size) not in (2, 3) or min(self.size) < 1:
            raise InputError(f"size={self.size}: give height and width in pixels (of volumes depth first), each at least 1")
        if not 0 < self.crop_pct <= 1:
            raise InputError(f"crop_pct={self.crop_pct}: give a share above 0 and at most 1")
        if len(self.mean) not in (len(self.std), len(self.std) * math.prod(self.size)):
            raise InputError(f"mean has {len(self.mean)} values and std {len(self.std)}: give one a channel")
        if not all(math.isfinite(value) for value in self.mean) or not all(0 < value < math.inf for value in self.std):
            raise InputError("mean must be finite, and std finite and above zero; compute them from pictures in [0, 1]")

    @property
    def in_chans(self) -> int:
        return len(self.std)
