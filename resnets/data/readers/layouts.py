"""Layouts of classification data: class folders, CSV lists, NumPy archives. Each reader turns a path into a `Found`.

A reader finds the images and the names of their classes in each split; `resnets.data.sources` assigns class indices.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from resnets.data.frames import Frame
from resnets.data.pictures.images import IMAGE_SUFFIXES, printable, with_channels
from resnets.data.pictures.stored import ArrayImages, FileImages
from resnets.data.readers.listed import VOLUMES, is_there, listed_images, num_channels
from resnets.data.readers.walk import (
    RUN,
    RUNS,
    Left,
    Spelled,
    count_all,
    entries,
    folders,
    identity,
    is_run,
    kind_of,
    one_spelling,
    walk,
    what,
)
from resnets.data.tables import archived, csv_rows
from resnets.data.types import Images, Note
from resnets.errors import InputError
from resnets.files import foreign, is_file, open_regular

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


class Files(NamedTuple):
    """What of the files in folders of classes is an image.

    Args:
        find: (folder, its path from the root on, what counts those left out, folders not to be entered) -> the images' paths.
        images: (paths, channels, root) -> the images.
    """

    find: Callable[[Path, str, Left, set[tuple[int, int]]], Iterable[str]]
    images: Callable[[Sequence[str], int, Path], Images]


PICTURES = Files(lambda folder, prefix, left, visited: sorted(walk(folder, prefix, left, visited=visited)), FileImages)


class Found(NamedTuple):
    """A dataset as a reader finds it.

    Args:
        name: its name.
        parts: its splits by name, in the order of `SPLITS`.
        size: (height, width) in pixels, if all images are of one size.
        hflip: whether flipped images are of the same class.
        notes, kind: as of `Source`.
        in_chans: channels that the data decides; None: those that were asked for.
    """

    name: str
    parts: dict[str, Part]
    size: tuple[int, int] | None = None
    hflip: bool = True
    notes: tuple[Note, ...] = ()
    kind: str = "classes"
    in_chans: int | None = None


def quoted(names: Iterable[str], limit: int = 5) -> str:
    """Names for a message: "'a', 'b' and 7 more", of at most `limit` names and of each at most 100 characters."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(f"'{name:.100}'" for name in names[:limit]) + more


# --- folders ---------------------------------------------------------------------------------------------------------

# Names that mean a split without being among SPLIT_WORDS: "Train Set", val2017, test_images, dev, evaluation.
LIKE_A_SPLIT = re.compile(
    r"(?:(?:images?|imgs?|data|pictures?)[\W_]*)?"
    r"(?:train|training|trn|val|vali?d|validate|validating|validation|dev|devel|development|eval|evaluate|evaluation|test|testing"
    r"|tst|hold[\W_]?out)"
    r"[\W_\d]*(?:sets?|splits?|data|datasets?|images?|imgs?|pictures?|pics|folder)?[\W_\d]*",
    re.IGNORECASE,
)


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
    return _found(printable(root.resolve().name), parts, left.notes())


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
    return _found(printable(root.resolve().name), {"train": part}, left.notes())


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
        found = list(of.find(class_folder, os.path.relpath(class_folder, root), inside, set(ancestors)))
        name = printable(class_folder.name)
        for kind, (num, first) in inside.kinds.items():
            left.add(kind, first, num)
        if found:
            counts[name] = len(found)
            paths += found
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


def _found(name: str, parts: dict[str, Part], notes: tuple[Note, ...] = ()) -> Found:
    """In the order of `SPLITS`; of volumes with the channels that the data decides."""
    found = Found(name, {split: parts[split] for split in SPLITS if split in parts}, notes=notes)
    chans = num_channels(name, {split: part.images for split, part in parts.items()})
    return found if chans is None else found._replace(kind=VOLUMES, in_chans=chans, hflip=False)


# --- CSV -------------------------------------------------------------------------------------------------------------


COLUMNS = ("path", "label", "split")  # that are read


class Line(NamedTuple):
    """A line of a CSV list."""

    path: str
    label: str
    split: str | None  # None if the file has no such column
    where: str  # for messages: "list.csv line 7"
    names: tuple[str, ...] = ()  # of the other columns, and what they hold
    cells: tuple[str, ...] = ()


def is_csv(path: Path | Frame) -> bool:
    """Whether it is a CSV file, or a DataFrame in the place of one."""
    return isinstance(path, Frame) or (path.suffix.lower() == ".csv" and is_file(path))


def read_csv(path: Path | Frame, in_chans: int) -> Found:
    """Read a file, or a DataFrame, with the header `path,label` or `path,label,split`; without the third column all images are
    for training.

    Raises:
        InputError: if it is not such a file, an image is missing, or an image has two labels or splits.
    """
    splits: dict[str, list[Line]] = {}
    for line in _lines(path):
        splits.setdefault(split_of(line.split, line.where), []).append(line)
    return _listed(printable(path.stem), path.parent, splits, in_chans)


def read_part(path: Path | Frame, split: str, in_chans: int) -> Part:
    """Read a list with `path,label` as the split that it is; a column `split` is one that is not read. Raises as `read_csv`."""
    return _listed(printable(path.stem), path.parent, {split: list(_lines(path, COLUMNS[:2]))}, in_chans).parts[split]


def split_of(word: str | None, where: str) -> str:
    """The split that a cell means; None, where there is no such column, means train. Raises `InputError`."""
    if word == "":
        raise InputError(f"{where}: the split is missing; write train, val or test, or leave the column out")
    if (split := SPLIT_WORDS.get((word or "train").lower())) is None:
        raise InputError(f"{where}: split '{word:.100}' is not known; write train, val or test")
    return split


def is_csv_folder(root: Path) -> bool:
    return any(is_csv(root / f"{split}.csv") for split in SPLITS)


def read_csv_folder(root: Path, in_chans: int) -> Found:
    """Read a folder with train.csv and optionally val.csv and test.csv. Raises as `read_csv`."""
    files = {split: root / f"{split}.csv" for split in SPLITS if is_csv(root / f"{split}.csv")}
    splits = {split: list(_lines(path, COLUMNS[:2])) for split, path in files.items()}
    return _listed(printable(root.resolve().name), root, splits, in_chans)


def _lines(path: Path | Frame, read: Sequence[str] = COLUMNS) -> Iterator[Line]:
    """The lines of a list, of which the columns `read` are read."""
    rows = csv_rows(path, strict=True)
    name, first = next(rows)
    header = [cell.strip().lower() for cell in first]
    if not {"path", "label"} <= set(header):
        raise InputError(
            f"{name}: the first line must name the columns path,label (it is: {','.join(header)[:80]!r})"
            + "; several labels per image are for --task tag" * ("labels" in header)
        )
    if len(set(header)) < len(header):
        raise InputError(
            f"{name}: the first line names a column twice (it is: {','.join(header)[:80]!r}); give each its own name"
        )
    columns = [header.index(column) if column in header and column in read else None for column in COLUMNS]
    others = {cell.strip(): i for i, cell in enumerate(first) if cell.strip() and i not in columns}
    for where, row in rows:
        if any(cell.strip() for cell in row[len(header) :]):
            raise InputError(f"{where}: {len(row)} cells under {len(header)} columns; add or remove commas, or quote the cells")
        picture, label, split = ("" if i is None or i >= len(row) else row[i].strip() for i in columns)
        if not (picture and label):
            raise InputError(f"{where}: the path or the label is missing")
        if "\n" in picture + label + split:
            raise InputError(f"{where}: a quote is open, and the next lines became part of the cell; close or remove the quote")
        cells = tuple("" if i >= len(row) else row[i].strip() for i in others.values())
        yield Line(picture, label, None if columns[2] is None else split, where, tuple(others), cells)


def _listed(name: str, root: Path, splits: dict[str, list[Line]], in_chans: int) -> Found:
    known: dict[str, tuple[str, str]] = {}
    find = Spelled(root)
    missing: list[str] = []
    repeated: list[str] = []
    respelled: list[str] = []
    parts: dict[str, Part] = {}
    for split, lines in splits.items():
        paths, labels, cells = [], [], []
        for line in lines:
            here, key = (split, line.label), one_spelling(root, line.path)
            before = known.get(key)
            if before == here:
                repeated.append(line.where)
                continue
            if before:
                raise InputError(
                    f"{line.where}: {line.path} is in {split} with label '{line.label}', above it is in {before[0]} with label "
                    f"'{before[1]}'; give each image one label and one split"
                )
            known[key] = here
            there = line.path
            if not is_there(Path(root, there)):
                there = find(line.path) or line.path
                (missing if there == line.path else respelled).append(line.path)
            paths.append(there)
            labels.append(line.label)
            cells.append(line.cells)
        if paths and not missing:
            classes, codes = np.unique(np.array(labels, dtype=object), return_inverse=True)
            columns = {name: np.array(column) for name, column in zip(lines[0].names, zip(*cells, strict=True), strict=True)}
            parts[split] = Part(listed_images(name, paths, in_chans, root), tuple(classes), codes.astype(np.int64), columns)
    if missing:
        raise InputError(
            f"{name}: {len(missing)} files of the list do not exist: {quoted(missing, 3)}; paths count from {printable(root)}"
        )
    if not parts:
        raise InputError(f"{name}: the list holds no images; write one line for each, as cats/1.jpg,cat")
    notes = (
        [Note("repeated", f"{len(repeated)} lines name an image again, as {repeated[0]}; it counts once")] if repeated else []
    )
    if respelled:
        words = (
            f"{len(respelled)} paths are spelled in another form of Unicode (NFC, NFD) than the files: {quoted(respelled, 3)}"
        )
        notes.append(Note("spelling", words))
    return _found(name, parts, tuple(notes))


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
            images, labels = archived(archive, f"{split}_images.npy"), archived(archive, f"{split}_labels.npy")
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


# --- layouts of other tasks --------------------------------------------------------------------------------------------


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
