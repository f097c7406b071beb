"""The COCO format: one JSON file per split, with boxes and instance masks as polygons or run lengths. No torch."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

import numpy as np

from resnets.data.pictures.images import FileImages, printable
from resnets.data.readers.boxes import BoxTargets
from resnets.data.readers.label_rules import RawBoxes
from resnets.data.readers.layouts import SPLIT_WORDS, quoted
from resnets.data.readers.names import class_indices, in_folder, names_file
from resnets.data.types import Source, Split
from resnets.errors import InputError
from resnets.files import foreign, is_file, read_regular

MAX_JSON_BYTES = 2**30  # COCO's largest file has half of that
MAX_ID = 2**63 - 1


def is_coco(root: Path) -> bool:
    return root.is_dir() and bool(_files(root))


def read_coco(root: Path, in_chans: int, labels: Sequence[str] | None = None, masks: bool = False) -> Source:
    """Read `annotations/instances_{train,val,test}*.json`, or `{train,val,test}/_annotations.coco.json` beside the images.

    Images are searched beside the file, in `<split>/` (such as train2017), `images/<split>/`, `images/` and `root`. Crowds are
    ignored. The classes are `labels`, or the lines of `classes.txt`, or the first split's categories, ordered by id.

    Args:
        masks: whether to read instance masks.

    Raises:
        InputError: if a file is not valid, no image is found, or a category is not among given classes.
    """
    names, given = names_file(root, labels)
    splits = {}
    for split, path in _files(root).items():
        file = CocoFile(path)
        if names is None:
            names, given = tuple(file.categories.values()), printable(path)
        class_index = class_indices(names, file.used(), printable(path), given)
        found = list(file.pictures())
        images = FileImages(_find(root, path, [name for name, _ in found]), in_chans, root)
        raw = [file.raw(id, class_index, masks) for _, id in found]
        splits[split] = Split(images, BoxTargets(images, raw, names, masks))
    if names is None or not splits:
        raise InputError(f"{printable(root)}: no annotations/instances_train*.json")
    return Source(printable(root.resolve().name), names, splits, in_chans, kind="boxes")


def _files(root: Path) -> dict[str, Path]:
    """The annotation file of each split, train first. Raises `InputError` if a split has two."""
    found: dict[str, Path] = {}
    paths = [*root.glob("annotations/instances_*.json"), *root.glob("*/_annotations.coco.json")]
    for path in sorted(paths):
        word = (_stem(path) if path.parent.name == "annotations" else path.parent.name).rstrip("0123456789").lower()
        split = SPLIT_WORDS.get(word)
        if split in found:
            raise InputError(f"{printable(root)}: {path.name} and {found[split].name} are both for {split}; keep one")
        if split:
            found[split] = path
    return {split: found[split] for split in ("train", "val", "test") if split in found}


def _stem(path: Path) -> str:
    return path.stem.removeprefix("instances_")


def _find(root: Path, path: Path, names: list[str]) -> list[Path]:
    """The images' paths relative to `root`. All are taken to be in the folder in which the first image is found."""
    stem = _stem(path)
    folders = [path.parent, root / stem, root / "images" / stem, root / "images", root]
    folders[1:1] = [folder / stem.rstrip("0123456789") for folder in (root, root / "images")]
    folder = next((folder for name in names[:100] for folder in folders if is_file(folder / name)), None)
    if folder is None:
        where = ", ".join(printable(folder.relative_to(root)) + "/" for folder in folders[1:-1])
        raise InputError(
            f"{printable(path)}: none of its images is in {where} or beside it; put {names[0] if names else 'them'} there"
        )
    return [folder.relative_to(root) / name for name in names]


class ImageEntry(TypedDict):
    """An entry of "images"; only `id` and `file_name` are validated."""

    id: int
    file_name: str
    height: NotRequired[object]
    width: NotRequired[object]


class Annotation(TypedDict):
    """An entry of "annotations"; only `image_id` and `category_id` are validated."""

    image_id: int
    category_id: int
    id: NotRequired[object]
    bbox: NotRequired[Any]
    segmentation: NotRequired[Any]
    iscrowd: NotRequired[object]


class Category(TypedDict):
    """An entry of "categories"."""

    id: int
    name: str


class Instances(TypedDict):
    """The content of an annotation file."""

    images: list[ImageEntry]
    annotations: list[Annotation]
    categories: list[Category]


class CocoFile:
    """One annotation file, validated. `categories` maps ids to names, ordered by id. Raises `InputError`."""

    def __init__(self, path: Path) -> None:
        self.where = printable(path)
        content = self._load(path)
        self.images = {entry["id"]: entry for entry in content["images"]}
        if len(self.images) < len(content["images"]):
            raise InputError(f"{self.where}: two images have the same id; give each its own")
        categories = {entry["id"]: printable(entry["name"]) for entry in content["categories"]}
        self.categories = dict(sorted(categories.items()))
        if len(set(categories.values())) < len(content["categories"]) or not categories:
            raise InputError(f"{self.where}: categories are missing, or have a name or an id twice; give each its own")
        self.objects: defaultdict[int, list[Annotation]] = defaultdict(list)
        for entry in content["annotations"]:
            if entry["category_id"] not in self.categories:
                known = quoted(map(str, self.categories), 20)
                raise InputError(
                    f"{self.where}: annotation {entry.get('id')!s:.40} has category {entry['category_id']!r:.40}; "
                    f"there are {known} only"
                )
            self.objects[entry["image_id"]].append(entry)

    def _load(self, path: Path) -> Instances:
        keys: dict[str, dict[str, type]] = {
            "images": {"id": int, "file_name": str},
            "annotations": {"image_id": int, "category_id": int},
            "categories": {"id": int, "name": str},
        }
        with foreign(self.where, "correct it, or export it again", what="COCO's JSON"):
            loaded = json.loads(read_regular(path, MAX_JSON_BYTES))
            if not isinstance(loaded, dict) or not all(isinstance(loaded.get(part), list) for part in keys):
                raise InputError(f"{self.where}: not COCO's instances, which are images, annotations and categories")
            for part, kinds in keys.items():
                for number, entry in enumerate(loaded[part], 1):
                    if not isinstance(entry, dict):
                        raise ValueError(f"{part} {number} is {str(entry)[:40]!r}")
                    for key, kind in kinds.items():
                        if type(entry.get(key)) is not kind:
                            raise ValueError(f"{part} {number}: {key} is {str(entry.get(key))[:40]!r}")
                        if kind is int and abs(entry[key]) > MAX_ID:
                            raise ValueError(f"{part} {number}: {key} has more than 64 bits")
        return cast(Instances, loaded)

    def used(self) -> set[str]:
        """The names of the categories that occur."""
        return {self.categories[entry["category_id"]] for entries in self.objects.values() for entry in entries}

    def pictures(self) -> Iterator[tuple[str, int]]:
        """File name and id of each image; ids that only annotations have come last, with a name that no file has."""
        for id, entry in self.images.items():
            yield in_folder(entry["file_name"], self.where), id
        for id in self.objects.keys() - self.images.keys():
            yield f"image with id {id}, which is not among the images", id

    def raw(self, id: int, class_index: dict[str, int], masks: bool) -> RawBoxes:
        """The objects of the image `id`; without their masks, which take most of the memory, unless `masks`."""
        entries, picture = self.objects.get(id, []), self.images.get(id)
        corners = np.array([_corners(entry.get("bbox")) for entry in entries], dtype=np.float64).reshape(-1, 4)
        labels = np.array([class_index[self.categories[entry["category_id"]]] for entry in entries], dtype=np.int64)
        ignore = np.array([entry.get("iscrowd") == 1 for entry in entries], dtype=bool)
        height, width = (picture.get("height"), picture.get("width")) if picture else (None, None)
        size = None
        if isinstance(height, int) and isinstance(width, int) and 0 < height <= MAX_ID and 0 < width <= MAX_ID:
            size = (height, width)
        segments = tuple(entry.get("segmentation") for entry in entries) if masks else None
        return RawBoxes(corners, labels, ignore, size, segments=segments)


def _corners(bbox: Any) -> list[float]:
    """[x, y, width, height] -> [x0, y0, x1, y1]; NaN if it is not a box."""
    try:
        x, y, width, height = map(float, bbox)
    except (TypeError, ValueError, OverflowError):
        return [np.nan] * 4
    return [x, y, x + width, y + height]
