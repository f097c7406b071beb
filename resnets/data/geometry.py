"""Dense prediction: augmentation of an image with its boxes or mask, resizing to the input and back, batches by padding.

Images are uint8 (H, W, C) before and uint8 (C, H, W) after; targets are `resnets.data.targets.Boxes` or class indices (H, W).
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
    """Augmentation of an image and its target in training, a pure function of (seed, epoch, index).

    Args:
        preprocess: its `resize` rule gives the input size of an image.
        scales: factors on that size, one of which is drawn (multi-scale training).
        hflip: probability of a horizontal flip (left and right exchanged), in [0, 1].
        vflip: probability of a vertical flip (top and bottom exchanged), for aerial or microscope images.
        crop: (H, W) of a random crop in pixels; beyond the image it shows `fill`, which is ignored. Default (None): no crop.
        least: fraction of a box's area that must be inside the crop for the box to be kept.
        jitter: largest relative change of brightness, contrast and saturation; 0: none.
        fill: colour of the padding around images smaller than the crop, in [0, 255], one value per channel.
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
        """An image, uint8 (H, W, C), and its target -> the augmented image, uint8 (C, H, W), and target.

        Args:
            index: position of the image in its split or in the epoch, so that the result does not depend on workers.
            batch: number of the batch. Without `crop`, all images of a batch get the same scale, because images of several
                scales would need much padding.
        """
        random = Random(mix_seed(seed, epoch, index, "geometry"))
        scale, mirrored, position = random.choice(self.scales), random.random() < self.hflip, (random.random(), random.random())
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
            # The crop lies anywhere inside the image; along an axis where the image is smaller, the image inside the crop.
            top, left = (round(share * (whole - part)) for share, whole, part in zip(position, size, self.crop, strict=True))
            picture, target = crop_both(picture, target, (top, left), self.crop, self.fill, self.least)
        return picture.contiguous(), target

    def _colours(self, picture: Tensor, seed: int) -> Tensor:
        from torchvision.transforms import v2  # takes a second to import, which most runs save

        with seeded(seed):
            return v2.ColorJitter(self.jitter, self.jitter, self.jitter)(picture)  # with hue it would take six times as long


# --- resizing --------------------------------------------------------------------------------------------------------------


def resize_picture(pixels: np.ndarray, size: Size, interpolation: str = "bilinear") -> Tensor:
    """uint8 (H, W, C) -> uint8 (C, *size), with antialiasing."""
    return resize(torch.from_numpy(pixels), size, interpolation)[0]


def resize_target(target: Target, size: Size, before: Size) -> Target:
    """The target of an image that is resized from `before` to `size`, both (H, W). Exchange the two for the inverse."""
    if isinstance(target, Boxes):
        masks = None if target.masks is None else resize_indices(target.masks, size)
        return dataclasses.replace(target, xyxy=resize_boxes(target.xyxy, size, before), masks=masks)
    return resize_indices(target, size)


def resize_boxes(xyxy: np.ndarray, size: Size, before: Size) -> np.ndarray:
    """Boxes (K, 4) of an image that is resized from `before` to `size`, both (H, W). Exchange the two for the inverse."""
    scale = np.array([size[1] / before[1], size[0] / before[0]] * 2)
    return (xyxy.astype(np.float64) * scale).astype(np.float32)


def resize_indices(values: np.ndarray, size: Size) -> np.ndarray:
    """Class indices or masks (..., H, W) -> (..., *size), by nearest neighbour.

    Nearest by pixel centres ("nearest-exact"); torchvision's resizing of masks goes by corners, which shifts them by up to half
    a pixel. Enlarging and resizing back gives the original values.
    """
    if values.shape[-2:] == size or not values.size:
        return values if values.shape[-2:] == size else np.zeros((*values.shape[:-2], *size), values.dtype)
    rows, columns = (nearest(whole, part) for whole, part in zip(values.shape[-2:], size, strict=True))
    return np.ascontiguousarray(values[..., rows[:, None], columns])


def nearest(before: int, after: int) -> np.ndarray:
    """(after,) for each new position the old one with the nearest centre, in integer arithmetic, without rounding errors."""
    return (2 * np.arange(after) + 1) * before // (2 * after)


# --- flips and crops -----------------------------------------------------------------------------------------------------


def mirror(picture: Tensor, target: Target, *, vertical: bool = False) -> tuple[Tensor, Target]:
    """An image (C, H, W) and its target, flipped horizontally, or vertically if `vertical`."""
    from torchvision.transforms.v2 import functional

    flip = functional.vertical_flip if vertical else functional.horizontal_flip
    return _changed(picture, target, lambda value, fill: flip(value), ())


def crop_both(
    picture: Tensor, target: Target, corner: tuple[int, int], crop: Size, fill: Sequence[int] = (0,), least: float = LEAST_LEFT
) -> tuple[Tensor, Target]:
    """Crop an image (C, H, W) and its target to `crop` (H, W) at `corner` (top, left), which may be outside the image.

    Outside the image it shows `fill`, and a mask `IGNORE`. Boxes are clipped, and dropped if less than the fraction `least` of
    their area is left. A clipped box with a mask becomes the bounding box of the rest of its mask, if there is any.
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
    """Image and target, changed by functions of torchvision.transforms.v2, which distinguish boxes and masks by type.

    `change` is called with the image, the boxes or the masks, and the fill value for positions outside the image.
    """
    from torchvision import tv_tensors  # takes a second to import, which most runs save

    canvas = tuple(picture.shape[-2:])
    colour = (list(fill) * picture.shape[0])[: picture.shape[0]]
    picture = change(tv_tensors.Image(picture), colour).as_subclass(Tensor)
    if not isinstance(target, Boxes):
        return picture, change(tv_tensors.Mask(torch.from_numpy(target)), IGNORE).as_subclass(Tensor).numpy()
    # Not clamped: `clip_boxes` needs the whole boxes.
    boxes = tv_tensors.BoundingBoxes(torch.from_numpy(target.xyxy), format="XYXY", canvas_size=canvas, clamping_mode=None)
    xyxy = change(boxes, 0).as_subclass(Tensor).numpy()
    masks = target.masks
    if masks is not None:
        masks = change(tv_tensors.Mask(torch.from_numpy(masks)), 0).as_subclass(Tensor).numpy()
    return picture, dataclasses.replace(target, xyxy=xyxy, masks=masks)


def _around(mask: np.ndarray) -> list[int]:
    """The bounding box [x0, y0, x1, y1] of a mask (H, W) with at least one pixel."""
    y, x = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return [int(x[0]), int(y[0]), int(x[-1]) + 1, int(y[-1]) + 1]


# --- batches -------------------------------------------------------------------------------------------------------------


def pad_batch(pictures: Sequence[Tensor], *, multiple: int = 32, fill: Sequence[Any] = (0,)) -> tuple[Tensor, Tensor]:
    """Images (C, h, w) of different sizes as one batch (N, C, H, W), each at the top left, padded with `fill`.

    H and W are the smallest multiples of `multiple` that hold all images. With the stride of the last level as `multiple`,
    the sizes of all levels are exact fractions of H and W.

    Returns:
        The batch, and the sizes (N, 2) int64, each (h, w).
    """
    sizes = torch.tensor([list(picture.shape[-2:]) for picture in pictures])
    height, width = (math.ceil(side / multiple) * multiple for side in sizes.amax(0).tolist())
    channels = pictures[0].shape[0]
    colour = torch.tensor((list(fill) * channels)[:channels], dtype=pictures[0].dtype)[None, :, None, None]
    batch = colour.expand(len(pictures), channels, height, width).contiguous()
    for row, picture in zip(batch, pictures, strict=True):
        row[:, : picture.shape[1], : picture.shape[2]] = picture
    return batch, sizes


def pad_indices(masks: Sequence[np.ndarray], size: Size) -> Tensor:
    """Class indices (h, w) of different sizes as one batch (N, *size) int64, padded with `IGNORE`."""
    batch = torch.full((len(masks), *size), IGNORE)
    for row, mask in zip(batch, masks, strict=True):
        row[: mask.shape[0], : mask.shape[1]] = torch.from_numpy(mask.astype(np.int64))
    return batch
