"""The YOLO format: a text file per image, with a line `class x y width height` per object, in fractions of the image. No torch.

A line may hold a polygon instead, `class x0 y0 x1 y1 x2 y2 ...`, whose bounding box is the object's. An image without a text
file has no objects, as in Ultralytics' programs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resnets.data.pictures.images import IMAGE_SUFFIXES, printable
from resnets.data.pictures.stored import FileImages
from resnets.data.readers.boxes import BoxTargets, Broken, refuse_all_broken
from resnets.data.readers.label_rules import RawBoxes
from resnets.data.readers.layouts import SPLITS
from resnets.data.readers.names import class_indices, names_file
from resnets.data.readers.pairs import by_stem, pairs_of_folders
from resnets.data.readers.walk import Left, walk
from resnets.data.types import Note, Source, Split
from resnets.errors import InputError
from resnets.files import foreign, is_file, read_bytes, read_text, read_yaml, short

IMAGES, LABELS, TEXT = "images", "labels", ".txt"
SETTINGS = ("data.yaml", "dataset.yaml", "data.yml")
LISTS = ("classes.txt", "obj.names", "labels.txt")  # names of classes, one a line, beside or among the labels
ROUNDING = 1e-5  # of coordinates in texts
NUMBER = re.compile("[0-9]{1,4}")  # of a class
MAX_BYTES, MAX_LIST_BYTES = 2**22, 2**28  # of labels or names, and of a list of images


def is_yolo(path: Path) -> bool:
    if path.suffix.lower() in (".yaml", ".yml") and is_file(path):
        return True
    if not path.is_dir():
        return False
    pairs = pairs_of_folders(path, IMAGES, LABELS).values()
    return _settings_file(path) is not None or any(next(walk(pair[1], "", Left(), suffixes=(TEXT,)), None) for pair in pairs)


def _settings_file(root: Path) -> Path | None:
    for path in (root / name for name in SETTINGS):
        if is_file(path) and path.stat().st_size <= MAX_BYTES:
            words = read_bytes(path, most=MAX_BYTES)
            if b"names" in words and (b"train" in words or b"val" in words):
                return path
    return None


def read_yolo(path: Path, in_chans: int, labels: Sequence[str] | None = None, masks: bool = False) -> Source:
    """Read a `data.yaml` (or the folder with it), or `images/` + `labels/` with texts, in or above `{train,val,test}/`.

    The classes are `labels`, or the `names` of `data.yaml`, or the lines of `classes.txt`, or numbers up to the largest one.

    Args:
        masks: whether to read polygons as instance masks.

    Raises:
        InputError: if a folder is missing, no label can be used, or a class has no name.
    """
    root, file = (path.parent, path) if is_file(path) else (path, _settings_file(path))
    settings = _read_settings(file) if file else {}
    left = Left()
    by_file = file is not None and any(split in settings for split in SPLITS)
    found = _by_settings(root, file, settings, left) if file and by_file else _by_folders(root, left)
    if not found:
        raise InputError(f"{printable(path)}: no images/ and labels/ here; give train and val in data.yaml, or these folders")
    names, given = _names(root, settings, labels)
    rows = {split: [_read_labels(text, root) for _, text in pairs] for split, pairs in found.items()}
    every = [row for parts in rows.values() for row in parts]
    codes = {int(code) for row in every if isinstance(row, RawBoxes) for code in row.labels}
    refuse_all_broken(root, [row for row in every if isinstance(row, Broken)], map(str, codes))
    if names is None:
        names, given = tuple(str(number) for number in range(max(codes, default=-1) + 1)), "no data.yaml or classes.txt"
    own = _own_names(root, settings) or names
    if codes and max(codes) >= len(own):
        words = f"objects of class {max(codes)}, and the names end at {len(own) - 1}"
        raise InputError(f"{printable(root)}: {words}; add the names to data.yaml or classes.txt")
    class_index = class_indices(names, {own[code] for code in codes}, printable(root), given)
    table = np.array([class_index.get(name, -1) for name in own] or [0], dtype=np.int64)
    splits, empty = {}, 0
    for split, pairs in found.items():
        images = FileImages([image for image, _ in pairs], in_chans, root)
        raw = [row if isinstance(row, Broken) else _with_index(row, table) for row in rows[split]]
        splits[split] = Split(images, BoxTargets(images, raw, names, masks))
        empty += sum(not _is_there(text) for _, text in pairs)
    notes = list(left.notes())
    if empty:
        notes.append(Note("negative", f"{empty:,} images without a label file: taken as images without objects, as YOLO does"))
    return Source(printable(root.resolve().name), names, splits, in_chans, kind="boxes", notes=tuple(notes))


def _with_index(row: RawBoxes, table: np.ndarray) -> RawBoxes:
    return RawBoxes(row.corners, table[row.labels], row.ignore, segments=row.segments, relative=True)


# --- where the images are ---


def _by_folders(root: Path, left: Left) -> dict[str, list[tuple[Path, Path]]]:
    """(image relative to `root`, label file) of each split, by the names of folders."""
    found = {}
    for split, (pictures, labels) in pairs_of_folders(root, IMAGES, LABELS, left).items():
        images = by_stem(pictures, IMAGE_SUFFIXES, left)
        texts = {stem: path for stem, path in by_stem(labels, (TEXT,), Left()).items() if path.name not in LISTS}
        if not images:
            raise InputError(f"{printable(pictures)}: no images here; put them there, not in folders below it")
        if not images.keys() & texts.keys():
            raise InputError(f"{printable(labels)}: no file there has the name of an image in {printable(pictures)}")
        for stem in sorted(texts.keys() - images.keys()):
            left.add("labels without an image", texts[stem])
        pairs = sorted(images.items())
        found[split] = [(path.relative_to(root), texts.get(stem, labels / f"{stem}{TEXT}")) for stem, path in pairs]
    return found


def _by_settings(root: Path, file: Path, settings: dict[str, Any], left: Left) -> dict[str, list[tuple[Path, Path]]]:
    """(image relative to `root`, label file) of each split, by `data.yaml`."""
    found = {}
    for split in SPLITS:
        value = settings.get(split) if split in settings else settings.get("valid") if split == "val" else None
        paths = value if isinstance(value, list) else [value] if value else []
        with foreign(file, "give train and val, folders or lists below it"):  # of names that no file can have
            images = [image for entry in paths for image in _images_at(root, file, settings, entry, split, left)]
        if images:
            found[split] = [(image, root / _label_of(image)) for image in images]
    if not found:
        raise InputError(f"{printable(file)}: names no images; give train and val, folders relative to the file")
    return found


def _images_at(root: Path, file: Path, settings: dict[str, Any], entry: Any, split: str, left: Left) -> list[Path]:
    """The images, relative to `root`, in a folder or a list that `data.yaml` names. What it names must lie below `root`; links
    there are followed, as everywhere."""
    names = [str(entry).replace("\\", "/")]
    names += [f"{settings['path']}/{names[0]}"] if isinstance(settings.get("path"), str) else []
    names += [names[0].lstrip("./")]  # Roboflow writes ../train/images for train/images
    below = [path for name in names if (path := _below(root, name)) is not None and (root / path).exists()]
    if not below:
        if split == "test":  # Roboflow names one that it does not write
            return []
        raise InputError(
            f"{printable(file)}: {split} is '{printable(names[0])}', and no such folder is below {printable(root)}"
        )
    place, others = root / below[0], Left()
    if place.suffix.lower() == TEXT and is_file(place):
        lines = [line.strip() for line in read_text(place, most=MAX_LIST_BYTES).splitlines() if line.strip()]
        found = [(line, _below(root, line, below[0].parent)) for line in lines]
        if outside := [line for line, path in found if path is None]:
            raise InputError(f"{printable(place)}: names '{printable(outside[0])}', which leads out of its folder")
        if folders := [line for line, path in found if path is not None and not path.name]:
            raise InputError(f"{printable(place)}: names '{printable(folders[0])}', which is the folder; give images")
        return [path for _, path in found if path is not None]
    images = [Path(path) for path in sorted(walk(place, str(below[0]), others))]
    for kind, (num, first) in others.kinds.items():
        if kind != TEXT:  # labels may lie beside their images
            left.add(kind, first, num)
    return images


def _below(root: Path, name: str, folder: Path = Path()) -> Path | None:
    """The path that `name` means, counted from `folder` and relative to `root`; None where its words lead out of `root`."""
    if "\0" in name:  # no file can be called so
        return None
    whole = Path(os.path.abspath(root / folder / name))  # noqa: PTH100 (links are not followed: they may lead out)
    for inside in (Path(os.path.abspath(root)), root.resolve()):  # noqa: PTH100
        if whole.is_relative_to(inside):
            return whole.relative_to(inside)
    return None


def _label_of(image: Path) -> Path:
    """The label file of an image: in the folder `labels` where it lies in `images`, else beside it."""
    parts = list(image.parts)
    for number in reversed(range(len(parts) - 1)):
        if parts[number] == IMAGES:
            parts[number] = LABELS
            break
    return Path(*parts).with_suffix(TEXT)


# --- what they hold ---


def _read_settings(file: Path) -> dict[str, Any]:
    settings = read_yaml(file, plain=True)
    if not isinstance(settings, dict):
        raise InputError(f"{printable(file)}: holds no settings; write train, val and names")
    if "kpt_shape" in settings:
        raise InputError(f"{printable(file)}: key points (kpt_shape), which are not supported; give boxes or polygons")
    return settings


def _names(root: Path, settings: dict[str, Any], labels: Sequence[str] | None) -> tuple[tuple[str, ...] | None, str]:
    if labels is not None:
        return tuple(labels), "the classes given"
    own = _own_names(root, settings)
    return own, "data.yaml" if settings.get("names") else "classes.txt"


def _own_names(root: Path, settings: dict[str, Any]) -> tuple[str, ...] | None:
    """The names of the numbers 0, 1, ... in labels."""
    names = settings.get("names")
    if isinstance(names, dict) and all(NUMBER.fullmatch(key) for key in names):
        by_number = {int(key): str(name) for key, name in names.items()}
        return tuple(by_number.get(number, f"unused_{number}") for number in range(max(by_number, default=-1) + 1))
    if isinstance(names, list):
        return tuple(map(str, names))
    for folder in (root, root / LABELS, root / LABELS / "train", root / "train" / LABELS):
        for name in LISTS:
            if is_file(folder / name) and name == LISTS[0]:
                return names_file(folder, None)[0]
            if is_file(folder / name):
                return tuple(line.strip() for line in read_text(folder / name, most=MAX_BYTES).splitlines() if line.strip())
    return None


def _is_there(path: Path) -> bool:
    """Whether there is something at `path`, which may be a name that no file can have."""
    return os.path.exists(path)  # noqa: PTH110 (Path.exists raises for names that are too long)


def _read_labels(path: Path, root: Path) -> RawBoxes | Broken:
    """The objects of a label file, with their numbers as labels; none where there is no file."""
    corners: list[list[float]] = []
    codes: list[int] = []
    segments: list[Any] = []
    try:
        lines = read_text(path, most=MAX_BYTES).splitlines() if _is_there(path) else []
        for number, line in enumerate(lines, 1):
            values = [float(word) for word in line.split()]
            if not values:
                continue
            if values[0] != int(values[0]) or not 0 <= values[0] < 2**16:
                raise ValueError(f"line {number}: the class is {line.split()[0]:.20}; write its number")
            if len(values) == 5:
                x, y, width, height = values[1:]
                corners.append([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
                segments.append(None)
            elif len(values) >= 7 and len(values) % 2:
                ring = np.array(values[1:]).reshape(-1, 2)
                corners.append([*ring.min(0), *ring.max(0)])
                segments.append([values[1:]])
            else:
                raise ValueError(f"line {number}: {len(values)} numbers; write class x y width height, or class and a polygon")
            codes.append(int(values[0]))
    except (OSError, ValueError, OverflowError) as error:
        where = printable(path.relative_to(root) if path.is_relative_to(root) else path)
        return Broken("bad_annotation", f"{where} cannot be read ({short(error)})")
    raw = np.array(corners, dtype=np.float64).reshape(-1, 4)
    raw = np.where(np.abs(raw - np.rint(raw)) < ROUNDING, np.rint(raw), raw)  # of centres and sides, at the image's edge
    labels = np.array(codes, dtype=np.int64)
    return RawBoxes(raw, labels, np.zeros(len(labels), bool), segments=tuple(segments), relative=True)
