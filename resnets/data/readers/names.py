"""Pictures with boxes or masks, and volumes with labels: what the readers of `boxes`, `masks` and `volumes` give. No torch."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Protocol, Self

import numpy as np

from resnets.data.pictures.images import BadPicture, printable
from resnets.data.readers.layouts import quoted
from resnets.data.sources import chosen_for_val
from resnets.data.targets import BACKGROUND, Fault
from resnets.errors import InputError


class Pictures(Protocol):
    """`images.FileImages`, uint8 (H, W, C) each, or `volumes.Volumes`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...

    def name(self, index: int, /) -> str: ...

    def subset(self, indices: Any) -> Self: ...

    def digest(self) -> bytes: ...


class Targets(Protocol):
    """The annotations of a split, one a picture, each read when asked for."""

    def __len__(self) -> int: ...

    def find(self, index: int, /) -> None:
        """Raises `BadLabel` where the picture or its annotation is not there, or is known to be broken."""
        ...

    def read(self, index: int, picture: Any) -> tuple[Any, list[Fault]]:
        """The target, which fits `picture`, and what was wrong with it. Raises `BadLabel`."""
        ...

    def codes(self) -> np.ndarray:
        """(N,) int64: what to deal out evenly between splits: the commonest class of each picture, where that is quick."""
        ...

    def subset(self, indices: np.ndarray) -> Self: ...

    def digest(self) -> bytes: ...


class Labelled(NamedTuple):
    """One picture, its target (`resnets.data.targets`), and the rules that were applied to it."""

    picture: Any
    target: Any
    faults: list[Fault]


@dataclass(frozen=True)
class DenseSplit:
    """One split: `split[3]` is a picture and its target; raises `BadPicture` where one of them cannot be used."""

    images: Pictures
    targets: Targets

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int, /) -> tuple[Any, Any]:
        return self.read(index)[:2]

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return (self[index] for index in range(len(self)))

    def read(self, index: int) -> Labelled:
        self.targets.find(index)
        picture = self.images[index]
        return Labelled(picture, *self.targets.read(index, picture))

    def subset(self, indices: np.ndarray) -> DenseSplit:
        return DenseSplit(self.images.subset(indices), self.targets.subset(indices))


@dataclass(frozen=True)
class DenseSource:
    """A data set for a dense task, opened.

    Args:
        name: of its folder.
        kind: "boxes", "masks" (a class for each pixel) or "volumes" (a class for each voxel).
        labels: class names in the order of their indices.
        splits: of "train", "val" and "test" those that exist.
        in_chans: channels of the pictures as opened.
        cut: {"fraction", "seed"} if `cut_val` cut the validation split.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    splits: Mapping[str, DenseSplit]
    in_chans: int
    cut: Mapping[str, Any] | None = None
    hflip: bool = True  # a mirrored picture's target is mirrored with it

    @property
    def background(self) -> int | None:
        """The index of the class that is what lies between objects, where one is called so."""
        return self.labels.index(BACKGROUND) if BACKGROUND in self.labels else None

    def sizes(self, most: int = 24) -> list[tuple[int, ...]]:
        """(H, W), or (D, H, W), of up to `most` training pictures, evenly spread; of those that can be read."""
        images, found = self.splits["train"].images, []
        for index in np.unique(np.linspace(0, len(images) - 1, min(most, len(images))).round().astype(int)).tolist():
            try:
                found.append(tuple(images[index].shape[:-1] if self.kind != "volumes" else images[index].shape[:3]))
            except BadPicture:
                continue
        return found

    def fingerprint(self) -> str:
        """SHA-256 over labels, boxes, and the relative paths and sizes of the files of pictures and masks."""
        digest = hashlib.sha256(json.dumps([self.kind, self.labels, list(self.splits)]).encode())
        for split in self.splits.values():
            digest.update(split.images.digest())
            digest.update(split.targets.digest())
        return digest.hexdigest()


def cut_val(source: DenseSource, fraction: float = 0.1, seed: int = 0) -> DenseSource:
    """`source` with a validation split cut from train, by the rule of `sources.cut_val`; unchanged if it has one.

    Pictures with boxes are dealt out by their commonest class, those without objects as a class of their own; masks and
    volumes as if they were all of one class.
    """
    if "val" in source.splits:
        return source
    if "train" not in source.splits:
        raise InputError(f"{source.name}: no training split to cut a validation split from; it has {', '.join(source.splits)}")
    train = source.splits["train"]
    codes = train.targets.codes()
    is_val = chosen_for_val(codes, fraction, seed)
    if not is_val.any():  # every class in one picture only
        is_val = chosen_for_val(np.zeros_like(codes), fraction, seed)
    if not is_val.any():
        raise InputError(f"{source.name}: one picture only, none to spare for validation; add pictures or a val split")
    splits = {"train": train.subset(np.flatnonzero(~is_val)), "val": train.subset(np.flatnonzero(is_val))}
    rest = {split: value for split, value in source.splits.items() if split != "train"}
    return dataclasses.replace(source, splits=splits | rest, cut={"fraction": fraction, "seed": seed})


# --- what the readers share -------------------------------------------------------------------------------------------

MAX_NAMES_BYTES = 2**20


def names_file(root: Path, labels: Sequence[str] | None) -> tuple[tuple[str, ...] | None, str]:
    """The classes given, with what gave them: `labels`, or the lines of `classes.txt` in `root`; None: neither did."""
    path = root / "classes.txt"
    if labels is not None:
        return tuple(labels), "the classes given"
    if not path.is_file():
        return None, ""
    try:
        if path.stat().st_size > MAX_NAMES_BYTES:
            raise ValueError(f"more than {MAX_NAMES_BYTES:,} bytes")
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, ValueError) as error:
        raise InputError(f"{printable(path)}: cannot be read as a list of names ({error})") from error
    names = tuple(line for line in lines if line)
    if not names or len(set(names)) < len(names):
        raise InputError(f"{printable(path)}: {'a name twice' if names else 'no names'}; write one name a line, each once")
    return names, printable(path)


def places_of(names: Sequence[str], seen: Iterable[str], where: str, given: str) -> dict[str, int]:
    """The index of each class; an error where what is seen in the annotations of `where` is none of them."""
    places = {name: index for index, name in enumerate(names)}
    strange = sorted(set(seen) - places.keys())
    if strange:
        raise InputError(
            f"{where}: objects called {quoted(strange, 10)}, and {given} has only {quoted(names, 20)}; "
            "rename them, or add the names"
        )
    if not places:
        raise InputError(f"{where}: no object is named in any annotation; there is nothing to learn")
    return places


def in_folder(path: str, where: str) -> str:
    """`path`, which a file of others names, if it stays below its folder."""
    if not path or "\0" in path or PurePosixPath(path).is_absolute() or {"..", ""} & set(path.replace("\\", "/").split("/")):
        raise InputError(f"{where}: names '{printable(path)}', which leads out of its folder; give paths within it")
    return path
