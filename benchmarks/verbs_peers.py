"""What people write for the same work with torch, torchvision and PIL, a function each: started by benchmarks/verbs.py.

    python benchmarks/verbs_peers.py NAME ARGUMENT...

Nothing of this package is imported, for a script would not start with it. Each prints the number of its answers.
"""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import transforms as T
from torchvision.models import detection, segmentation

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
USUAL = T.Compose([T.Resize(256), T.CenterCrop(224), T.ToTensor(), T.Normalize(*IMAGENET)])
TINY = T.Compose([T.Resize(32), T.CenterCrop(32), T.ToTensor(), T.Normalize((0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616))])
DIGITS = (60, 64)  # epochs and batch size that `resnets train digits` chooses
WORKERS = len(os.sched_getaffinity(0))


class Block(nn.Module):
    """The basic block of He et al. (2015) with a shortcut of zeros for new channels."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.stride, self.pad = stride, (width - before) // 2

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.pad:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.pad, self.pad))
        return F.relu(y + x)


def resnet20(in_chans: int = 3) -> nn.Sequential:
    """ResNet-20 for small images."""
    widths = [16] * 3 + [32] * 3 + [64] * 3
    blocks = [Block(i, o, 1 if i == o else 2) for i, o in zip([16, *widths], widths, strict=False)]
    stem = (nn.Conv2d(in_chans, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


class Items(Dataset):
    """Images as `read` gives them for an index, transformed, and their targets."""

    def __init__(self, num, read, transform, targets=None) -> None:
        self.num, self.read, self.transform, self.targets = num, read, transform, targets

    def __len__(self) -> int:
        return self.num

    def __getitem__(self, index):
        return self.transform(self.read(index)), 0 if self.targets is None else int(self.targets[index])


def files(folder: str) -> list[str]:
    return sorted(str(path) for path in Path(folder).rglob("*.jpg"))


def opened(path: str) -> Image.Image:
    return Image.open(path).convert("RGB")


def folder(paths: list[str], transform) -> DataLoader:
    """Batches of the images in files."""
    return DataLoader(Items(len(paths), lambda index: opened(paths[index]), transform), 16, num_workers=WORKERS)


def loaded(net: nn.Module, weights: str) -> nn.Module:
    net.load_state_dict(torch.load(weights, weights_only=True))
    return net.eval()


def dense(kind, weights: str) -> nn.Module:
    return loaded(kind(weights=None, weights_backbone=None), weights)


# --- the peers ---------------------------------------------------------------------------------------------------------


@torch.inference_mode()
def evaluate(weights: str, batches: str) -> None:
    """The accuracy on CIFAR-10's test split, in its official binary form."""
    net, records = loaded(resnet20(), weights), np.fromfile(Path(batches, "test_batch.bin"), np.uint8).reshape(-1, 3073)
    pixels = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    images = Items(len(pixels), lambda index: Image.fromarray(np.ascontiguousarray(pixels[index])), TINY, records[:, 0])
    right = sum(int((net(x).argmax(1) == y).sum()) for x, y in DataLoader(images, 256, num_workers=WORKERS))
    print(len(images), right / len(images))


@torch.inference_mode()
def classify(net: nn.Module, transform, pictures: str, out: str) -> None:
    """The five likeliest classes of each image, as CSV."""
    paths, rows = files(pictures), []
    for x, _ in folder(paths, transform):
        found = net(x).softmax(1).topk(5)
        rows += [[*one, *other] for one, other in zip(found.indices.tolist(), found.values.tolist(), strict=True)]
    with Path(out).open("w", newline="") as file:
        csv.writer(file).writerows([path, *row] for path, row in zip(paths, rows, strict=True))
    print(len(rows))


def small(weights: str, pictures: str, out: str) -> None:
    classify(loaded(resnet20(), weights), TINY, pictures, out)


def large(weights: str, pictures: str, out: str) -> None:
    classify(loaded(torchvision.models.resnet18(), weights), USUAL, pictures, out)


@torch.inference_mode()
def one(weights: str, picture: str) -> None:
    """The five likeliest classes of one image."""
    net = loaded(torchvision.models.resnet18(), weights)
    print(1, net(USUAL(opened(picture))[None]).softmax(1).topk(5))


@torch.inference_mode()
def detect(weights: str, pictures: str, out: str) -> None:
    """The objects of each image, one after the other, as torchvision's documentation shows it."""
    net, rows = dense(detection.fasterrcnn_resnet50_fpn, weights), []
    for path in files(pictures):
        (found,) = net([T.functional.to_tensor(opened(path))])
        sure = found["scores"] > 0.5
        rows.append([path, found["boxes"][sure].tolist(), found["labels"][sure].tolist()])
    with Path(out).open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    print(len(rows))


@torch.inference_mode()
def segment(weights: str, pictures: str, out: str) -> None:
    """The share of each class in each image, at its own size."""
    net, rows = dense(segmentation.fcn_resnet50, weights), []
    transform = T.Compose([T.Resize(520), T.ToTensor(), T.Normalize(*IMAGENET)])
    for path in files(pictures):
        image = opened(path)
        logits = F.interpolate(net(transform(image)[None])["out"], image.size[::-1], mode="bilinear")
        rows.append([path, *(torch.bincount(logits.argmax(1).flatten(), minlength=21) / logits[0, 0].numel()).tolist()])
    with Path(out).open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    print(len(rows))


@torch.inference_mode()
def embed(net: nn.Module, transform, pictures: str, out: str) -> None:
    """The features of each image: what the network has before its last layer."""
    paths = files(pictures)
    vectors = np.concatenate([net(x).numpy() for x, _ in folder(paths, transform)])
    np.savez(out, vectors=vectors, paths=paths)
    print(len(vectors))


def embed_small(weights: str, pictures: str, out: str) -> None:
    embed(loaded(resnet20(), weights)[:-1], TINY, pictures, out)


def embed_large(weights: str, pictures: str, out: str) -> None:
    net = loaded(torchvision.models.resnet18(), weights)
    net.fc = nn.Identity()
    embed(net, USUAL, pictures, out)


def digits(steps: str = "0") -> None:
    """ResNet-20 on scikit-learn's digits, a tenth for validation after each epoch, a fifth for the test; `steps`: stop then."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    epochs, batch_size = DIGITS
    found, transform = load_digits(), T.Compose([T.ToTensor(), T.Normalize(0.3, 0.37)])
    pixels = np.rint(found.images * 255 / 16).astype(np.uint8)
    train, test = train_test_split(np.arange(len(pixels)), test_size=0.2, stratify=found.target, random_state=0)
    augment = T.Compose([T.RandomCrop(8, padding=1), transform])
    parts = {"train": (train[144:], augment), "val": (train[:144], transform), "test": (test, transform)}
    loaders = {
        name: DataLoader(
            Subset(Items(len(pixels), lambda index: Image.fromarray(pixels[index]), how, found.target), part.tolist()),
            batch_size, shuffle=name == "train", num_workers=WORKERS, persistent_workers=True,
        )
        for name, (part, how) in parts.items()
    }  # fmt: skip
    net = resnet20(1)
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=epochs * len(loaders["train"]))
    step = 0
    for _ in range(epochs):
        net.train()
        for x, y in loaders["train"]:
            optimizer.zero_grad()
            F.cross_entropy(net(x), y, label_smoothing=0.1).backward()
            optimizer.step()
            schedule.step()
            if (step := step + 1) == int(steps):
                print(len(x))
                return
        accuracy(net, loaders["val"])
    print(epochs * len(parts["train"][0]), accuracy(net, loaders["test"]))


@torch.inference_mode()
def accuracy(net: nn.Module, batches: DataLoader) -> float:
    net.eval()
    return float(torch.cat([net(x).argmax(1) == y for x, y in batches]).float().mean())


PEERS = (evaluate, small, large, one, detect, segment, embed_small, embed_large, digits)

if __name__ == "__main__":
    {peer.__name__: peer for peer in PEERS}[sys.argv[1]](*sys.argv[2:])
