"""What the contract tester needs to know of each task, a row each: tiny data, a narrow network, and answers that differ."""

import dataclasses
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from tests.data.made_dense import objects, save, segments
from tests.tasks.detect.made import few_regions


class Row(NamedTuple):
    """A task.

    Args:
        make: (folder, train=6, val=3) -> the folder, with so many images of a few classes in each split.
        plots: names of the drawings of a finished run on these.
        other: an answer -> one that agrees with it in nothing.
        settings: of its runs, beside `NARROW`.
        within: a context in which it trains, that makes it cheap where no setting does.
    """

    make: Callable[..., Path]
    plots: tuple[str, ...]
    other: Callable[[Any], Any]
    settings: Mapping[str, Any] = MappingProxyType({})
    within: Callable[[], AbstractContextManager[None]] = nullcontext


# 6 images in batches of 2: 3 steps per epoch.
NARROW = {
    "model": "resnet20_cifar", "depths": "1,1", "width": 8, "epochs": 4, "batch_size": 2, "workers": 0, "device": "cpu",
    "precision": "float32", "save_every": 1e9, "seed": 3,
}  # fmt: skip


def classes(root, size=(24, 20), **splits):
    """classes(root, train=6, val=3): pictures of noise in three colours, a folder for each."""
    for split, num in splits.items():
        for number in range(num):
            random = np.random.default_rng([number, len(split)])
            pixels = random.integers(0, 160, (*size, 3))
            pixels[..., number % 3] += 90
            save(root / split / "abc"[number % 3] / f"{number}.png", pixels.astype(np.uint8))
    return root


def tagged(root, size=(24, 20), **splits):
    """A list of noise in colours: red, green, both or neither."""
    lines = ["path,labels,split"]
    for split, num in splits.items():
        for number in range(num):
            random = np.random.default_rng([number, len(split)])
            pixels, labels = (
                random.integers(0, 160, (*size, 3)),
                [name for i, name in enumerate(("red", "green")) if number >> i & 1],
            )
            for name in labels:
                pixels[..., ("red", "green").index(name)] += 90
            save(root / split / f"{number}.png", pixels.astype(np.uint8))
            lines.append(f"{split}/{number}.png,{'|'.join(labels)},{split}")
    (root / "list.csv").write_text("\n".join(lines) + "\n")
    return root / "list.csv"


def graded(root, size=(24, 20), **splits):
    """A list of noise, the brighter the greater its number."""
    lines = ["path,brightness,split"]
    for split, num in splits.items():
        for number in range(num):
            random = np.random.default_rng([number, len(split)])
            save(root / split / f"{number}.png", random.integers(0, 60 + 30 * number, (*size, 3)).astype(np.uint8))
            lines.append(f"{split}/{number}.png,{10 + 2.5 * number},{split}")
    (root / "list.csv").write_text("\n".join(lines) + "\n")
    return root / "list.csv"


def people(root, size=(24, 20), **splits):
    """Folders of identities, others in each split: noise in a colour of its own, the first two have pictures of two."""
    for split, num in splits.items():
        for number in range(num):
            random = np.random.default_rng([number, len(split)])
            who = number % 2 if split == "train" else (2, 2, 3, 3)[number % 4]
            pixels = random.integers(0, 160, (*size, 3))
            pixels[..., who % 3] += 90
            save(root / split / "abcd"[who] / f"{number}.png", pixels.astype(np.uint8))
    return root


def elsewhere(found):
    """Objects of the same classes where none was."""
    return dataclasses.replace(found, xyxy=found.xyxy + np.float32(1000))


ROWS = {
    "classify": Row(classes, ("confusion", "curves", "errors", "reliability"), lambda logits: -logits),
    "detect": Row(objects, ("curves", "precision_recall", "worst"), elsewhere, {"masks": True}, few_regions),
    "segment": Row(segments, ("confusion", "curves", "worst"), lambda found: (found + 1) % 3),
    "grade": Row(graded, ("agreement", "curves", "scatter", "worst"), lambda answer: answer + 1),
    "embed": Row(people, ("curves", "distances", "roc", "worst"), lambda vector: -vector, {"per_identity": 1, "embedding": 2}),
    "tag": Row(tagged, ("cooccurrence", "curves", "errors", "precision_recall"), lambda logits: -logits),
}
