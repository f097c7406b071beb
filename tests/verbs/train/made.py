"""Small sets of data and settings of a run that takes seconds."""

import numpy as np
from PIL import Image

TINY = {
    "model": "resnet20_cifar", "depths": "1,1,1", "width": 4, "epochs": 2, "batch_size": 8, "lr": 0.05, "workers": 0,
    "device": "cpu", "precision": "float32",
}  # fmt: skip


def arrays(path, *, classes=3, chans=(), size=8, seed=0, **sizes):
    random = np.random.default_rng(seed)
    sizes = sizes or {"train": 36, "val": 12, "test": 10}
    found = {
        f"{split}_images": random.integers(0, 256, (num, size, size, *chans), dtype=np.uint8) for split, num in sizes.items()
    }
    np.savez(path, **found, **{f"{split}_labels": 10 + np.arange(num) % classes for split, num in sizes.items()})
    return str(path)


def pictures(root, *, classes="ab", num=12, size=(20, 14)):
    for split in ("train", "val"):
        for index in range(num if split == "train" else 4):
            path = root / split / classes[index % len(classes)] / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(index).integers(0, 256, (*size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
    return str(root)
