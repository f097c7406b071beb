"""From pixels to inputs. `fit.fit_picture`, which needs no torch, and `normalise` are the only way in, for training's
evaluation, prediction and the rest; `Augment` is what training does besides.

Pictures are uint8 (C, H, W) until `normalise`; batches are (N, C, H, W).
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
    """`mean_array` as a tensor."""
    return torch.tensor(mean_array(preprocess))


def normalise(pixels: Tensor, preprocess: Preprocess) -> Tensor:
    """uint8 (N, C, H, W) -> float32 (x / 255 - mean) / std, on the device that the pixels are on."""
    if pixels.shape[-2:] != preprocess.size:
        preprocess = replace_size(preprocess, (pixels.shape[-2], pixels.shape[-1]))
    mean = mean_tensor(preprocess).to(pixels.device) * 255
    std = torch.tensor(preprocess.std, device=pixels.device).reshape(-1, 1, 1) * 255
    if pixels.device.type == "cpu" and pixels.is_contiguous(memory_format=torch.channels_last):
        return _normalise_rows(pixels, mean, std)
    return torch.sub(pixels, mean).div_(std)


def to_input(pixels: np.ndarray | Tensor, preprocess: Preprocess, device: torch.device) -> Tensor:
    """Fitted pixels (N, C, H, W) uint8 as the input of a network on `device`; those of volumes, float32, are normalised."""
    x = torch.as_tensor(pixels).to(device, non_blocking=True)
    return normalise(x, preprocess) if x.dtype == torch.uint8 else x


IN_CACHE = 2**20  # bytes of floats


def _normalise_rows(pixels: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """The same for channels last, a third of the time: whole rows at once instead of C values, few pictures while in cache."""
    num, chans, height, width = pixels.shape
    mean, std = (values.expand(-1, -1, width).permute(1, 2, 0).flatten(1) for values in (mean, std))  # (1 or H, W * C)
    x = torch.from_numpy(np.empty((num, height, width * chans), np.float32))  # NumPy asks for large pages, torch does not
    together = max(1, IN_CACHE // (x[0].nbytes if num else 1))
    for few, out in zip(pixels.permute(0, 2, 3, 1).flatten(2).split(together), x.split(together), strict=True):
        out.copy_(few).sub_(mean).div_(std)
    return x.unflatten(2, (width, chans)).permute(0, 3, 1, 2)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augment:
    """What training does to pictures.

    Args:
        crop: "pad" (the mean colour on every side, then a random window of the old size), "resized" (a random part of the
            area `scale` and of shape `ratio`, resized: arXiv 1409.4842), "none".
        pad: for "pad": the width of each side as a share of the picture's; an eighth is 4 pixels at 32, as in He et al. 2015,
            section 4.2.
        scale: least and most share of the area, for "resized".
        ratio: least and most width to height, for "resized".
        hflip: probability of mirroring.
        auto_augment: "none", "randaugment" (arXiv 1909.13719; 2 operations of magnitude 9), "randaugment-m6" (magnitude 6),
            "trivialaugment" (arXiv 2103.10158).
        random_erase: probability of blanking a rectangle (arXiv 1708.04896).
        mixup, cutmix: alpha of the mixing weight (arXiv 1710.09412, 1905.04899), 0: never; with both, each batch draws one.
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
        """One decoded picture, uint8 (H, W, C) -> uint8 (C, *train_size), channels last in memory.

        `random` draws the part of a resized crop, and whether it is mirrored.
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
        """The policy of `auto_augment` on one picture, uint8 (C, H, W)."""
        return pixels if self.auto_augment == "none" else AUTO_AUGMENT[self.auto_augment]()(pixels)

    def batch(self, x: Tensor, targets: Tensor, num_classes: int, *, before: int = 0, after: int = 0) -> tuple[Tensor, Tensor]:
        """Normalised (N, C, H, W) and targets (N,) -> the same, moved, mirrored, erased and mixed, each picture for itself.

        Resized crops are mirrored already. Targets become (N, num_classes) where pictures are mixed. Draws from torch's
        generator; where x is a part of a batch, for the pictures `before` and `after` it too, so that x becomes what it does in
        the whole. Pictures are mixed with others of the part.
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
    """The same rule at another size; a per-pixel mean is averaged to one a channel, for it holds at its own size only."""
    mean = tuple(mean_tensor(preprocess).mean((1, 2)).tolist())
    return dataclasses.replace(preprocess, size=size, mean=mean)


def windows(x: Tensor, top: Tensor, left: Tensor, mirrored: Tensor | None = None) -> Tensor:
    """From each picture of x (N, C, H, W) the window of its size whose corner is (top, left): 0 outside of the picture.

    top, left: (N,) int64, on the CPU, as is `mirrored` (N,) bool, where the window is to be reversed from left to right.
    """
    mirrored = torch.zeros(len(x), dtype=torch.bool) if mirrored is None else mirrored
    return (_cut if x.device.type == "cpu" else _gathered)(x, top, left, mirrored)


def _cut(x: Tensor, top: Tensor, left: Tensor, mirrored: Tensor) -> Tensor:
    """One after the other: on a processor half of the time, for what is copied lies together."""
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
    """All at once, for a device that is told each step."""
    height, width = x.shape[-2:]
    rows, columns = top[:, None] + torch.arange(height), left[:, None] + torch.arange(width)  # (N, H), (N, W)
    columns = torch.where(mirrored[:, None], columns.flip(1), columns)
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    picture = torch.arange(len(x))[:, None, None]
    places = (picture, rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None, :])
    # Indexing (N, H, W) triples puts the channels last: (N, H, W, C).
    found = x.permute(0, 2, 3, 1)[tuple(place.to(x.device) for place in places)]
    return found.mul_(inside.to(x.device)[..., None]).permute(0, 3, 1, 2)


def resize(pixels: Tensor, size: tuple[int, int], interpolation: str) -> Tensor:
    """uint8 (H, W, C) -> (1, C, *size), channels last in memory, with antialiasing; of Pillow's values few differ, by 1.

    A third of Pillow's time. With transparency it is Pillow's, which lets colours count as much as they are seen.
    """
    if pixels.shape[2] == 4:
        image = as_image(pixels.numpy(), 4).resize(size[::-1], RESAMPLE[interpolation])
        return torch.from_numpy(np.array(image))[None].permute(0, 3, 1, 2)
    batch = pixels.contiguous()[None].permute(0, 3, 1, 2)
    return torch.nn.functional.interpolate(batch, size, mode=interpolation, antialias=True)


def random_part(
    random: Random, size: tuple[int, int], scale: tuple[float, float], ratio: tuple[float, float]
) -> tuple[int, int, int, int]:
    """A part (left, top, right, bottom) of a picture of `size` (width, height), drawn as by torchvision's RandomResizedCrop."""
    width, height = size
    for _ in range(10):
        area = width * height * random.uniform(*scale)
        shape = math.exp(random.uniform(math.log(ratio[0]), math.log(ratio[1])))
        wide, high = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
        if 0 < wide <= width and 0 < high <= height:
            left, top = int(random.random() * (width - wide + 1)), int(random.random() * (height - high + 1))
            return left, top, left + wide, top + high
    wide, high = min(width, max(1, round(height * ratio[1]))), min(height, max(1, round(width / ratio[0])))
    left, top = (width - wide) // 2, (height - high) // 2  # the middle, of a shape as near as can be
    return left, top, left + wide, top + high
