"""How people keep their pictures: folders of classes, CSV lists, NumPy archives. Each reader turns a path into a `Found`.

A reader only finds pictures and the names of their classes, split by split; `resnets.data.sources` decides on class indices.
"""

from __future__ import annotations

import csv
import os
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from resnets.data.pictures.images import IMAGE_SUFFIXES, ArrayImages, FileImages, printable, with_channels
from resnets.data.types import Images
from resnets.errors import InputError

SPLITS = ("train", "val", "test")
# What folders, and the third column of a CSV, may call a split.
SPLIT_WORDS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip


class Part(NamedTuple):
    """One split as found: its pictures, the names of its classes, and for each picture the position of its class there."""

    images: Images
    classes: tuple[str, ...]
    codes: np.ndarray  # (N,) int64


class Found(NamedTuple):
    name: str
    parts: dict[str, Part]  # in the order of SPLITS
    size: tuple[int, int] | None = None
    hflip: bool = True


def quoted(names: Iterable[str], limit: int = 5) -> str:
    """'a', 'b' and 7 more: names for a message."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(f"'{name}'" for name in names[:limit]) + more


# --- folders ---------------------------------------------------------------------------------------------------------


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What lies in `folder`, hidden names apart, sorted."""
    try:
        with os.scandir(folder) as entries:
            return sorted((e for e in entries if not e.name.startswith((".", "__MACOSX"))), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"{printable(folder)}: {error.strerror}; make the folder readable") from error


def _folders(folder: Path) -> list[Path]:
    return [Path(entry) for entry in _entries(folder) if _kind(entry) == "folder"] if folder.is_dir() else []


def _kind(entry: os.DirEntry[str]) -> str:
    """What a path leads to: "folder", "file", "dead link" (to nothing, or to itself), or "other" (a pipe, a device)."""
    if not os.path.exists(entry):  # noqa: PTH110 (a million files)
        return "dead link"
    return "folder" if entry.is_dir() else "file" if entry.is_file() else "other"


def _split_folders(root: Path) -> list[Path]:
    return [folder for folder in _folders(root) if folder.name.lower() in SPLIT_WORDS]


def is_split_folder(root: Path) -> bool:
    """`root/{train,val,test}/<class>/**/picture`. A class that happens to be called "train" holds pictures, not folders."""
    return any(_folders(folder) for folder in _split_folders(root))


def read_split_folder(root: Path, in_chans: int) -> Found:
    parts: dict[str, Part] = {}
    for folder in _split_folders(root):
        split = SPLIT_WORDS[folder.name.lower()]
        if split in parts:
            raise InputError(f"{printable(root)}: more than one folder holds the {split} split; keep one")
        parts[split] = _class_folders(root, folder, split, in_chans)
    return _found(printable(root.resolve().name), parts)


def is_class_folder(root: Path) -> bool:
    return root.is_dir()


def read_class_folder(root: Path, in_chans: int) -> Found:
    """`root/<class>/**/picture`: all of it is the training split."""
    folders = _folders(root)
    if folders and folders == _split_folders(root):
        names = quoted(folder.name for folder in folders)
        raise InputError(f"{printable(root)}: {names} hold no class folders; sort the pictures into one folder a class")
    return _found(printable(root.resolve().name), {"train": _class_folders(root, root, "train", in_chans)})


def _class_folders(root: Path, folder: Path, split: str, in_chans: int) -> Part:
    """The classes of one split; paths are kept relative to `root`."""
    paths: list[str] = []
    counts: dict[str, int] = {}
    empty: list[str] = []
    ancestors = {_identity(root), _identity(folder)}
    for class_folder in _folders(folder):
        found, others = _pictures(class_folder, os.path.relpath(class_folder, root), set(ancestors))
        name = printable(class_folder.name)
        if found:
            counts[name] = len(found)
            paths += found
        else:
            suffixes = ", ".join(f"{num} {suffix or 'without a suffix'}" for suffix, num in others.most_common(3))
            empty.append(f"'{name}'" + (f" (only {suffixes})" if others else ""))
    where = printable(folder)
    if not paths and not empty:
        raise InputError(f"{where}: holds no class folders; sort the pictures into one folder a class, as {where}/cat/1.jpg")
    if not paths or (empty and split == "train"):  # in val and test a class may well be missing
        few = ", ".join(empty[:5]) + (f" and {len(empty) - 5} more" if len(empty) > 5 else "")
        raise InputError(f"{where}: no pictures in {few}; add some, or remove the empty class folders")
    codes = np.repeat(np.arange(len(counts)), list(counts.values()))
    return Part(FileImages(paths, in_chans, root), tuple(counts), codes)


def _identity(folder: str | Path) -> tuple[int, int]:
    stat = os.stat(folder)  # noqa: PTH116 (entries of scandir are strings here)
    return stat.st_dev, stat.st_ino


def _pictures(folder: Path, prefix: str, visited: set[tuple[int, int]]) -> tuple[list[str], Counter[str]]:
    """All pictures below `folder`, sorted, as `prefix`/..., and the suffixes of the files that are none.

    Links are followed, but no folder is entered twice, so that a link to a folder above ends.
    """
    pictures, others, waiting = [], Counter[str](), [(folder, prefix)]
    while waiting:
        folder, prefix = waiting.pop()
        if (identity := _identity(folder)) in visited:
            continue
        visited.add(identity)
        for entry in _entries(folder):
            path = f"{prefix}{os.sep}{entry.name}"
            suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122 (a million files)
            kind = _kind(entry)
            if kind == "folder":
                waiting.append((Path(entry), path))
            elif suffix in IMAGE_SUFFIXES and kind in ("file", "dead link"):  # the latter to be named among the unreadable
                pictures.append(path)
            else:
                others[suffix] += 1
    return sorted(pictures), others


def _found(name: str, parts: dict[str, Part]) -> Found:
    return Found(name, {split: parts[split] for split in SPLITS if split in parts})


# --- CSV -------------------------------------------------------------------------------------------------------------


class Line(NamedTuple):
    path: str
    label: str
    split: str  # "" where the file has no such column
    where: str  # "list.csv line 7"


def is_csv(path: Path) -> bool:
    return path.suffix.lower() == ".csv" and path.is_file()


def read_csv(path: Path, in_chans: int) -> Found:
    """One file with the header `path,label` or `path,label,split`; without the third column all of it is for training."""
    splits: dict[str, list[Line]] = {}
    for line in _lines(path):
        word = line.split.lower() or "train"
        if word not in SPLIT_WORDS:
            raise InputError(f"{line.where}: split '{line.split}' is not known; write train, val or test")
        splits.setdefault(SPLIT_WORDS[word], []).append(line)
    return _listed(printable(path.stem), path.parent, splits, in_chans)


def is_csv_folder(root: Path) -> bool:
    return any(is_csv(root / f"{split}.csv") for split in SPLITS)


def read_csv_folder(root: Path, in_chans: int) -> Found:
    """A folder that holds train.csv and, if there are any, val.csv and test.csv."""
    splits = {split: list(_lines(root / f"{split}.csv")) for split in SPLITS if is_csv(root / f"{split}.csv")}
    return _listed(printable(root.resolve().name), root, splits, in_chans)


def _lines(path: Path) -> Iterator[Line]:
    name = printable(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file)
            header = [cell.strip().lower() for cell in next(rows, [])]
            if not {"path", "label"} <= set(header):
                raise InputError(f"{name}: the first line must name the columns path,label (it is: {','.join(header)[:80]!r})")
            columns = [header.index(column) if column in header else None for column in ("path", "label", "split")]
            for row in rows:
                if not any(cell.strip() for cell in row):
                    continue
                where = f"{name} line {rows.line_num}"
                picture, label, split = ("" if i is None or i >= len(row) else row[i].strip() for i in columns)
                if not (picture and label):
                    raise InputError(f"{where}: the path or the label is missing")
                yield Line(picture, label, split, where)
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: not UTF-8 text; save it as UTF-8") from error
    except (OSError, csv.Error) as error:
        raise InputError(f"{name}: cannot be read as CSV ({error})") from error


def _listed(name: str, root: Path, splits: dict[str, list[Line]], in_chans: int) -> Found:
    known: dict[str, tuple[str, str]] = {}
    missing: list[str] = []
    parts: dict[str, Part] = {}
    for split, lines in splits.items():
        paths, labels = [], []
        for line in lines:
            here, key = (split, line.label), os.path.normpath(line.path)
            before = known.get(key)
            if before == here:
                continue  # the same line again
            if before:
                raise InputError(
                    f"{line.where}: {line.path} is in {split} with label '{line.label}', above it is in {before[0]} with label "
                    f"'{before[1]}'; give each picture one label and one split"
                )
            known[key] = here
            if not Path(root, line.path).is_file():
                missing.append(line.path)
            paths.append(line.path)
            labels.append(line.label)
        if paths:
            classes, codes = np.unique(np.array(labels, dtype=object), return_inverse=True)
            parts[split] = Part(FileImages(paths, in_chans, root), tuple(classes), codes.astype(np.int64))
    if missing:
        raise InputError(
            f"{name}: {len(missing)} files of the list do not exist: {quoted(missing, 3)}; paths count from {printable(root)}"
        )
    if not parts:
        raise InputError(f"{name}: the list holds no pictures; write one line for each, as cats/1.jpg,cat")
    return _found(name, parts)


# --- arrays ----------------------------------------------------------------------------------------------------------


def array_part(split: str, images: np.ndarray, codes: np.ndarray, classes: tuple[str, ...], in_chans: int) -> Part:
    """A split from uint8 pictures (N, H, W) or (N, H, W, 1 or 3)."""
    return Part(ArrayImages(with_channels(images, in_chans), split), classes, codes.astype(np.int64))


def is_npz(path: Path) -> bool:
    return path.suffix.lower() == ".npz" and path.is_file()


def read_npz(path: Path, in_chans: int) -> Found:
    """train_images, train_labels, val_images, ...: uint8 (N, H, W) or (N, H, W, 3), and whole numbers (N,) or (N, 1)."""
    name = printable(path)
    parts: dict[str, Part] = {}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            for split in SPLITS:
                if f"{split}_images" not in arrays:
                    continue
                images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
                where = f"{name}: {split}_images {images.dtype} {images.shape}, {split}_labels {labels.dtype} {labels.shape}"
                pictures = images.dtype == np.uint8 and (images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (1, 3)))
                if not (pictures and images.size and labels.dtype.kind in "iu" and labels.size == len(images)):
                    raise InputError(f"{where}; give uint8 (N, H, W) or (N, H, W, 3) and one whole number for each")
                classes, codes = np.unique(labels.ravel(), return_inverse=True)
                parts[split] = array_part(split, images, codes, tuple(map(str, classes)), in_chans)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name}: cannot be read as arrays ({error}); save it with numpy.savez, without objects") from error
    sizes = {part.images[0].shape[:2] for part in parts.values()}
    if len(sizes) != 1:
        raise InputError(
            f"{name}: give train_images and train_labels (and val_, test_), all of one size; it has: {sizes or 'none'}"
        )
    return Found(printable(path.stem), parts, size=sizes.pop())


# --- not yet ---------------------------------------------------------------------------------------------------------


def is_detection(path: Path) -> bool:
    """Pascal VOC, COCO, YOLO, pictures beside masks, or volumes beside labels."""
    folders = {folder.name.lower() for folder in _folders(path)}
    beside = [{folder.name.lower() for folder in _folders(parent)} for parent in (path, *_split_folders(path))]
    return (
        {"jpegimages", "annotations"} <= folders
        or any("images" in names and names & {"masks", "instances", "labels"} for names in beside)
        or {"imagestr", "labelstr"} <= folders
        or any(folder.name == "annotations" and list(folder.glob("*.json")) for folder in _folders(path))
        or any(list(folder.glob("_annotations.coco.json")) for folder in [path, *_folders(path)] if folder.is_dir())
        or (path.name.lower() == "vocdevkit" and path.is_dir())
    )


def refuse_detection(path: Path, in_chans: int) -> Found:
    raise InputError(
        f"{printable(path)}: boxes or masks; add --task detect or --task segment, or for classification sort the pictures into "
        "one folder a class"
    )
