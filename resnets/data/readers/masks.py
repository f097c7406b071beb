"""Images with masks of the same name, whose pixels are class indices or object numbers. No torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from resnets.data.pictures.headers import check_header, spread
from resnets.data.pictures.images import IMAGE_SUFFIXES, MAX_PICTURE_BYTES, MAX_PIXELS, printable
from resnets.data.pictures.stored import FileImages
from resnets.data.readers.boxes import split_lists
from resnets.data.readers.label_rules import BadLabel
from resnets.data.readers.mask_values import FOREGROUND, class_table, meaning
from resnets.data.readers.names import names_file
from resnets.data.readers.outlines import MAX_MASK_BYTES
from resnets.data.readers.pairs import Pairs, by_stem, matched, pairs_of_folders
from resnets.data.readers.walk import Left
from resnets.data.targets import IGNORE, NUMBERS, Boxes, Fault
from resnets.data.types import Note, Source, Split
from resnets.errors import InputError
from resnets.files import is_file, read_regular, short

MASK_FORMATS = ("PNG", "TIFF", "BMP")  # lossless
MAX_OBJECTS = 2**16  # in an instance mask
MASK_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".bmp"})
INDEX_MODES = {
    "1": np.uint8, "L": np.uint8, "P": np.uint8, "I": np.int32, "I;16": np.uint16, "I;16B": np.uint16, "F": np.float32,
}  # fmt: skip
# Modes that hold no indices, in words.
NO_INDICES = {
    "LA": "grey with transparency", "PA": "a palette with transparency", "RGBA": "colours with transparency", "RGB": "colours",
    "CMYK": "colours", "YCbCr": "colours",
}  # fmt: skip
VOC_MASKS, VOC_LISTS = "SegmentationClass", "ImageSets/Segmentation"


def read_mask(path: Path) -> np.ndarray:
    """The values (H, W) of a mask file: grey values, or indices into the palette.

    Raises:
        BadLabel: if it cannot be read, or is a colour image.
    """
    try:
        file = BytesIO(read_regular(path, MAX_PICTURE_BYTES))
        with Image.open(file, formats=MASK_FORMATS) as image:
            check_header(image, file)
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels are more than the {MAX_PIXELS:,} that are read")
            if image.mode not in INDEX_MODES:
                words = NO_INDICES.get(image.mode, "other values")
                raise ValueError(f"it holds {words} ({image.mode}); save it as grey or palette PNG of class indices")
            step = spread(image)  # before loading
            values = np.array(image, dtype=INDEX_MODES[image.mode])
            if image.mode == "F":
                return whole(values, image.mode)
            return values if step == 1 else values // step
    except FileNotFoundError as error:
        raise BadLabel(path, "the mask of this image does not exist", "missing_annotation") from error
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:  # decoders raise nearly every kind of exception for malformed data
        raise BadLabel(path, f"the mask cannot be read: {short(error)}", "bad_annotation") from error


def whole(values: np.ndarray, mode: str) -> np.ndarray:
    """Values in floating point as integers. Raises `ValueError` if they are fractions."""
    if not ((values == np.rint(values)) & (values >= 0) & (values < NUMBERS)).all():
        raise ValueError(f"it holds fractions in floating point ({mode}); save it as grey or palette PNG of class indices")
    return values.astype(np.int32)


@dataclass(frozen=True)
class ClassMasks:
    """Masks of class indices, as `Targets`. `read` returns uint8 (H, W), with `IGNORE` where the class is unknown.

    Args:
        images: the images.
        masks: their mask files, in the same order.
        table: (NUMBERS,) int16: the class index of each value in a mask file, `IGNORE`, or -1 for a value that is no class.
    """

    images: FileImages
    masks: FileImages
    table: np.ndarray

    def __len__(self) -> int:
        return len(self.masks)

    def find(self, index: int, /) -> None:
        _find(self.images, index)

    def read(self, index: int, picture: np.ndarray) -> tuple[np.ndarray, list[Fault]]:
        values = _read_same_size(self.masks.path(index), picture)
        known = (values >= 0) & (values < len(self.table))
        classes = np.where(known, self.table[np.where(known, values, 0)], -1)
        if (classes < 0).any():
            strange = np.unique(values[classes < 0])
            words = ", ".join(map(str, strange[:5])) + (" ..." if len(strange) > 5 else "")
            raise BadLabel(
                self.masks.path(index), f"{(classes < 0).sum():,} pixels of {words}, which are no class", "unknown_index"
            )
        empty = (classes == IGNORE).all()
        return classes.astype(np.uint8), [Fault("negative", "", "all of it is ignored")] if empty else []

    def codes(self) -> np.ndarray:
        return np.zeros(len(self), dtype=np.int64)

    def subset(self, indices: np.ndarray) -> ClassMasks:
        return ClassMasks(self.images.subset(indices), self.masks.subset(indices), self.table)

    def digest(self) -> bytes:
        return self.masks.digest() + hashlib.sha256(self.table.astype("<i2").tobytes()).digest()


@dataclass(frozen=True)
class InstanceMasks:
    """Instance masks (0 is no object, k the k-th object), as `Targets`. `read` returns `Boxes`, all of class 0.

    Args:
        with_masks: whether `Boxes` have masks too.
    """

    images: FileImages
    masks: FileImages
    with_masks: bool

    def __len__(self) -> int:
        return len(self.masks)

    def find(self, index: int, /) -> None:
        _find(self.images, index)

    def read(self, index: int, picture: np.ndarray) -> tuple[Boxes, list[Fault]]:
        values = _read_same_size(self.masks.path(index), picture)
        if (num := len(np.unique(values))) > MAX_OBJECTS:
            raise BadLabel(
                self.masks.path(index), f"{num:,} objects, more than the {MAX_OBJECTS:,} that are read", "bad_annotation"
            )
        numbers, xyxy = instance_boxes(values)
        if self.with_masks and len(numbers) * values.size > MAX_MASK_BYTES:
            raise BadLabel(
                self.masks.path(index),
                f"masks of {len(numbers)} objects are more than {MAX_MASK_BYTES:,} bytes",
                "bad_annotation",
            )
        masks = values[None] == numbers[:, None, None] if self.with_masks else None
        boxes = Boxes(xyxy, np.zeros(len(numbers), np.int64), np.zeros(len(numbers), bool), masks)
        return boxes, [] if len(numbers) else [Fault("negative", "", "")]

    def codes(self) -> np.ndarray:
        return np.zeros(len(self), dtype=np.int64)

    def subset(self, indices: np.ndarray) -> InstanceMasks:
        return InstanceMasks(self.images.subset(indices), self.masks.subset(indices), self.with_masks)

    def digest(self) -> bytes:
        return self.masks.digest()


def instance_boxes(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """From an instance mask (H, W), 0 for no object: the object numbers (K,), and their bounding boxes (K, 4) float32."""
    numbers, codes = np.unique(values, return_inverse=True)
    codes = codes.reshape(values.shape)
    y, x = np.nonzero(values)
    of_pixel = codes[y, x]
    low, high = np.full((len(numbers), 2), np.iinfo(np.int64).max), np.full((len(numbers), 2), -1)
    corners = np.stack([x, y], 1)
    np.minimum.at(low, of_pixel, corners)
    np.maximum.at(high, of_pixel, corners)
    real = numbers != 0
    return numbers[real], np.concatenate([low, high + 1], 1)[real].astype(np.float32)


def _find(images: FileImages, index: int) -> None:
    if not is_file(images.path(index)):
        raise BadLabel(images.name(index), "the image of this mask does not exist", "missing_picture")


def _read_same_size(path: Path, picture: np.ndarray) -> np.ndarray:
    """`read_mask`, which also raises `BadLabel` if the mask has another size than the image."""
    values = read_mask(path)
    if values.shape != picture.shape[:2]:
        (height, width), (tall, wide) = values.shape, picture.shape[:2]
        raise BadLabel(path, f"the mask has {width} x {height} pixels, the image {wide} x {tall}", "wrong_size")
    return values


# --- layouts ---------------------------------------------------------------------------------------------------------


def is_masks(root: Path) -> bool:
    return bool(pairs_of_folders(root, "images", "masks"))


def is_instances(root: Path) -> bool:
    return bool(pairs_of_folders(root, "images", "instances"))


def is_voc_masks(root: Path) -> bool:
    return (root / "JPEGImages").is_dir() and (root / VOC_MASKS).is_dir()


def read_masks(root: Path, in_chans: int, labels: Sequence[str] | None = None, ignore: int | None = None) -> Source:
    """Read `{train,val,test}/{images,masks}`, `{images,masks}/{train,val,test}`, or `images` and `masks`, all for training.

    Args:
        labels: the class names, in the order of class indices. They are matched to `classes.txt` by name; without that file
            they name the values 0, 1, ... in masks, `ignore` left out. Default (None): the lines of `classes.txt`, or what
            `mask_values.meaning` says.
        ignore: a value in masks that is ignored, as 255 is, and as those that `classes.txt` calls `ignore`, `void` or
            `unlabelled` are.

    Raises:
        InputError: if classes and masks do not agree, or no mask can be read.
    """
    left = Left()
    return _read_classes(root, _splits(root, "masks", left), in_chans, labels, ignore, left)


def read_voc_masks(root: Path, in_chans: int, labels: Sequence[str] | None = None, ignore: int | None = None) -> Source:
    """Read Pascal VOC's `SegmentationClass/*.png`, `ImageSets/Segmentation/{train,val,test}.txt`. As `read_masks`."""
    folders = root / "JPEGImages", root / VOC_MASKS
    left = Left()
    pictures, masks = by_stem(folders[0], IMAGE_SUFFIXES, left), by_stem(folders[1], MASK_SUFFIXES, left)
    lists = split_lists(root, root / VOC_LISTS, masks) or {"train": sorted(masks)}
    splits = {
        split: [(pictures.get(stem, folders[0] / f"{stem}.jpg"), masks.get(stem, folders[1] / f"{stem}.png")) for stem in stems]
        for split, stems in lists.items()
    }
    return _read_classes(root, splits, in_chans, labels, ignore, left)


def read_foreground(root: Path, in_chans: int, labels: Sequence[str] | None = None, ignore: int | None = None) -> Source:
    """Read `images` and `instances`, laid out as in `read_masks`, for segmentation: class 0 for background, 1 for objects."""
    names, given = names_file(root, labels)
    if names and len(names) != 2:
        raise InputError(
            f"{printable(root)}: background and objects are two classes, and {given} has {len(names)}; give two names"
        )
    table = np.ones(NUMBERS, dtype=np.int16)
    table[0] = 0
    if ignore is not None:
        table[ignore] = IGNORE
    left = Left()
    splits = _splits(root, "instances", left)
    return _source(root, splits, in_chans, names or FOREGROUND, table, left.notes())


def read_instances(root: Path, in_chans: int, labels: Sequence[str] | None = None, masks: bool = False) -> Source:
    """Read `images` and `instances`, laid out as in `read_masks`, for detection: objects of a single class.

    Args:
        masks: whether targets have instance masks too.
    """
    names, given = names_file(root, labels)
    names = names or FOREGROUND[1:]
    if len(names) != 1:
        raise InputError(f"{printable(root)}: objects of one class, and {given} has {len(names)}; give one name")
    splits, left = {}, Left()
    for split, pairs in _splits(root, "instances", left).items():
        images, found = _stored(root, pairs, in_chans)
        splits[split] = Split(images, InstanceMasks(images, found, masks))
    return Source(printable(root.resolve().name), names, splits, in_chans, kind="boxes", notes=left.notes())


def _read_classes(
    root: Path, splits: dict[str, Pairs], in_chans: int, labels: Sequence[str] | None, ignore: int | None, left: Left
) -> Source:
    masks = [mask for pairs in splits.values() for _, mask in pairs]
    found = meaning(root, masks, read_mask, labels, ignore)
    names, table = class_table(printable(root), found.named, labels, ignore)
    return _source(root, splits, in_chans, names, table, (*left.notes(), *found.notes))


def _source(
    root: Path,
    pairs: dict[str, Pairs],
    in_chans: int,
    names: tuple[str, ...],
    table: np.ndarray,
    notes: tuple[Note, ...],
) -> Source:
    splits = {}
    for split, found in pairs.items():
        images, masks = _stored(root, found, in_chans)
        splits[split] = Split(images, ClassMasks(images, masks, table))
    return Source(printable(root.resolve().name), names, splits, in_chans, kind="masks", notes=notes)


def _stored(root: Path, pairs: Pairs, in_chans: int) -> tuple[FileImages, FileImages]:
    pictures, masks = ([path.relative_to(root) for path in paths] for paths in zip(*pairs, strict=True))
    return FileImages(pictures, in_chans, root), FileImages(masks, 1, root)


def _splits(root: Path, word: str, left: Left) -> dict[str, Pairs]:
    pairs = pairs_of_folders(root, "images", word, left)
    return {
        split: matched(by_stem(pictures, IMAGE_SUFFIXES, left), by_stem(masks, MASK_SUFFIXES, left), (pictures, masks), ".png")
        for split, (pictures, masks) in pairs.items()
    }
