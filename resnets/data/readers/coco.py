"""The COCO format: one JSON file per split, with boxes and instance masks as polygons or run lengths. No torch."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NotRequired, TypedDict, cast

import numpy as np

from resnets.data.pictures.images import IMAGE_SUFFIXES, printable
from resnets.data.pictures.stored import FileImages
from resnets.data.readers.boxes import BoxTargets
from resnets.data.readers.label_rules import RawBoxes
from resnets.data.readers.layouts import SPLIT_WORDS, quoted
from resnets.data.readers.names import class_indices, in_folder, names_file
from resnets.data.readers.walk import Left, Spelled, entries, kind_of, normal, what
from resnets.data.types import Note, Source, Split
from resnets.errors import InputError
from resnets.files import foreign, is_file, open_regular, read_regular

MAX_JSON_BYTES = 2**30  # COCO's largest file has half of that
MAX_ID = 2**63 - 1


ALL = ("default", "train", "all", "annotations", "result", "instances", "coco")  # names of a file that is for all images


def is_coco(root: Path) -> bool:
    return root.is_dir() and bool(_candidates(root))


def read_coco(root: Path, in_chans: int, labels: Sequence[str] | None = None, masks: bool = False) -> Source:
    """Read `annotations/instances_{train,val,test}*.json`, or `{train,val,test}/_annotations.coco.json` beside the images.

    A single file for all images, such as CVAT's instances_default.json, is the training split.

    Images are searched beside the file, in `<split>/` (such as train2017), `images/<split>/`, `images/` and `root`. Crowds are
    ignored. The classes are `labels`, or the lines of `classes.txt`, or the first split's categories, ordered by id.

    Args:
        masks: whether to read instance masks.

    Raises:
        InputError: if a file is not valid, no image is found, or a category is not among given classes.
    """
    names, given = names_file(root, labels)
    splits, left, notes = {}, Left(), []
    for split, path in annotation_files(root).items():
        file = CocoFile(path)
        roots = file.roots() - set(names or ())
        if names is None:
            names, given = tuple(name for name in file.categories.values() if name not in roots), printable(path)
            if roots:
                words = f"{quoted(sorted(roots))}: a category of categories without objects, as Roboflow writes it; no class"
                notes.append(Note("root_category", words))
        class_index = class_indices(names, file.used(), printable(path), given)
        found = list(file.pictures(root))
        images = FileImages(_find(root, path, [name for name, _ in found], left), in_chans, root)
        raw = [file.raw(id, class_index, masks) for _, id in found]
        splits[split] = Split(images, BoxTargets(images, raw, names, masks))
    if names is None or not splits:
        raise InputError(f"{printable(root)}: no annotations/instances_train*.json")
    notes = [*left.notes(), *notes]
    return Source(printable(root.resolve().name), names, splits, in_chans, kind="boxes", notes=tuple(notes))


def _candidates(root: Path) -> list[Path]:
    """Files that may be annotations: in annotations/ those called instances_*, or any if there is none; Roboflow's."""
    inside = [*root.glob("annotations/instances_*.json")] or [*root.glob("annotations/*.json")]
    roboflow = [*root.glob("_annotations.coco.json"), *root.glob("*/_annotations.coco.json")]
    beside = [*root.glob("*.json")] if (root / "images").is_dir() and not (inside or roboflow) else []
    return sorted([*inside, *roboflow, *(path for path in beside if _is_coco_file(path))])


def _is_coco_file(path: Path) -> bool:
    if not is_file(path):
        return False
    with open_regular(path) as file:
        return path.stat().st_size <= MAX_JSON_BYTES and b'"annotations"' in file.read(2**24)


def annotation_files(root: Path) -> dict[str, Path]:
    """The annotation file of each split, train first; a single file that names no split is for training.

    Raises:
        InputError: if a split has two files, or a file is for no split.
    """
    found: dict[str, Path] = {}
    unknown: list[Path] = []
    for path in (paths := _candidates(root)):
        own = _stem(path) if path.name != "_annotations.coco.json" else path.parent.name if path.parent != root else ALL[0]
        word = own.rstrip("0123456789").lower()
        split = SPLIT_WORDS.get(word) or ("train" if word in ALL and len(paths) == 1 else None)
        if split is None:
            unknown.append(path)
        elif split in found:
            raise InputError(f"{printable(root)}: {path.name} and {found[split].name} are both for {split}; keep one")
        else:
            found[split] = path
    if unknown:
        where = printable(unknown[0].relative_to(root))
        remedy = "its folder train" if unknown[0].name.startswith("_") else "it annotations/instances_train.json"
        raise InputError(f"{printable(root)}: {where} is for no split; call {remedy} (or val, or test)")
    return {split: found[split] for split in ("train", "val", "test") if split in found}


def _stem(path: Path) -> str:
    return path.stem.removeprefix("instances_")


def _find(root: Path, path: Path, names: list[str], left: Left) -> list[Path]:
    """The images' paths relative to `root`. All are taken to be in the folder in which the first image is found.

    Args:
        left: counts the images in it that `names` lacks.
    """
    stem = _stem(path)
    folders = [path.parent, root / stem, root / "images" / stem, root / "images", root]
    folders[1:1] = [folder / stem.rstrip("0123456789") for folder in (root, root / "images")]
    folder = next((folder for name in names[:100] for folder in folders if Spelled(folder)(name)), None)
    if folder is None:
        where = ", ".join(printable(folder.relative_to(root)) + "/" for folder in folders[1:-1])
        raise InputError(
            f"{printable(path)}: none of its images is in {where} or beside it; put {names[0] if names else 'them'} there"
        )
    listed, spelled = {normal(name) for name in names}, Spelled(folder)
    below = {name.rpartition("/")[2] for name in listed if "/" in name}
    for entry in entries(folder):
        if what(entry) == "file" and Path(entry) != path and normal(entry.name) not in listed:
            picture = entry.name.lower().endswith(tuple(IMAGE_SUFFIXES))
            if not picture or entry.name not in below:
                left.add(f"images that {path.name} does not name" if picture else kind_of(entry.name), entry.name)
    return [folder.relative_to(root) / (name if name.isascii() else spelled(name) or name) for name in names]


Id = int | str


def _id(value: Id) -> Id:
    """An id as a number, also where one file writes 7 and another "7"; other text as it is."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19 and str(int(value)) == value:
        return int(value)
    return value


class ImageEntry(TypedDict):
    """An entry of "images"; only `id` and `file_name` are validated."""

    id: Id
    file_name: str
    height: NotRequired[object]
    width: NotRequired[object]


class Annotation(TypedDict):
    """An entry of "annotations"; only `image_id` and `category_id` are validated."""

    image_id: Id
    category_id: Id
    id: NotRequired[object]
    bbox: NotRequired[Any]
    segmentation: NotRequired[Any]
    iscrowd: NotRequired[object]


class Category(TypedDict):
    """An entry of "categories"."""

    id: Id
    name: str
    supercategory: NotRequired[object]


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
            id, _ = Counter(entry["id"] for entry in content["images"]).most_common(1)[0]
            both = quoted((printable(entry["file_name"]) for entry in content["images"] if entry["id"] == id), 2)
            raise InputError(f"{self.where}: two images have the same id, {id!r:.40}: {both}; give each its own")
        categories = {entry["id"]: printable(entry["name"]) for entry in content["categories"]}
        pairs = ((entry["name"], entry.get("supercategory")) for entry in content["categories"])
        self.parents = {printable(parent) for name, parent in pairs if isinstance(parent, str) and parent != name}
        self.categories = dict(sorted(categories.items(), key=lambda item: (isinstance(item[0], str), item[0])))
        if len(set(categories.values())) < len(content["categories"]) or not categories:
            raise InputError(f"{self.where}: categories are missing, or have a name or an id twice; give each its own")
        self.objects: defaultdict[Id, list[Annotation]] = defaultdict(list)
        for entry in content["annotations"]:
            if entry["category_id"] not in self.categories:
                known = quoted(map(str, self.categories), 20)
                raise InputError(
                    f"{self.where}: annotation {entry.get('id')!s:.40} has category {entry['category_id']!r:.40}; "
                    f"there are {known} only"
                )
            self.objects[entry["image_id"]].append(entry)

    def _load(self, path: Path) -> Instances:
        keys: dict[str, dict[str, tuple[type, ...]]] = {
            "images": {"id": (int, str), "file_name": (str,)},
            "annotations": {"image_id": (int, str), "category_id": (int, str)},
            "categories": {"id": (int, str), "name": (str,)},
        }
        with foreign(self.where, "correct it, or export it again", what="COCO's JSON"):
            loaded = json.loads(read_regular(path, MAX_JSON_BYTES))
            if not isinstance(loaded, dict) or not all(isinstance(loaded.get(part), list) for part in keys):
                raise InputError(f"{self.where}: not COCO's instances, which are images, annotations and categories")
            for part, kinds in keys.items():
                for number, entry in enumerate(loaded[part], 1):
                    if not isinstance(entry, dict):
                        raise ValueError(f"{part} {number} is {str(entry)[:40]!r}")
                    for key, types in kinds.items():
                        if type(entry.get(key)) not in types:
                            raise ValueError(f"{part} {number}: {key} is {str(entry.get(key))[:40]!r}")
                        entry[key] = _id(entry[key]) if int in types else entry[key]
                        if isinstance(entry[key], int) and abs(entry[key]) > MAX_ID:
                            raise ValueError(f"{part} {number}: {key} has more than 64 bits")
        return cast(Instances, loaded)

    def used(self) -> set[str]:
        """The names of the categories that occur."""
        return {self.categories[entry["category_id"]] for entries in self.objects.values() for entry in entries}

    def roots(self) -> set[str]:
        """The names of categories without objects that others have as their supercategory."""
        return {name for name in self.categories.values() if name in self.parents} - self.used()

    def pictures(self, root: Path) -> Iterator[tuple[str, Id]]:
        """File name and id of each image; ids that only annotations have come last, with a name that no file has.

        Backslashes of Windows become slashes, and absolute paths below `root` relative to it.
        """
        for id, entry in self.images.items():
            name = entry["file_name"].replace("\\", "/")
            if PurePosixPath(name).is_absolute() and Path(name).is_relative_to(root.resolve()):
                name = Path(name).relative_to(root.resolve()).as_posix()
            yield in_folder(name, self.where), id
        for id in self.objects.keys() - self.images.keys():
            yield f"image with id {id}, which is not among the images", id

    def raw(self, id: Id, class_index: dict[str, int], masks: bool) -> RawBoxes:
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
