"""The usual training code: PIL images one by one in the workers of a `DataLoader`, an eager network, a plain loop."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms as T
from torchvision.datasets import ImageFolder

from resnets.data.machine import default_workers
from resnets.data.pictures.stored import ArrayImages
from resnets.data.preprocess import IMAGENET_MEAN, IMAGENET_STD
from resnets.data.types import Split
from resnets.verbs.bench.stopwatch import Stopwatch

Batches = Iterable[tuple[Tensor, Tensor]]


def loop(
    net: nn.Module, batches: Batches, watch: Stopwatch, device: torch.device, *, amp: bool, channels_last: bool
) -> NoReturn:
    """SGD on `batches`, epoch after epoch, until the stopwatch raises `Enough`. `amp`: autocast to bfloat16."""
    order = torch.channels_last if channels_last else torch.contiguous_format
    net.to(device, memory_format=order).train()  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
    while True:
        for x, y in watch.epoch(batches):
            x, y = x.to(device, memory_format=order, non_blocking=True), y.to(device, non_blocking=True)
            optimizer.zero_grad()
            with torch.autocast(device.type, torch.bfloat16, enabled=amp):
                loss = F.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()


def load(images: Any, batch_size: int, device: torch.device) -> Batches:
    """A `DataLoader` for training, with workers."""
    workers = default_workers()
    return DataLoader(
        images, batch_size, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=True,
        pin_memory=device.type == "cuda",
    )  # fmt: skip


# --- images ----------------------------------------------------------------------------------------------------------


class SmallImages(Dataset):
    """A split in memory, like torchvision's CIFAR-10: an array, from which single PIL images are made."""

    def __init__(self, split: Split) -> None:
        assert isinstance(split.images, ArrayImages)
        self.pixels, self.targets = split.images.array, split.targets  # (N, H, W, C), (N,)
        size, in_chans = self.pixels.shape[1], self.pixels.shape[3]
        self.transform = T.Compose([
            T.RandomCrop(size, padding=size // 8),
            T.RandomHorizontalFlip(),
            T.ToTensor(),
            T.Normalize((0.5,) * in_chans, (0.25,) * in_chans),
        ])  # fmt: skip

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[index].squeeze())), int(self.targets[index])


def folder_images(root: str | Path, size: int) -> ImageFolder:
    """Folders of classes, augmented as in torchvision's reference scripts for ImageNet."""
    transform = T.Compose([
        T.RandomResizedCrop(size),
        T.RandomHorizontalFlip(),
        T.PILToTensor(),
        T.ConvertImageDtype(torch.float32),
        T.Normalize(IMAGENET_MEAN, IMAGENET_STD),
    ])  # fmt: skip
    return ImageFolder(str(root), transform)


def synthetic(batch_size: int, size: int, num_classes: int, device: torch.device, channels_last: bool) -> Iterator[Any]:
    """One random batch on the device, repeated without end: images (batch_size, 3, size, size), classes (batch_size,)."""
    x = torch.randn(batch_size, 3, size, size, device=device)
    order = torch.channels_last if channels_last else torch.contiguous_format
    return itertools.repeat((x.to(memory_format=order), torch.arange(batch_size, device=device) % num_classes))


def synthetic_file(file: Path, batch_size: int, size: int) -> Path:
    """Write a dataset of two batches of noise, as an .npz file that `resnets train` reads; returns `file`."""
    pixels = np.random.default_rng(0).integers(256, size=(2 * batch_size, size, size, 3), dtype=np.uint8)
    np.savez(file, train_images=pixels, train_labels=np.arange(len(pixels)) % 2)
    return file


# --- the network for small images ------------------------------------------------------------------------------------


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, and a shortcut without parameters (option A): strided, with zeros for new channels."""

    def __init__(self, in_planes: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.stride, self.padding = stride, (planes - in_planes) // 2

    def forward(self, x: Tensor) -> Tensor:
        identity = x
        if self.padding:
            identity = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.padding, self.padding))
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        return self.relu(out)


def small_network(num_blocks: int, in_chans: int, num_classes: int) -> nn.Sequential:
    """The network for CIFAR-10 of He et al. (2015, section 4.2), with 6 * num_blocks + 2 layers."""
    blocks, in_planes = [], 16
    for planes in (16, 32, 64):
        for number in range(num_blocks):
            blocks.append(BasicBlock(in_planes, planes, stride=2 if planes > 16 and number == 0 else 1))
            in_planes = planes
    stem = (nn.Conv2d(in_chans, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True))
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, num_classes))
