"""Bounding boxes as targets, and the Pascal VOC format: one XML file per image, of the same name. No torch."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from resnets.data.pictures.images import IMAGE_SUFFIXES, printable
from resnets.data.pictures.stored import FileImages
from resnets.data.readers.label_rules import BadLabel, NowhereError, RawBoxes, clean_boxes
from resnets.data.readers.layouts import SPLITS
from resnets.data.readers.names import class_indices, in_folder, names_file
from resnets.data.readers.outlines import in_pixels, object_masks
from resnets.data.readers.pairs import by_stem
from resnets.data.readers.walk import Left, normal
from resnets.data.targets import Boxes, Fault
from resnets.data.types import Source, Split
from resnets.errors import InputError
from resnets.files import is_file, read_regular, read_text, short

MAX_XML_BYTES, MAX_LIST_BYTES = 2**22, 2**28
VOC_IMAGES, VOC_XML, VOC_LISTS = "JPEGImages", "Annotations", "ImageSets/Main"


class Broken(NamedTuple):
    """Takes the place of the boxes of an image that cannot be used: the rule (of `label_rules.RULES`) and the reason."""

    rule: str
    reason: str


class BoxTargets:
    """The boxes of the images of a split, as `Targets`. `read` returns `Boxes` in pixels of the image.

    Args:
        images: the images, for their names.
        raw: for each image its objects as in the file, or why it cannot be used.
        names: the class names.
        masks: whether to decode the objects' masks too.
    """

    def __init__(
        self, images: FileImages, raw: Sequence[RawBoxes | Broken], names: tuple[str, ...], masks: bool = False
    ) -> None:
        self.images, self.raw, self.names, self.masks = images, tuple(raw), names, masks

    def __len__(self) -> int:
        return len(self.raw)

    def find(self, index: int, /) -> None:
        raw = self.raw[index]
        if isinstance(raw, Broken):
            raise BadLabel(self.images.name(index), raw.reason, raw.rule)
        if not is_file(self.images.path(index)):
            raise BadLabel(self.images.name(index), "the image of these boxes does not exist", "missing_picture")

    def read(self, index: int, picture: np.ndarray) -> tuple[Boxes, list[Fault]]:
        raw, (height, width) = self.raw[index], picture.shape[:2]
        assert isinstance(raw, RawBoxes), "find() raises otherwise"
        try:
            boxes, kept, faults = clean_boxes(raw, (height, width), self.names)
        except ValueError as error:
            rule = "not_finite" if isinstance(error, NowhereError) else "wrong_size"
            raise BadLabel(self.images.name(index), f"its annotation is wrong: {error}", rule) from error
        if self.masks:
            segments = [raw.segments[number] for number in kept] if raw.segments else [None] * len(kept)
            if raw.relative:
                segments = [in_pixels(segment, (height, width)) for segment in segments]
            masks = object_masks(segments, (height, width), self.images.name(index))
            missing = ~masks.any((1, 2))
            for number in kept[missing & ~boxes.ignore].tolist():
                faults.append(Fault("no_mask", f"object {number + 1} ({self.names[raw.labels[number]]})", "it has no pixel"))
            boxes = Boxes(boxes.xyxy, boxes.labels, boxes.ignore | missing, masks)
        return boxes, faults

    def codes(self) -> np.ndarray:
        codes = np.full(len(self), len(self.names), dtype=np.int64)  # no objects
        for index, raw in enumerate(self.raw):
            if isinstance(raw, RawBoxes) and len(raw.labels):
                codes[index] = np.bincount(raw.labels).argmax()
        # If no class occurs twice, the split cannot be stratified: any image may go to validation.
        return codes if len(np.unique(codes)) < len(codes) else np.zeros_like(codes)

    def subset(self, indices: np.ndarray) -> BoxTargets:
        return BoxTargets(self.images.subset(indices), [self.raw[index] for index in indices], self.names, self.masks)

    def digest(self) -> bytes:
        digest = hashlib.sha256()
        for raw in self.raw:
            if isinstance(raw, Broken):
                digest.update(raw.rule.encode())
            else:
                digest.update(repr((raw.size, raw.inclusive, len(raw.labels), *(["relative"] * raw.relative))).encode())
                digest.update(raw.corners.astype("<f8").tobytes() + raw.labels.astype("<i8").tobytes() + raw.ignore.tobytes())
                digest.update(repr(raw.segments).encode() if self.masks else b"")
        return digest.digest()


# --- Pascal VOC ------------------------------------------------------------------------------------------------------


def is_voc(root: Path) -> bool:
    return (root / VOC_IMAGES).is_dir() and (root / VOC_XML).is_dir()


def read_voc(root: Path, in_chans: int, labels: Sequence[str] | None = None, masks: bool = False) -> Source:
    """Read a Pascal VOC folder: `JPEGImages/*`, `Annotations/*.xml`, `ImageSets/Main/{train,val,test}.txt`.

    Without lists all images are for training. Objects marked `difficult` are ignored. The classes are `labels`, or the lines
    of `classes.txt`, or all names that occur, sorted.

    Raises:
        InputError: if masks are asked for, an object's name is not among given classes, or an image is in two lists.
    """
    if masks:
        raise InputError(
            f"{printable(root)}: Pascal VOC's xml holds no masks; for Mask R-CNN give COCO json, or images/ + instances/"
        )
    left = Left()
    pictures, annotations = by_stem(root / VOC_IMAGES, IMAGE_SUFFIXES, left), by_stem(root / VOC_XML, (".xml",), left)
    stems = pictures.keys() | annotations.keys()
    lists = split_lists(root, root / VOC_LISTS, stems, left)
    if not lists:
        lists = {"train": sorted(stems)}
    files = {split: [_read_xml(root, stem, annotations.get(stem)) for stem in stems] for split, stems in lists.items()}
    names, given = names_file(root, labels)
    seen = Counter(name for split in files.values() for file in split if isinstance(file, Xml) for name in file.names)
    refuse_all_broken(root, [file.broken for split in files.values() for file in split if isinstance(file, BrokenXml)], seen)
    if names is None:
        names = tuple(sorted(seen))
    class_index = class_indices(names, seen, printable(root), given)
    splits = {}
    for split, read in files.items():
        paths = [pictures.get(file.stem, root / VOC_IMAGES / f"{file.stem}.jpg").relative_to(root) for file in read]
        images = FileImages(paths, in_chans, root)
        raw = [file.raw(class_index) if isinstance(file, Xml) else file.broken for file in read]
        splits[split] = Split(images, BoxTargets(images, raw, names))
    return Source(printable(root.resolve().name), names, splits, in_chans, kind="boxes", notes=left.notes())


def refuse_all_broken(root: Path, broken: Sequence[Broken], seen: Iterable[str]) -> None:
    """Raise `InputError` with the first reason if no class is named in any annotation and some cannot be used."""
    if broken and not any(seen):
        raise InputError(
            f"{printable(root)}: no object is named in any annotation, and {len(broken)} cannot be used; the first: "
            f"{broken[0].reason}"
        )


class Xml(NamedTuple):
    """The content of a VOC annotation."""

    stem: str
    names: tuple[str, ...]
    corners: list[list[float]]
    difficult: list[bool]
    size: tuple[int, int] | None

    def raw(self, class_index: dict[str, int]) -> RawBoxes:
        """The objects as `RawBoxes`; `class_index` maps names to class indices."""
        corners = np.array(self.corners, dtype=np.float64).reshape(-1, 4)
        labels = np.array([class_index[name] for name in self.names], dtype=np.int64)
        return RawBoxes(corners, labels, np.array(self.difficult, dtype=bool), self.size, inclusive=True)


class BrokenXml(NamedTuple):
    stem: str
    broken: Broken


class _NoDoctype(ElementTree.TreeBuilder):
    """Refuses document types. Entities, which can expand without limit or read other files, need one; annotations do not."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError("a document type, which annotations do not have")


def _read_xml(root: Path, stem: str, path: Path | None) -> Xml | BrokenXml:
    path = path or root / VOC_XML / f"{stem}.xml"
    try:
        tree = ElementTree.fromstring(read_regular(path, MAX_XML_BYTES), ElementTree.XMLParser(target=_NoDoctype()))
        objects = tree.findall("object")
        names = tuple((entry.findtext("name") or "").strip() for entry in objects)
        if not all(names):
            raise ValueError(f"object {names.index('') + 1} has no name")
    except FileNotFoundError:
        return BrokenXml(stem, Broken("missing_annotation", f"there is no {VOC_XML}/{printable(path.name)}"))
    except Exception as error:  # also of the parser, and of names that no file can have
        reason = short(error)
        encoded = isinstance(error, LookupError | UnicodeError) or "encoding" in reason or "invalid token" in reason
        remedy = "; save it as UTF-8" if encoded else ""
        return BrokenXml(stem, Broken("bad_annotation", f"{VOC_XML}/{printable(path.name)} cannot be read ({reason}){remedy}"))
    corners = [[_number(entry, f"bndbox/{key}") for key in ("xmin", "ymin", "xmax", "ymax")] for entry in objects]
    difficult = [_number(entry, "difficult") == 1 for entry in objects]
    height, width = _number(tree, "size/height"), _number(tree, "size/width")
    size = (int(height), int(width)) if 0 < height < math.inf and 0 < width < math.inf else None  # some tools write 0
    return Xml(stem, names, corners, difficult, size)


def _number(entry: ElementTree.Element, key: str) -> float:
    try:
        return float(entry.findtext(key) or "nan")
    except ValueError:
        return math.nan


def split_lists(root: Path, folder: Path, known: Collection[str], left: Left | None = None) -> dict[str, list[str]]:
    """The file stems of each split, from {train,val,test}.txt in `folder`, or trainval.txt if there is no train.txt.

    Args:
        known: the stems of files that are there.
        left: counts those that no list names.

    Raises:
        InputError: if a list cannot be read, or an image is in two of them.
    """
    lists = {split: folder / f"{split}.txt" for split in SPLITS}
    if not is_file(lists["train"]):
        lists["train"] = folder / "trainval.txt"
    found = {split: list(dict.fromkeys(_stems(path, known))) for split, path in lists.items() if is_file(path)}
    twice = [stem for stem, num in Counter(stem for stems in found.values() for stem in stems).items() if num > 1]
    if twice:
        raise InputError(f"{printable(root)}: {printable(twice[0])} is in more than one of {', '.join(found)}; keep it in one")
    unnamed = sorted(set(known) - {stem for stems in found.values() for stem in stems})
    if left is not None and found and unnamed:
        left.add("images that no list names", unnamed[0], len(unnamed))
    return {split: stems for split, stems in found.items() if stems}


def _stems(path: Path, known: Collection[str]) -> Iterator[str]:
    for line in read_text(path, most=MAX_LIST_BYTES).splitlines():
        if line.strip():
            yield in_folder(_stem(normal(line.strip()), known), printable(path))


def _stem(name: str, known: Collection[str]) -> str:
    """The one of `known` that a line means: as it stands, or without a suffix, or without VOC's sign of presence.

    In VOC's lists for one class " 1" or "-1" follows the name; but a name may end so itself ("cell 1").
    """
    suffix = Path(name).suffix.lower()
    bare = name[: -len(suffix)] if suffix in IMAGE_SUFFIXES or suffix in (".xml", ".png") else name
    flagged = re.sub(r"\s+-?[01]$", "", name)
    return next((stem for stem in (name, bare, flagged) if stem in known), name)
