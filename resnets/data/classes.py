"""The classes of sets that published weights were trained on, in the order of these networks' outputs. No torch.

ImageNet's 1,000 classes have a name and a WordNet id ("n01440764"). Labels of models are names; data may use either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

CIFAR_10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
AGREE = 0.99  # of ImageNet's classes: how many must be recognised in another program's list of names


@cache
def wordnet() -> dict[str, str]:
    """The WordNet ids of ImageNet's 1,000 classes and their names, as torchvision has them: each is there once."""
    return {id: name for id, _, name in (line.partition(" ") for line in _lines("imagenet1k.txt"))}


def of_set(name: str) -> tuple[str, ...]:
    """The class names of "ImageNet-1K", "CIFAR-10" or "CIFAR-100", in the usual order."""
    return {"ImageNet-1K": lambda: tuple(wordnet().values()), "CIFAR-10": lambda: CIFAR_10, "CIFAR-100": _cifar_100}[name]()


def _cifar_100() -> tuple[str, ...]:
    return tuple(_lines("cifar100.txt"))


def _lines(name: str) -> list[str]:
    return Path(__file__).with_name(name).read_text(encoding="utf-8").splitlines()


def as_named_here(labels: Sequence[str]) -> tuple[str, ...]:
    """ImageNet's names as they are here, if `labels` are these classes in their order by another spelling; else `labels`.

    Others write "tench, Tinca tinca", "great_white_shark" or "n01440764", and have "crane" twice, for the bird and the machine.
    """
    names = wordnet()
    if len(labels) != len(names):
        return tuple(labels)
    rows = zip(labels, names.items(), strict=True)
    agree = [label == id or f"{name} ".startswith(f"{_first(label)} ") for label, (id, name) in rows]
    return tuple(names.values()) if sum(agree) >= AGREE * len(names) else tuple(labels)


def _first(label: str) -> str:
    return label.partition(",")[0].replace("_", " ").strip()


@cache
def _spellings() -> dict[str, tuple[str, str, str]]:
    rows = [(id, name, name.replace(" ", "_")) for id, name in wordnet().items()]
    return {spelling: row for row in rows for spelling in row}


def also_called(labels: Sequence[str]) -> Mapping[str, int]:
    """Other spellings of those of `labels` that are ImageNet's (the WordNet id, the name): the index of each."""
    known, own = _spellings(), set(labels)
    return {spelling: index for index, label in enumerate(labels) for spelling in known.get(label, ()) if spelling not in own}
