"""Folders of classes, with or without folders of splits around them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from resnets.data.pictures.images import IMAGE_SUFFIXES, printable
from resnets.data.pictures.stored import FileImages
from resnets.data.readers.layouts import SPLIT_WORDS, Found, Part, ordered, quoted
from resnets.data.readers.walk import (
    RUN,
    RUNS,
    Left,
    count_all,
    entries,
    folders,
    identity,
    is_run,
    kind_of,
    walk,
    what,
)
from resnets.data.types import Images
from resnets.errors import InputError

# Names that mean a split without being among SPLIT_WORDS: "Train Set", val2017, test_images, dev, evaluation.
LIKE_A_SPLIT = re.compile(
    r"(?:(?:images?|imgs?|data|pictures?)[\W_]*)?"
    r"(?:train|training|trn|val|vali?d|validate|validating|validation|dev|devel|development|eval|evaluate|evaluation|test|testing"
    r"|tst|hold[\W_]?out)"
    r"[\W_\d]*(?:sets?|splits?|data|datasets?|images?|imgs?|pictures?|pics|folder)?[\W_\d]*",
    re.IGNORECASE,
)


class Files(NamedTuple):
    """What of the files in folders of classes is an image.

    Args:
        find: (folder, its path from the root on, what counts those left out, folders not to be entered) -> the images' paths.
        images: (paths, channels, root) -> the images.
    """

    find: Callable[[Path, str, Left, set[tuple[int, int]]], Iterable[str]]
    images: Callable[[Sequence[str], int, Path], Images]


PICTURES = Files(lambda folder, prefix, left, visited: sorted(walk(folder, prefix, left, visited=visited)), FileImages)


def like_splits(paths: Iterable[Path]) -> list[str]:
    """Names of those folders that mean a split, but not by a word that is read."""
    return [path.name for path in paths if path.name.lower() not in SPLIT_WORDS and LIKE_A_SPLIT.fullmatch(path.name)]


def refuse_like_splits(root: Path, paths: Iterable[Path]) -> None:
    """Raise `InputError` if one of the folders in `root` means a split by another word than those that are read."""
    if odd := like_splits(paths):
        raise InputError(
            f"{printable(root)}: {quoted(map(printable, odd))} {'looks' if len(odd) == 1 else 'look'} like "
            f"{'a split' if len(odd) == 1 else 'splits'}, and so would be left out or become a class; call "
            f"{'it' if len(odd) == 1 else 'them'} train, val or test, or move {'it' if len(odd) == 1 else 'them'} elsewhere"
        )


def _own_folders(root: Path) -> list[Path]:
    """The folders in `root` that may hold data: those of runs are none."""
    return [folder for folder in folders(root) if not is_run(folder)]


def _split_folders(root: Path) -> list[Path]:
    return [folder for folder in folders(root) if folder.name.lower() in SPLIT_WORDS]


def is_split_folder(root: Path) -> bool:
    """Whether it is `root/{train,val,test}/<class>/**/image`. A class called "train" would hold images, not folders."""
    return any(_own_folders(folder) for folder in _split_folders(root))


def read_split_folder(root: Path, in_chans: int, of: Files = PICTURES) -> Found:
    """Read `root/{train,val,test}/<class>/**/image`. A test split without class folders is left out, and counted.

    Raises:
        InputError: for a split with two folders or without images; and where a folder may be a split or a class.
    """
    parts: dict[str, Part] = {}
    left, here = Left(), _split_folders(root)
    others = [folder for folder in _own_folders(root) if folder not in here]
    pictures = {folder.name: count_all(folder, folder.name, left) for folder in others}
    known = [name for name, num in pictures.items() if num]
    refuse_like_splits(root, [folder for folder in others if folder.name in known])
    if len(here) == 1 and known:
        word = printable(here[0].name)
        raise InputError(
            f"{printable(root)}: '{word}' is a split, or a class beside {quoted(map(printable, known))}; if a class, give it "
            f"another name, such as '{word}s'; if the split, move the others elsewhere"
        )
    for name in known:
        left.add("images beside the splits", f"{name}/", pictures[name])
    _loose(root, left, "images beside the splits")
    for folder in here:
        split = SPLIT_WORDS[folder.name.lower()]
        if split in parts:
            raise InputError(f"{printable(root)}: more than one folder holds the {split} split; keep one")
        if split == "test" and not _own_folders(folder):
            left.add("images without a class", f"{folder.name}/", count_all(folder, folder.name, left))
            continue
        parts[split] = _class_folders(root, folder, split, in_chans, left, of)
    return ordered(printable(root.resolve().name), parts, left.notes())


def is_class_folder(root: Path) -> bool:
    return root.is_dir()


def read_class_folder(root: Path, in_chans: int, of: Files = PICTURES) -> Found:
    """Read `root/<class>/**/image`, all as the training split.

    Raises:
        InputError: if a class has no images, or a folder is rather a split than a class.
    """
    left, here = Left(), _own_folders(root)
    names = [folder.name for folder in here]
    words = [name for name in names if name.lower() in SPLIT_WORDS]
    if names and names == words:
        raise InputError(f"{printable(root)}: {quoted(names)} hold no class folders; sort the images into one folder per class")
    like = like_splits(here)
    if len(like) > 1 or (like and len(like) + len(words) == len(names)):
        refuse_like_splits(root, here)
    # "train" may be a vehicle; who calls a class "test" or "val" can be asked for another name.
    if unlabelled := [name for name in words if SPLIT_WORDS[name.lower()] != "train"]:
        raise InputError(
            f"{printable(root)}: {quoted(unlabelled)} would be a class beside {quoted(sorted(set(names) - set(words)))}; if it "
            "holds images to predict, move it elsewhere; if it is a split, sort all as train/<class>, test/<class>; if it is a "
            "class, give it another name"
        )
    for folder in here:
        if len({SPLIT_WORDS[inner.name.lower()] for inner in _split_folders(folder)}) > 1:
            inner = quoted(sorted(inner.name for inner in _split_folders(folder)))
            raise InputError(
                f"{printable(folder)}: holds {inner}, which would all be for training; splits come first: "
                f"{printable(root)}/train/{printable(folder.name)}/..."
            )
    _loose(root, left, "images beside the class folders")
    part = _class_folders(root, root, "train", in_chans, left, of)
    return ordered(printable(root.resolve().name), {"train": part}, left.notes())


def _loose(folder: Path, left: Left, images: str) -> None:
    """Count the files that lie directly in `folder`; those with a picture's suffix as `images`."""
    for entry in entries(folder):
        if what(entry) != "folder":
            kind = images if entry.name.lower().endswith(tuple(IMAGE_SUFFIXES)) else kind_of(entry.name)
            left.add(kind, entry.name)


def _class_folders(root: Path, folder: Path, split: str, in_chans: int, left: Left, of: Files) -> Part:
    """The split in `folder`, with one folder per class; paths are relative to `root`. Raises `InputError` without images."""
    paths: list[str] = []
    counts: dict[str, int] = {}
    empty: list[str] = []
    ancestors = {identity(root), identity(folder)}
    if folder != root:
        _loose(folder, left, "images beside the class folders")
    for class_folder in folders(folder):
        inside = Left()
        files = list(of.find(class_folder, os.path.relpath(class_folder, root), inside, set(ancestors)))
        name = printable(class_folder.name)
        for kind, (num, first) in inside.kinds.items():
            left.add(kind, first, num)
        if files:
            counts[name] = len(files)
            paths += files
        elif inside.num(RUN) or name == RUNS:
            continue
        else:
            kinds = sorted(inside.kinds.items(), key=lambda item: -item[1][0])[:3]
            suffixes = ", ".join(f"{num} {kind}" for kind, (num, _) in kinds)
            empty.append(f"'{name}'" + (f" (only {suffixes})" if suffixes else ""))
    where = printable(folder)
    if not paths and not empty:
        raise InputError(f"{where}: holds no class folders; sort the images into one folder per class, as {where}/cat/1.jpg")
    if not paths or (empty and split == "train"):  # in val and test a class may well be missing
        few = ", ".join(empty[:5]) + (f" and {len(empty) - 5} more" if len(empty) > 5 else "")
        raise InputError(f"{where}: no images in {few}; add some, or remove the empty class folders")
    codes = np.repeat(np.arange(len(counts)), list(counts.values()))
    return Part(of.images(paths, in_chans, root), tuple(counts), codes)


def is_detection(path: Path) -> bool:
    """Whether it is a layout with boxes or masks: Pascal VOC, COCO, YOLO, images with masks, or volumes with labels."""
    names = {folder.name.lower() for folder in folders(path)}
    beside = [{folder.name.lower() for folder in folders(parent)} for parent in (path, *_split_folders(path))]
    return (
        {"jpegimages", "annotations"} <= names
        or any("images" in here and here & {"masks", "instances", "labels"} for here in beside)
        or {"imagestr", "labelstr"} <= names
        or any(folder.name == "annotations" and list(folder.glob("*.json")) for folder in folders(path))
        or any(list(folder.glob("_annotations.coco.json")) for folder in [path, *folders(path)] if folder.is_dir())
        or (path.name.lower() == "vocdevkit" and path.is_dir())
    )


def refuse_detection(path: Path, in_chans: int) -> Found:
    """Raises `InputError` with the tasks that read such a folder."""
    raise InputError(
        f"{printable(path)}: boxes or masks, which are for --task detect or --task segment; for classification sort the images "
        "into one folder per class"
    )
