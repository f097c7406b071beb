"""From pixels to the network's input: normalisation, and `Augment` for training.

In evaluation and prediction every input is made by `fit_picture` (in `resnets.data.pictures.resize`, without torch) and
`normalise`. Images are uint8 (C, H, W) until `normalise`; batches are (N, C, H, W).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import cache
from random import Random

import numpy as np
import torch
from torch import Tensor

from resnets.data.pictures.resize import RESAMPLE, as_image, fit_image, mean_array, to_array
from resnets.data.preprocess import Preprocess


@cache
def mean_tensor(preprocess: Preprocess) -> Tensor:
    """The mean in [0, 1] as a float32 tensor: (C, 1, 1), or (C, H, W) if it is per pixel."""
    return torch.tensor(mean_array(preprocess))


def normalise(pixels: Tensor, preprocess: Preprocess) -> Tensor:
    """uint8 (N, C, H, W) -> float32 (x / 255 - mean) / std of the same shape, on the same device."""
    if pixels.shape[-2:] != preprocess.size:
        preprocess = replace_size(preprocess, (pixels.shape[-2], pixels.shape[-1]))
    mean = mean_tensor(preprocess).to(pixels.device) * 255
    std = torch.tensor(preprocess.std, device=pixels.device).reshape(-1, 1, 1) * 255
    if pixels.device.type == "cpu" and pixels.is_contiguous(memory_format=torch.channels_last):
        return _normalise_rows(pixels, mean, std)
    return torch.sub(pixels, mean).div_(std)


def to_input(pixels: np.ndarray | Tensor, preprocess: Preprocess, device: torch.device) -> Tensor:
    """Fitted pixels (N, C, H, W) uint8, or series (N, C, L) float32, as the input of a network on `device`; volumes, float32,
    are normalised."""
    x = torch.as_tensor(pixels).to(device, non_blocking=True)
    if len(preprocess.size) == 1:
        return normalise_series(x, preprocess)
    return normalise(x, preprocess) if x.dtype == torch.uint8 else x


def normalise_series(x: Tensor, preprocess: Preprocess) -> Tensor:
    """float32 (N, C, L) less the mean and divided by the standard deviation, of the training split or each its own."""
    if not preprocess.each:
        mean, std = (torch.tensor(values, device=x.device).reshape(-1, 1) for values in (preprocess.mean, preprocess.std))
        return (x - mean) / std
    return by_itself(x)


def by_itself(x: Tensor) -> Tensor:
    """Each channel of each series of x (N, C, L) less its own mean, divided by its own standard deviation; if flat, 0."""
    mean = x.mean(2, keepdim=True)
    centred = x - mean
    return centred / ((centred * centred).mean(2, keepdim=True) + FLAT_VARIANCE * mean * mean + TINY_VARIANCE).sqrt()


FLAT_VARIANCE = 1e-10  # of the squared mean: what is smaller is rounding
TINY_VARIANCE = 1e-30  # so that nothing is divided by 0


IN_CACHE = 2**20  # bytes of floats


def _normalise_rows(pixels: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """`normalise` for channels last in memory, three times as fast: whole rows at once, a few images that fit in cache."""
    num, chans, height, width = pixels.shape
    mean, std = (values.expand(-1, -1, width).permute(1, 2, 0).flatten(1) for values in (mean, std))  # (1 or H, W * C)
    x = torch.from_numpy(np.empty((num, height, width * chans), np.float32))  # NumPy requests huge pages, torch does not
    together = max(1, IN_CACHE // (x[0].nbytes if num else 1))
    for few, out in zip(pixels.permute(0, 2, 3, 1).flatten(2).split(together), x.split(together), strict=True):
        out.copy_(few).sub_(mean).div_(std)
    return x.unflatten(2, (width, chans)).permute(0, 3, 1, 2)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augment:
    """Augmentation of images in training, for classification.

    Args:
        crop: "pad" (padding with the mean colour on every side, then a random crop of the original size), "resized" (a random
            crop of area `scale` and aspect ratio `ratio`, resized: arXiv 1409.4842), "none".
        pad: for "pad": padding on each side as a fraction of the image's side. 1/8 is 4 pixels of 32, as in He et al. (2015,
            section 4.2).
        scale: for "resized": range of the crop's area, as fractions of the image's.
        ratio: for "resized": range of width / height.
        hflip: probability of a horizontal flip, in [0, 1].
        auto_augment: "none", "randaugment" (arXiv 1909.13719; 2 operations of magnitude 9), "randaugment-m6" (magnitude 6),
            "trivialaugment" (arXiv 2103.10158).
        random_erase: probability of erasing a random rectangle (arXiv 1708.04896), in [0, 1].
        mixup, cutmix: alpha of the Beta distribution of the mixing weight (arXiv 1710.09412, 1905.04899); 0: off. If both are
            on, one of them is drawn for each batch.
    """

    crop: str = "none"
    pad: float = 1 / 8
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    hflip: float = 0.0
    auto_augment: str = "none"
    random_erase: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0

    def picture(self, pixels: np.ndarray, preprocess: Preprocess, train_size: tuple[int, ...], random: Random) -> Tensor:
        """One decoded image, uint8 (H, W, C) -> uint8 (C, *train_size), channels last in memory.

        `random` draws the crop for "resized", and whether it is flipped.
        """
        height, width = train_size
        if self.crop == "resized":
            left, top, right, bottom = random_part(random, (pixels.shape[1], pixels.shape[0]), self.scale, self.ratio)
            part = resize(torch.from_numpy(pixels[top:bottom, left:right]), (height, width), preprocess.interpolation)
            return (part.flip(-1) if random.random() < self.hflip else part)[
                0
            ]  # a quarter of the bytes that `batch` would move
        fitted = preprocess if train_size == preprocess.size else replace_size(preprocess, train_size)
        return torch.from_numpy(to_array(fit_image(as_image(pixels, preprocess.in_chans), fitted), fitted))

    def colours(self, pixels: Tensor) -> Tensor:
        """Apply the policy of `auto_augment` to one image, uint8 (C, H, W); returns the same shape."""
        return pixels if self.auto_augment == "none" else AUTO_AUGMENT[self.auto_augment]()(pixels)

    def batch(self, x: Tensor, targets: Tensor, num_classes: int, *, before: int = 0, after: int = 0) -> tuple[Tensor, Tensor]:
        """Augment a batch: shift, flip, erase and mix. Each image has its own random numbers, from torch's generator.

        Args:
            x: normalised images (N, C, H, W).
            targets: class indices (N,) int64.
            before, after: if x is a part of a batch (in distributed training), the number of images before and after it.
                Random numbers are drawn for them too, so that x is augmented as in the whole batch. Mixing is within x.

        Returns:
            The images (N, C, H, W), and the targets: (N,), or (N, num_classes) if images were mixed. Crops of "resized" are
            not flipped here, because `picture` has done so.
        """
        total, own = before + len(x) + after, slice(before, before + len(x))
        padding = math.ceil(x.shape[-1] * self.pad) if self.crop == "pad" else 0
        corners, mirrored = torch.zeros(2, len(x), dtype=torch.int64), None
        if padding:
            corners = torch.randint(2 * padding + 1, (2, total))[:, own] - padding
        if self.hflip and self.crop != "resized":
            mirrored = torch.rand(total)[own] < self.hflip
        if padding or mirrored is not None:
            x = windows(x, corners[0], corners[1], mirrored)
        if self.random_erase or self.mixup or self.cutmix:
            x, targets = self._torchvision(x, targets, num_classes, before, after)
        return x, targets

    def _torchvision(self, x: Tensor, targets: Tensor, num_classes: int, before: int, after: int) -> tuple[Tensor, Tensor]:
        from torchvision.transforms import v2  # takes a second to import, which most runs save

        if self.random_erase:
            blank = torch.empty(x.shape[1:], device="meta")
            erased = [v2.RandomErasing(self.random_erase)(picture) for picture in [blank] * before + [*x] + [blank] * after]
            x = torch.stack(erased[before : before + len(x)])
        mixes = [
            kind(alpha=alpha, num_classes=num_classes)
            for kind, alpha in ((v2.MixUp, self.mixup), (v2.CutMix, self.cutmix))
            if alpha
        ]
        if mixes:
            x, targets = mixes[int(torch.randint(len(mixes), ()))](x, targets)
        return x, targets


def _randaugment(magnitude: int) -> Callable[[], Callable[[Tensor], Tensor]]:
    def make() -> Callable[[Tensor], Tensor]:
        from torchvision.transforms import v2

        return v2.RandAugment(num_ops=2, magnitude=magnitude)

    return make


def _trivialaugment() -> Callable[[Tensor], Tensor]:
    from torchvision.transforms import v2

    return v2.TrivialAugmentWide()


AUTO_AUGMENT: dict[str, Callable[[], Callable[[Tensor], Tensor]]] = {
    "randaugment": _randaugment(9),
    "randaugment-m6": _randaugment(6),
    "trivialaugment": _trivialaugment,
}


def replace_size(preprocess: Preprocess, size: tuple[int, ...]) -> Preprocess:
    """`preprocess` with another size. A per-pixel mean is averaged to one value per channel: it is valid only at its size."""
    mean = tuple(mean_tensor(preprocess).mean((1, 2)).tolist())
    return dataclasses.replace(preprocess, size=size, mean=mean)


def windows(x: Tensor, top: Tensor, left: Tensor, mirrored: Tensor | None = None) -> Tensor:
    """From each image of x (N, C, H, W) a window of the same size at the corner (top, left), with 0 outside the image.

    Args:
        top, left: (N,) int64, on the CPU; they may be negative.
        mirrored: (N,) bool, on the CPU: which windows to flip horizontally; default (None): none.
    """
    mirrored = torch.zeros(len(x), dtype=torch.bool) if mirrored is None else mirrored
    return (_cut if x.device.type == "cpu" else _gathered)(x, top, left, mirrored)


def _cut(x: Tensor, top: Tensor, left: Tensor, mirrored: Tensor) -> Tensor:
    """`windows` on a CPU, image by image: half the time of `_gathered`, because it copies contiguous memory."""
    pictures = x.permute(0, 2, 3, 1).numpy()
    found = np.zeros_like(pictures)
    height, width = pictures.shape[1:3]
    corners = torch.stack([top.clamp(-height, height), left.clamp(-width, width)], 1)
    inside, outside = corners.clamp(min=0).tolist(), (-corners).clamp(min=0).tolist()
    for picture, out, (y, x0), (above, before), mirror in zip(pictures, found, inside, outside, mirrored.tolist(), strict=True):
        window = out[:, ::-1] if mirror else out
        window[above : height - y, before : width - x0] = picture[y : height - above, x0 : width - before]
    return torch.from_numpy(found).permute(0, 3, 1, 2)


def _gathered(x: Tensor, top: Tensor, left: Tensor, mirrored: Tensor) -> Tensor:
    """`windows` in a few operations on the whole batch, for GPUs, where each operation has a cost."""
    height, width = x.shape[-2:]
    rows, columns = top[:, None] + torch.arange(height), left[:, None] + torch.arange(width)  # (N, H), (N, W)
    columns = torch.where(mirrored[:, None], columns.flip(1), columns)
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    picture = torch.arange(len(x))[:, None, None]
    indices = (picture, rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None, :])
    # Indexing by (N, H, W) indices gives channels last: (N, H, W, C).
    found = x.permute(0, 2, 3, 1)[tuple(index.to(x.device) for index in indices)]
    return found.mul_(inside.to(x.device)[..., None]).permute(0, 3, 1, 2)


def resize(pixels: Tensor, size: tuple[int, int], interpolation: str) -> Tensor:
    """uint8 (H, W, C) -> uint8 (1, C, *size), channels last in memory, with antialiasing.

    It takes a third of Pillow's time; under 1 % of the values differ from Pillow's, by 1. RGBA images are resized by Pillow,
    which weights colours by opacity.
    """
    if pixels.shape[2] == 4:
        image = as_image(pixels.numpy(), 4).resize(size[::-1], RESAMPLE[interpolation])
        return torch.from_numpy(np.array(image))[None].permute(0, 3, 1, 2)
    batch = pixels.contiguous()[None].permute(0, 3, 1, 2)
    return torch.nn.functional.interpolate(batch, size, mode=interpolation, antialias=True)


def random_part(
    random: Random, size: tuple[int, int], scale: tuple[float, float], ratio: tuple[float, float]
) -> tuple[int, int, int, int]:
    """A random box (left, top, right, bottom) in an image of `size` (width, height), as in torchvision's RandomResizedCrop."""
    width, height = size
    for _ in range(10):
        area = width * height * random.uniform(*scale)
        shape = math.exp(random.uniform(math.log(ratio[0]), math.log(ratio[1])))
        wide, high = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
        if 0 < wide <= width and 0 < high <= height:
            left, top = int(random.random() * (width - wide + 1)), int(random.random() * (height - high + 1))
            return left, top, left + wide, top + high
    wide, high = min(width, max(1, round(height * ratio[1]))), min(height, max(1, round(width / ratio[0])))
    left, top = (width - wide) // 2, (height - high) // 2  # the centre, with the nearest possible aspect ratio
    return left, top, left + wide, top + high
