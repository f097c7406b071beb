"""Layouts of classification data: class folders, CSV lists, NumPy archives. Each reader turns a path into a `Found`.

A reader finds the images and the names of their classes in each split; `resnets.data.sources` assigns class indices.
"""

from __future__ import annotations

import csv
import io
import math
import os
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from resnets.data.cache import free_memory
from resnets.data.pictures.images import IMAGE_SUFFIXES, ArrayImages, FileImages, printable, with_channels
from resnets.data.types import Images
from resnets.errors import InputError
from resnets.files import foreign, is_file, open_regular, short

MAX_CSV_BYTES = 2**30
# An array in an archive may have so many bytes, or so many times those that are stored: images compress a few times.
MAX_UNPACKED, MAX_TIMES = 2**28, 100
SPLITS = ("train", "val", "test")
# Names of splits, as folders and in the third column of a CSV.
SPLIT_WORDS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip


class Part(NamedTuple):
    """A split as a reader finds it: its images, the names of its classes, for each image the index of its class there, and what
    else a list says of each (`Split.columns`)."""

    images: Images
    classes: tuple[str, ...]
    codes: np.ndarray  # (N,) int64
    columns: Mapping[str, np.ndarray] = MappingProxyType({})


class Found(NamedTuple):
    """A dataset as a reader finds it.

    Args:
        name: its name.
        parts: its splits by name, in the order of `SPLITS`.
        size: (height, width) in pixels, if all images are of one size.
        hflip: whether flipped images are of the same class.
    """

    name: str
    parts: dict[str, Part]
    size: tuple[int, int] | None = None
    hflip: bool = True


def quoted(names: Iterable[str], limit: int = 5) -> str:
    """Names for a message: "'a', 'b' and 7 more", of at most `limit` names and of each at most 100 characters."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(f"'{name:.100}'" for name in names[:limit]) + more


# --- folders ---------------------------------------------------------------------------------------------------------


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """The entries of `folder`, sorted by name, without hidden ones. Raises `InputError` if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted((e for e in entries if not e.name.startswith((".", "__MACOSX"))), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"{printable(folder)}: {error.strerror}; make the folder readable") from error


def _folders(folder: Path) -> list[Path]:
    return [Path(entry) for entry in _entries(folder) if _kind(entry) == "folder"] if folder.is_dir() else []


def _kind(entry: os.DirEntry[str]) -> str:
    """The kind of an entry: "folder", "file", "dead link" (a link to nothing or to itself), or "other" (a pipe, a device)."""
    if not os.path.exists(entry):  # noqa: PTH110 (a million files)
        return "dead link"
    return "folder" if entry.is_dir() else "file" if entry.is_file() else "other"


def _split_folders(root: Path) -> list[Path]:
    return [folder for folder in _folders(root) if folder.name.lower() in SPLIT_WORDS]


def is_split_folder(root: Path) -> bool:
    """Whether it is `root/{train,val,test}/<class>/**/image`. A class called "train" would hold images, not folders."""
    return any(_folders(folder) for folder in _split_folders(root))


def read_split_folder(root: Path, in_chans: int) -> Found:
    """Read `root/{train,val,test}/<class>/**/image`. Raises `InputError` for a split with two folders or without images."""
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
    """Read `root/<class>/**/image`, all as the training split. Raises `InputError` if a class has no images."""
    folders = _folders(root)
    if folders and folders == _split_folders(root):
        names = quoted(folder.name for folder in folders)
        raise InputError(f"{printable(root)}: {names} hold no class folders; sort the images into one folder per class")
    return _found(printable(root.resolve().name), {"train": _class_folders(root, root, "train", in_chans)})


def _class_folders(root: Path, folder: Path, split: str, in_chans: int) -> Part:
    """The split in `folder`, with one folder per class; paths are relative to `root`. Raises `InputError` without images."""
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
        raise InputError(f"{where}: holds no class folders; sort the images into one folder per class, as {where}/cat/1.jpg")
    if not paths or (empty and split == "train"):  # in val and test a class may well be missing
        few = ", ".join(empty[:5]) + (f" and {len(empty) - 5} more" if len(empty) > 5 else "")
        raise InputError(f"{where}: no images in {few}; add some, or remove the empty class folders")
    codes = np.repeat(np.arange(len(counts)), list(counts.values()))
    return Part(FileImages(paths, in_chans, root), tuple(counts), codes)


def _identity(folder: str | Path) -> tuple[int, int]:
    stat = os.stat(folder)  # noqa: PTH116 (entries of scandir are strings here)
    return stat.st_dev, stat.st_ino


def _pictures(folder: Path, prefix: str, visited: set[tuple[int, int]]) -> tuple[list[str], Counter[str]]:
    """The paths of all images below `folder`, sorted, as `prefix`/..., and the suffixes of other files with their counts.

    Links are followed, but no folder is entered twice, so that links to a parent folder do not loop.
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
            elif suffix in IMAGE_SUFFIXES and kind in ("file", "dead link"):  # dead links are reported as unreadable later
                pictures.append(path)
            else:
                others[suffix] += 1
    return sorted(pictures), others


def _found(name: str, parts: dict[str, Part]) -> Found:
    return Found(name, {split: parts[split] for split in SPLITS if split in parts})


# --- CSV -------------------------------------------------------------------------------------------------------------


class Line(NamedTuple):
    """A line of a CSV list."""

    path: str
    label: str
    split: str  # "" if the file has no such column
    where: str  # for messages: "list.csv line 7"
    names: tuple[str, ...] = ()  # of the other columns, and what they hold
    cells: tuple[str, ...] = ()


def is_csv(path: Path) -> bool:
    return path.suffix.lower() == ".csv" and is_file(path)


def read_csv(path: Path, in_chans: int) -> Found:
    """Read a file with the header `path,label` or `path,label,split`; without the third column all images are for training.

    Raises:
        InputError: if it is not such a file, an image is missing, or an image has two labels or splits.
    """
    splits: dict[str, list[Line]] = {}
    for line in _lines(path):
        splits.setdefault(split_of(line.split, line.where), []).append(line)
    return _listed(printable(path.stem), path.parent, splits, in_chans)


def split_of(word: str, where: str) -> str:
    """The split that a cell means; an empty one means train. Raises `InputError`."""
    if (split := SPLIT_WORDS.get(word.lower() or "train")) is None:
        raise InputError(f"{where}: split '{word}' is not known; write train, val or test")
    return split


def is_csv_folder(root: Path) -> bool:
    return any(is_csv(root / f"{split}.csv") for split in SPLITS)


def read_csv_folder(root: Path, in_chans: int) -> Found:
    """Read a folder with train.csv and optionally val.csv and test.csv. Raises as `read_csv`."""
    splits = {split: list(_lines(root / f"{split}.csv")) for split in SPLITS if is_csv(root / f"{split}.csv")}
    return _listed(printable(root.resolve().name), root, splits, in_chans)


def _lines(path: Path) -> Iterator[Line]:
    rows = csv_rows(path)
    name, first = next(rows)
    header = [cell.strip().lower() for cell in first]
    if not {"path", "label"} <= set(header):
        raise InputError(
            f"{name}: the first line must name the columns path,label (it is: {','.join(header)[:80]!r})"
            + "; several labels per image are for --task tag" * ("labels" in header)
        )
    columns = [header.index(column) if column in header else None for column in ("path", "label", "split")]
    others = {cell.strip(): i for i, cell in enumerate(first) if cell.strip() and i not in columns}
    for where, row in rows:
        picture, label, split = ("" if i is None or i >= len(row) else row[i].strip() for i in columns)
        if not (picture and label):
            raise InputError(f"{where}: the path or the label is missing")
        cells = tuple("" if i >= len(row) else row[i].strip() for i in others.values())
        yield Line(picture, label, split, where, tuple(others), cells)


def csv_rows(path: Path, *, strict: bool = False) -> Iterator[tuple[str, list[str]]]:
    """The first row of a CSV file ([] in an empty one), and the others that hold something; each with where it stands, for
    messages.

    Args:
        strict: refuse what is badly quoted.

    Raises:
        InputError: where the file cannot be read, or is not CSV.
    """
    name = printable(path)
    try:
        with io.TextIOWrapper(open_regular(path, MAX_CSV_BYTES), encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=strict)
            yield name, next(rows, [])
            for row in rows:
                if any(cell.strip() for cell in row):
                    yield f"{name} line {rows.line_num}", row
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: not UTF-8 text; save it as UTF-8") from error
    except (OSError, csv.Error) as error:
        raise InputError(f"{name}: cannot be read as CSV ({short(error)})") from error


def _listed(name: str, root: Path, splits: dict[str, list[Line]], in_chans: int) -> Found:
    known: dict[str, tuple[str, str]] = {}
    missing: list[str] = []
    parts: dict[str, Part] = {}
    for split, lines in splits.items():
        paths, labels, cells = [], [], []
        for line in lines:
            here, key = (split, line.label), os.path.normpath(line.path)
            before = known.get(key)
            if before == here:
                continue  # the same line again
            if before:
                raise InputError(
                    f"{line.where}: {line.path} is in {split} with label '{line.label}', above it is in {before[0]} with label "
                    f"'{before[1]}'; give each image one label and one split"
                )
            known[key] = here
            if not is_file(Path(root, line.path)):
                missing.append(line.path)
            paths.append(line.path)
            labels.append(line.label)
            cells.append(line.cells)
        if paths:
            classes, codes = np.unique(np.array(labels, dtype=object), return_inverse=True)
            columns = {name: np.array(column) for name, column in zip(lines[0].names, zip(*cells, strict=True), strict=True)}
            parts[split] = Part(FileImages(paths, in_chans, root), tuple(classes), codes.astype(np.int64), columns)
    if missing:
        raise InputError(
            f"{name}: {len(missing)} files of the list do not exist: {quoted(missing, 3)}; paths count from {printable(root)}"
        )
    if not parts:
        raise InputError(f"{name}: the list holds no images; write one line for each, as cats/1.jpg,cat")
    return _found(name, parts)


# --- arrays ----------------------------------------------------------------------------------------------------------


def array_part(split: str, images: np.ndarray, codes: np.ndarray, classes: tuple[str, ...], in_chans: int) -> Part:
    """A split of images in memory.

    Args:
        images: uint8 (N, H, W) or (N, H, W, 1 or 3).
        codes: (N,) integers, the position of each image's class in `classes`.
    """
    return Part(ArrayImages(with_channels(images, in_chans), split), classes, codes.astype(np.int64))


def is_npz(path: Path) -> bool:
    return path.suffix.lower() == ".npz" and is_file(path)


def read_npz(path: Path, in_chans: int) -> Found:
    """Read train_images, train_labels, val_images, ...: uint8 (N, H, W) or (N, H, W, 3), and integers (N,) or (N, 1).

    Raises:
        InputError: if the arrays are missing or of other types or shapes, or cannot be read.
    """
    name = printable(path)
    parts: dict[str, Part] = {}
    remedy = "save it with numpy.savez, without objects"
    with foreign(name, remedy, what="arrays"), open_regular(path) as file, zipfile.ZipFile(file) as archive:
        for split in SPLITS:
            if f"{split}_images.npy" not in archive.namelist():
                continue
            images, labels = _array(archive, f"{split}_images.npy"), _array(archive, f"{split}_labels.npy")
            where = f"{name}: {split}_images {images.dtype} {images.shape}, {split}_labels {labels.dtype} {labels.shape}"
            pictures = images.dtype == np.uint8 and (images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (1, 3)))
            if not (pictures and images.size and labels.dtype.kind in "iu" and labels.size == len(images)):
                raise InputError(f"{where}; give uint8 (N, H, W) or (N, H, W, 3) and one integer for each")
            classes, codes = np.unique(labels.ravel(), return_inverse=True)
            parts[split] = array_part(split, images, codes, tuple(map(str, classes)), in_chans)
    sizes = {part.images[0].shape[:2] for part in parts.values()}
    if len(sizes) != 1:
        raise InputError(
            f"{name}: give train_images and train_labels (and val_, test_), all of one size; it has: {sizes or 'none'}"
        )
    return Found(printable(path.stem), parts, size=sizes.pop())


def _array(archive: zipfile.ZipFile, member: str) -> np.ndarray:
    """An array of an archive. Its size is checked against what is stored, and against its header, before memory is used."""
    info = archive.getinfo(member)
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{member} is encrypted, or compressed in another way than by deflate")
    if info.file_size > max(MAX_UNPACKED, MAX_TIMES * info.compress_size):
        raise ValueError(f"{member} of {info.file_size:,} bytes is {info.compress_size:,} stored, as no images are")
    if 0 < (free := free_memory()) < info.file_size:
        raise ValueError(f"{member} has {info.file_size:,} bytes, and {free:,} of memory are free")
    with archive.open(info) as file:
        header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, _, dtype = header[np.lib.format.read_magic(file)](file)
        if dtype.hasobject or file.tell() + math.prod(shape) * dtype.itemsize != info.file_size:
            raise ValueError(f"{member} has {info.file_size:,} bytes, which are not {dtype} {shape!s:.80}")
    with archive.open(info) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


# --- layouts of other tasks --------------------------------------------------------------------------------------------


def is_detection(path: Path) -> bool:
    """Whether it is a layout with boxes or masks: Pascal VOC, COCO, YOLO, images with masks, or volumes with labels."""
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
    """Raises `InputError` with the tasks that read such a folder."""
    raise InputError(
        f"{printable(path)}: boxes or masks, which are for --task detect or --task segment; for classification sort the images "
        "into one folder per class"
    )
