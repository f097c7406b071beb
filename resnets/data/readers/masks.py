"""Images with masks of the same name, whose pixels are class indices or object numbers. No torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from resnets.data.pictures.headers import check_header, spread
from resnets.data.pictures.images import IMAGE_SUFFIXES, MAX_PICTURE_BYTES, MAX_PIXELS, FileImages, printable
from resnets.data.readers.boxes import split_lists
from resnets.data.readers.label_rules import BadLabel
from resnets.data.readers.layouts import quoted
from resnets.data.readers.names import names_file
from resnets.data.readers.outlines import MAX_MASK_BYTES
from resnets.data.readers.pairs import Pairs, by_stem, matched, pairs_of_folders
from resnets.data.targets import IGNORE, NUMBERS, Boxes, Fault
from resnets.data.types import Source, Split
from resnets.errors import InputError
from resnets.files import is_file, read_regular, short

MASK_FORMATS = ("PNG", "TIFF", "BMP")  # lossless
MAX_OBJECTS = 2**16  # in an instance mask
MASK_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".bmp"})
INDEX_MODES = {"1": np.uint8, "L": np.uint8, "P": np.uint8, "I": np.int32, "I;16": np.uint16, "I;16B": np.uint16}
# Names in classes.txt for an index that is to be ignored.
IGNORE_NAMES = ("ignore", "void", "unlabelled", "unlabeled")
FOREGROUND = ("background", "object")  # the class names of instance masks used for segmentation
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
                raise ValueError(f"it holds colours ({image.mode}); save it as grey or palette PNG of class indices")
            step = spread(image)  # before loading
            values = np.array(image, dtype=INDEX_MODES[image.mode])
            return values if step == 1 else values // step
    except FileNotFoundError as error:
        raise BadLabel(path, "the mask of this image does not exist", "missing_annotation") from error
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:  # decoders raise nearly every kind of exception for malformed data
        raise BadLabel(path, f"the mask cannot be read: {short(error)}", "bad_annotation") from error


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
            they name the values 0, 1, ... in masks, `ignore` left out. Default (None): the lines of `classes.txt`, or
            numbers up to the largest value in any mask.
        ignore: a value in masks that is ignored, as 255 is, and as those that `classes.txt` calls `ignore`, `void` or
            `unlabelled` are.

    Raises:
        InputError: if classes and masks do not agree, or no mask can be read.
    """
    return _read_classes(root, _splits(root, "masks"), in_chans, labels, ignore)


def read_voc_masks(root: Path, in_chans: int, labels: Sequence[str] | None = None, ignore: int | None = None) -> Source:
    """Read Pascal VOC's `SegmentationClass/*.png`, `ImageSets/Segmentation/{train,val,test}.txt`. As `read_masks`."""
    folders = root / "JPEGImages", root / VOC_MASKS
    pictures, masks = by_stem(folders[0], IMAGE_SUFFIXES), by_stem(folders[1], MASK_SUFFIXES)
    lists = split_lists(root, root / VOC_LISTS) or {"train": sorted(masks)}
    splits = {
        split: [(pictures.get(stem, folders[0] / f"{stem}.jpg"), masks.get(stem, folders[1] / f"{stem}.png")) for stem in stems]
        for split, stems in lists.items()
    }
    return _read_classes(root, splits, in_chans, labels, ignore)


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
    return _source(root, _splits(root, "instances"), in_chans, names or FOREGROUND, table)


def read_instances(root: Path, in_chans: int, labels: Sequence[str] | None = None, masks: bool = False) -> Source:
    """Read `images` and `instances`, laid out as in `read_masks`, for detection: objects of a single class.

    Args:
        masks: whether targets have instance masks too.
    """
    names, given = names_file(root, labels)
    names = names or FOREGROUND[1:]
    if len(names) != 1:
        raise InputError(f"{printable(root)}: objects of one class, and {given} has {len(names)}; give one name")
    splits = {}
    for split, pairs in _splits(root, "instances").items():
        images, found = _stored(root, pairs, in_chans)
        splits[split] = Split(images, InstanceMasks(images, found, masks))
    return Source(printable(root.resolve().name), names, splits, in_chans, kind="boxes")


def _read_classes(
    root: Path, splits: dict[str, Pairs], in_chans: int, labels: Sequence[str] | None, ignore: int | None
) -> Source:
    listed = names_by_index(root, labels, ignore)
    white = False
    if listed is None or (len(listed) == 2 and ignore is None):
        largest, white = _numbers(root, [mask for pairs in splits.values() for _, mask in pairs])
        white = white and ignore is None
        listed = listed or (FOREGROUND if white or largest == 1 else tuple(str(index) for index in range(largest + 1)))
    names, table = class_table(printable(root), listed, labels, ignore)
    if white:
        table[IGNORE] = 1
    return _source(root, splits, in_chans, names, table)


def names_by_index(root: Path, labels: Sequence[str] | None, ignore: int | None) -> tuple[str, ...] | None:
    """The name of each value in masks: the lines of `classes.txt`, else `labels` in order, skipping `ignore`; else None."""
    listed, _ = names_file(root, None)
    if listed is not None or labels is None:
        return listed
    names = list(labels)
    if ignore is not None and ignore < len(names):
        names.insert(ignore, IGNORE_NAMES[0])
    return tuple(names)


def class_table(
    where: str, listed: Sequence[str], labels: Sequence[str] | None, ignore: int | None
) -> tuple[tuple[str, ...], np.ndarray]:
    """The class names, and the `table` of `ClassMasks`.

    Args:
        where: the dataset, for messages.
        listed: the name of each value in masks.
        labels: the class names in the order of class indices, matched by name; default (None): `listed` without ignored ones.
        ignore: a further value that is ignored.

    Raises:
        InputError: if the names do not agree, or there are not 2 to 255 classes.
    """
    if ignore is not None and not 0 <= ignore <= IGNORE:
        raise InputError(f"index {ignore} is to be ignored; give one from 0 to {IGNORE}")
    skipped = {IGNORE if ignore is None else ignore, IGNORE}
    skipped |= {index for index, name in enumerate(listed) if name.lower() in IGNORE_NAMES}
    kept = {index: name for index, name in enumerate(listed) if index not in skipped}
    names = tuple(kept.values()) if labels is None else tuple(labels)
    if voids := [name for name in names if name.lower() in IGNORE_NAMES]:
        raise InputError(f"{where}: {quoted(voids)} is no class; leave it out of the classes, and say which index to ignore")
    index_of = {name: index for index, name in reversed(list(enumerate(names)))}
    if strange := [name for name in kept.values() if name not in index_of]:
        raise InputError(f"{where}: {quoted(strange)} in classes.txt, and the classes are {quoted(names, 20)}; rename them")
    if not 2 <= len(names) <= IGNORE:
        raise InputError(f"{where}: {len(names)} classes in the masks; there must be 2 to {IGNORE}")
    table = np.full(NUMBERS, -1, dtype=np.int16)
    table[sorted(skipped)] = IGNORE
    for index, name in kept.items():
        table[index] = index_of[name]
    return names, table


def _numbers(root: Path, masks: list[Path]) -> tuple[int, bool]:
    """The largest value except 255 in any readable mask, and whether all values are 0 (black) or 255 (white)."""

    def largest(path: Path) -> tuple[int, bool] | BadLabel:
        try:
            values = read_mask(path)
        except BadLabel as bad:
            return bad
        return int(values[values != IGNORE].max(initial=0)), bool((values == IGNORE).any())

    with ThreadPoolExecutor() as pool:
        results = list(pool.map(largest, masks))
    found = [result for result in results if not isinstance(result, BadLabel)]
    if not found:
        first = next(result for result in results if isinstance(result, BadLabel))
        raise InputError(f"{printable(root)}: none of {len(masks)} masks can be read; the first: {first}")
    most, white = max(number for number, _ in found), any(ignored for _, ignored in found)
    if most > IGNORE:
        raise InputError(
            f"{printable(root)}: masks with numbers up to {most:,}, and classes end at {IGNORE - 1}; objects go into instances/"
        )
    return most, most == 0 and white


def _source(root: Path, pairs: dict[str, Pairs], in_chans: int, names: tuple[str, ...], table: np.ndarray) -> Source:
    splits = {}
    for split, found in pairs.items():
        images, masks = _stored(root, found, in_chans)
        splits[split] = Split(images, ClassMasks(images, masks, table))
    return Source(printable(root.resolve().name), names, splits, in_chans, kind="masks")


def _stored(root: Path, pairs: Pairs, in_chans: int) -> tuple[FileImages, FileImages]:
    pictures, masks = ([path.relative_to(root) for path in paths] for paths in zip(*pairs, strict=True))
    return FileImages(pictures, in_chans, root), FileImages(masks, 1, root)


def _splits(root: Path, word: str) -> dict[str, Pairs]:
    pairs = pairs_of_folders(root, "images", word)
    return {
        split: matched(by_stem(pictures, IMAGE_SUFFIXES), by_stem(masks, MASK_SUFFIXES), (pictures, masks), ".png")
        for split, (pictures, masks) in pairs.items()
    }
