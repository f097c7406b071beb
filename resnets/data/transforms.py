"""From pixels to inputs. `fit.fit_picture`, which needs no torch, and `normalise` are the only way in, for training's
evaluation, prediction and the rest; `Augment` is what training does besides.

Pictures are uint8 (C, H, W) until `normalise`; batches are (N, C, H, W).
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import torch
from PIL import Image
from torch import Tensor

from resnets.data.fit import RESAMPLE, fit_image, mean_array, to_array
from resnets.spec import Preprocess


@cache
def mean_tensor(preprocess: Preprocess) -> Tensor:
    """`mean_array` as a tensor."""
    return torch.tensor(mean_array(preprocess))


def normalise(pixels: Tensor, preprocess: Preprocess) -> Tensor:
    """uint8 (N, C, H, W) -> float32 (x / 255 - mean) / std, on the device that the pixels are on."""
    if pixels.shape[-2:] != preprocess.size:
        preprocess = replace_size(preprocess, (pixels.shape[-2], pixels.shape[-1]))
    mean = mean_tensor(preprocess).to(pixels.device)
    std = torch.tensor(preprocess.std, device=pixels.device).reshape(-1, 1, 1)
    return torch.sub(pixels, mean * 255).div_(std * 255)


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

    def picture(self, image: Image.Image, preprocess: Preprocess, train_size: tuple[int, int]) -> Tensor:
        """One decoded picture (upright, right channels) -> uint8 (C, *train_size). Draws from torch's generator."""
        height, width = train_size
        fitted = preprocess if train_size == preprocess.size else replace_size(preprocess, train_size)
        if self.crop == "resized":
            box = random_part(image.size, self.scale, self.ratio)
            image = image.resize((width, height), RESAMPLE[preprocess.interpolation], box)
        else:
            image = fit_image(image, fitted)
        return self.colours(torch.from_numpy(to_array(image, fitted)))

    def colours(self, pixels: Tensor) -> Tensor:
        """The policy of `auto_augment` on one picture, uint8 (C, H, W)."""
        return pixels if self.auto_augment == "none" else AUTO_AUGMENT[self.auto_augment]()(pixels)

    def batch(self, x: Tensor, targets: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
        """Normalised (N, C, H, W) and targets (N,) -> the same, moved, mirrored, erased and mixed, each picture for itself.

        Targets become (N, num_classes) where pictures are mixed. Draws from torch's generator.
        """
        if self.crop == "pad":
            x = random_windows(x, math.ceil(x.shape[-1] * self.pad))
        if self.hflip:
            mirrored = torch.rand(len(x)) < self.hflip
            x = torch.where(mirrored[:, None, None, None], x.flip(-1), x)
        if self.random_erase or self.mixup or self.cutmix:
            x, targets = self._torchvision(x, targets, num_classes)
        return x, targets

    def _torchvision(self, x: Tensor, targets: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
        from torchvision.transforms import v2  # takes a second to import, which most runs save

        if self.random_erase:
            x = torch.stack([v2.RandomErasing(self.random_erase)(picture) for picture in x])
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


def replace_size(preprocess: Preprocess, size: tuple[int, int]) -> Preprocess:
    """The same rule at another size; a per-pixel mean is averaged to one a channel, for it holds at its own size only."""
    mean = tuple(mean_tensor(preprocess).mean((1, 2)).tolist())
    return dataclasses.replace(preprocess, size=size, mean=mean)


def random_windows(x: Tensor, padding: int) -> Tensor:
    """Pad (N, C, H, W) with zeros on every side, and cut from each picture a window of its own of the old size."""
    height, width = x.shape[-2:]
    padded = torch.nn.functional.pad(x, (padding,) * 4)
    top, left = torch.randint(2 * padding + 1, (2, len(x)))
    rows = (top[:, None] + torch.arange(height)).to(x.device)  # (N, H)
    columns = (left[:, None] + torch.arange(width)).to(x.device)  # (N, W)
    picture = torch.arange(len(x), device=x.device)
    # Indexing (N, H, W) pairs puts the channels last: (N, H, W, C).
    return padded.permute(0, 2, 3, 1)[picture[:, None, None], rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def random_part(size: tuple[int, int], scale: tuple[float, float], ratio: tuple[float, float]) -> tuple[int, int, int, int]:
    """A part (left, top, right, bottom) of a picture of `size` (width, height), as torchvision's RandomResizedCrop draws it."""
    from torchvision.transforms import v2

    width, height = size
    top, left, high, wide = v2.RandomResizedCrop.get_params(torch.empty(1, height, width, device="meta"), scale, ratio)
    return left, top, left + wide, top + high


def mix_seed(*parts: int | str) -> int:
    """A seed for torch from whole numbers and words; any other list gives an unrelated one."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "little") >> 1


@contextmanager
def seeded(*parts: int | str) -> Iterator[None]:
    """Inside, torch's CPU generator starts from `mix_seed(parts)`; outside it is as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix_seed(*parts))
        yield
