"""Training's changes to a picture and its boxes or mask, evaluation's resize and its undoing, and batches of many sizes.

Pictures come as uint8 (H, W, C) and leave as uint8 (C, H, W); targets are `dense.Boxes` or class indices (H, W).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resnets.data.pictures.resize import fitted_size
from resnets.data.preprocess import Preprocess
from resnets.data.randomness import mix_seed, seeded
from resnets.data.readers.label_rules import LEAST_LEFT, clip_boxes
from resnets.data.targets import IGNORE, Boxes
from resnets.data.transforms import resize

Size = tuple[int, int]  # (H, W) in pixels
Target = Boxes | np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class DenseAugment:
    """What training does to a picture and its target, a pure function of (seed, epoch, index).

    Args:
        preprocess: whose rule says the size of a picture's input.
        scales: shares of that size, of which one is drawn (multi-scale training, as in Detectron).
        hflip: probability of exchanging left and right.
        vflip: of exchanging top and bottom, for what is seen from above or through a microscope.
        crop: (H, W) of a random window, which shows `fill` beyond the picture, to be ignored; None: all of the picture.
        least: share of a box's area that a crop must leave to keep it.
        jitter: most by which brightness, contrast and saturation change, as a share; 0: never.
        fill: the colour around a picture that is smaller than the crop, one value a channel.
    """

    preprocess: Preprocess
    scales: tuple[float, ...] = (1.0,)
    hflip: float = 0.5
    vflip: float = 0.0
    crop: Size | None = None
    least: float = LEAST_LEFT
    jitter: float = 0.0
    fill: tuple[int, ...] = (124, 116, 104)  # ImageNet's mean

    def __call__(
        self, pixels: np.ndarray, target: Target, *, seed: int, epoch: int, index: int, batch: int | None = None
    ) -> tuple[Tensor, Target]:
        """`index` is the picture's place in its split, or in the epoch's order, so that workers do not count. Whole pictures of
        one `batch` (its number) have one scale: most of a batch of several would be what is around the smaller ones."""
        random = Random(mix_seed(seed, epoch, index, "geometry"))
        scale, mirrored, place = random.choice(self.scales), random.random() < self.hflip, (random.random(), random.random())
        if batch is not None and self.crop is None:
            scale = Random(mix_seed(seed, epoch, batch, "scale")).choice(self.scales)
        height, width = pixels.shape[:2]
        whole = fitted_size((height, width), self.preprocess)
        size = (max(1, round(scale * whole[0])), max(1, round(scale * whole[1])))
        picture = resize_picture(pixels, size, self.preprocess.interpolation)
        target = resize_target(target, size, (height, width))
        if mirrored:
            picture, target = mirror(picture, target)
        if self.vflip and Random(mix_seed(seed, epoch, index, "upside down")).random() < self.vflip:
            picture, target = mirror(picture, target, vertical=True)
        if self.jitter and picture.shape[0] == 3:
            picture = self._colours(picture, mix_seed(seed, epoch, index, "colours"))
        if self.crop is not None:
            # Anywhere between both edges; where the picture is the smaller one, it lies anywhere within the window.
            top, left = (round(share * (whole - part)) for share, whole, part in zip(place, size, self.crop, strict=True))
            picture, target = crop_both(picture, target, (top, left), self.crop, self.fill, self.least)
        return picture.contiguous(), target

    def _colours(self, picture: Tensor, seed: int) -> Tensor:
        from torchvision.transforms import v2  # takes a second to import, which most runs save

        with seeded(seed):
            return v2.ColorJitter(self.jitter, self.jitter, self.jitter)(picture)  # hue would take six times as long


# --- one size to another, and back -------------------------------------------------------------------------------------


def resize_picture(pixels: np.ndarray, size: Size, interpolation: str = "bilinear") -> Tensor:
    """uint8 (H, W, C) -> (C, *size), with antialiasing."""
    return resize(torch.from_numpy(pixels), size, interpolation)[0]


def resize_target(target: Target, size: Size, before: Size) -> Target:
    """The target of a picture of `before` (H, W) for that picture at `size`. With both exchanged it is the way back."""
    if isinstance(target, Boxes):
        masks = None if target.masks is None else resize_indices(target.masks, size)
        return dataclasses.replace(target, xyxy=resize_boxes(target.xyxy, size, before), masks=masks)
    return resize_indices(target, size)


def resize_boxes(xyxy: np.ndarray, size: Size, before: Size) -> np.ndarray:
    """Boxes (K, 4) of a picture of `before` (H, W) for it at `size`; of detections with both exchanged, the way back."""
    scale = np.array([size[1] / before[1], size[0] / before[0]] * 2)
    return (xyxy.astype(np.float64) * scale).astype(np.float32)


def resize_indices(values: np.ndarray, size: Size) -> np.ndarray:
    """Class indices or masks (..., H, W) at another size: the nearest pixel's.

    The nearest by the pixels' middles ("nearest-exact"): torchvision's masks take the nearest by their corners, which lie up to
    half a pixel beside the picture. To a larger size and back gives what was there.
    """
    if values.shape[-2:] == size or not values.size:
        return values if values.shape[-2:] == size else np.zeros((*values.shape[:-2], *size), values.dtype)
    rows, columns = (nearest(whole, part) for whole, part in zip(values.shape[-2:], size, strict=True))
    return np.ascontiguousarray(values[..., rows[:, None], columns])


def nearest(before: int, after: int) -> np.ndarray:
    """(after,) the places whose middles are the nearest, in whole numbers, so that no rounding shifts them."""
    return (2 * np.arange(after) + 1) * before // (2 * after)


# --- mirrors and crops ---------------------------------------------------------------------------------------------------


def mirror(picture: Tensor, target: Target, *, vertical: bool = False) -> tuple[Tensor, Target]:
    """A picture (C, H, W) and its target with left and right exchanged, or `vertical`, top and bottom."""
    from torchvision.transforms.v2 import functional

    flip = functional.vertical_flip if vertical else functional.horizontal_flip
    return _changed(picture, target, lambda value, fill: flip(value), ())


def crop_both(
    picture: Tensor, target: Target, corner: tuple[int, int], crop: Size, fill: Sequence[int] = (0,), least: float = LEAST_LEFT
) -> tuple[Tensor, Target]:
    """The window of `crop` (H, W) at `corner` (top, left), which may lie past the picture's edges on any side.

    Beyond the picture it shows `fill`, to be ignored. Boxes are cut at its edges, and dropped if less than `least` is left. A
    box with a mask becomes the box of what is left of the mask, and is dropped where that is nothing.
    """
    from torchvision.transforms.v2 import functional

    (top, left), (height, width) = corner, picture.shape[-2:]
    around = [max(0, -left), max(0, -top), max(0, left + crop[1] - width), max(0, top + crop[0] - height)]

    def change(value: Tensor, fill: Any) -> Tensor:
        padded = functional.pad(value, around, fill=fill)
        return functional.crop(padded, top + around[1], left + around[0], *crop)

    picture, target = _changed(picture, target, change, fill)
    if not isinstance(target, Boxes):
        return picture, target
    xyxy, kept = clip_boxes(target.xyxy, crop, least)
    if target.masks is not None:
        cut = kept & (xyxy != target.xyxy).any(1)
        for number in np.flatnonzero(cut).tolist():
            kept[number] = target.masks[number].any()
            xyxy[number] = _around(target.masks[number]) if kept[number] else 0
    masks = None if target.masks is None else target.masks[kept]
    return picture, Boxes(xyxy[kept], target.labels[kept], target.ignore[kept], masks)


def _changed(
    picture: Tensor, target: Target, change: Callable[[Tensor, Any], Tensor], fill: Sequence[int]
) -> tuple[Tensor, Target]:
    """Both, changed by functions of torchvision.transforms.v2, which know boxes and masks by their types.

    `change` is called with each and what to show where there was no picture.
    """
    from torchvision import tv_tensors  # takes a second to import, which most runs save

    canvas = tuple(picture.shape[-2:])
    colour = (list(fill) * picture.shape[0])[: picture.shape[0]]
    picture = change(tv_tensors.Image(picture), colour).as_subclass(Tensor)
    if not isinstance(target, Boxes):
        return picture, change(tv_tensors.Mask(torch.from_numpy(target)), IGNORE).as_subclass(Tensor).numpy()
    # Not clamped: how much of a box is left is another's to judge.
    boxes = tv_tensors.BoundingBoxes(torch.from_numpy(target.xyxy), format="XYXY", canvas_size=canvas, clamping_mode=None)
    xyxy = change(boxes, 0).as_subclass(Tensor).numpy()
    masks = target.masks
    if masks is not None:
        masks = change(tv_tensors.Mask(torch.from_numpy(masks)), 0).as_subclass(Tensor).numpy()
    return picture, dataclasses.replace(target, xyxy=xyxy, masks=masks)


def _around(mask: np.ndarray) -> list[int]:
    """x0, y0, x1, y1 of the pixels of a mask (H, W) that has some."""
    y, x = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return [int(x[0]), int(y[0]), int(x[-1]) + 1, int(y[-1]) + 1]


# --- batches -------------------------------------------------------------------------------------------------------------


def pad_batch(pictures: Sequence[Tensor], *, multiple: int = 32, fill: Sequence[Any] = (0,)) -> tuple[Tensor, Tensor]:
    """Pictures (C, h, w) of many sizes in one batch (N, C, H, W), each at the top left, and their sizes (N, 2) int64 (h, w).

    H and W are the least multiples of `multiple` that hold all: of the deepest features' stride, so that levels fit together.
    """
    sizes = torch.tensor([list(picture.shape[-2:]) for picture in pictures])
    height, width = (math.ceil(side / multiple) * multiple for side in sizes.amax(0).tolist())
    channels = pictures[0].shape[0]
    colour = torch.tensor((list(fill) * channels)[:channels], dtype=pictures[0].dtype)[None, :, None, None]
    batch = colour.expand(len(pictures), channels, height, width).contiguous()
    for place, picture in zip(batch, pictures, strict=True):
        place[:, : picture.shape[1], : picture.shape[2]] = picture
    return batch, sizes


def pad_indices(masks: Sequence[np.ndarray], size: Size) -> Tensor:
    """Class indices (h, w) of many sizes as one (N, *size) int64, with `IGNORE` where a picture was padded."""
    batch = torch.full((len(masks), *size), IGNORE)
    for place, mask in zip(batch, masks, strict=True):
        place[: mask.shape[0], : mask.shape[1]] = torch.from_numpy(mask.astype(np.int64))
    return batch
