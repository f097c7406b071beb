"""A known name, or a path in any layout that is recognised, as a `Source`: splits of pictures, with fixed class indices."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resnets.data.pictures.images import ArrayImages, StoredImages, printable
from resnets.data.pictures.joined import JoinedImages
from resnets.data.readers import known, layouts, shards
from resnets.data.readers.layouts import Found, Part, quoted
from resnets.data.types import Split
from resnets.errors import InputError


@dataclass(frozen=True, slots=True)
class Source:
    """A data set, opened.

    Args:
        name: "digits", "cifar10", ..., or the name of the folder or list.
        labels: class names in the order of their indices; the training split fixes them, or a saved model.
        splits: of "train", "val" and "test" those that exist.
        size: (H, W) if every picture has it (arrays), else None.
        in_chans: channels of the pictures as opened.
        hflip: whether a mirrored picture keeps its class.
        cut: {"fraction", "seed"} if `cut_val` cut the validation split, {"folds", "fold", "seed"} if `cut_fold` did, None if it
            came with the data.
    """

    name: str
    labels: tuple[str, ...]
    splits: Mapping[str, Split]
    size: tuple[int, int] | None
    in_chans: int
    hflip: bool = True
    cut: Mapping[str, Any] | None = None

    def picture_size(self) -> tuple[int, int]:
        """(H, W) of every picture; of files, the typical shorter side twice (224 where no picture can be read)."""
        if self.size is not None:
            return self.size
        images = _stored(self.splits["train"])
        side = (images.short_side() if isinstance(images, StoredImages) else None) or 224
        return side, side

    def fingerprint(self) -> str:
        """SHA-256 over labels, splits and targets, and the pixels of arrays; of files, their relative paths and sizes."""
        digest = hashlib.sha256(json.dumps([self.labels, list(self.splits)]).encode())
        for split in self.splits.values():
            digest.update(_stored(split).digest())
            digest.update(split.targets.astype("<i8").tobytes())
        return digest.hexdigest()


class Layout(NamedTuple):
    words: str
    recognises: Callable[[Any], bool]
    read: Callable[[Any, int], Found]  # (path, or a pattern or address of shards; in_chans)


# The first that recognises a path reads it.
LAYOUTS = (
    Layout("shards: train-*.tar [val-*.tar test-*.tar], or their pattern or address", shards.is_shards, shards.read_shards),
    Layout("an unpacked CIFAR folder", known.is_cifar, known.read_cifar),
    Layout("arrays: .npz with train_images, train_labels, ...", layouts.is_npz, layouts.read_npz),
    Layout("a list: .csv with path,label[,split]", layouts.is_csv, layouts.read_csv),
    Layout("boxes or masks", layouts.is_detection, layouts.refuse_detection),
    Layout("folder/{train,val,test}/<class>/", layouts.is_split_folder, layouts.read_split_folder),
    Layout("a folder with train.csv [val.csv test.csv]", layouts.is_csv_folder, layouts.read_csv_folder),
    Layout("folder/<class>/", layouts.is_class_folder, layouts.read_class_folder),
)


def open_source(
    data: str | os.PathLike[str],
    *,
    data_dir: str | os.PathLike[str] | None = None,
    in_chans: int | None = None,
    labels: Sequence[str] | None = None,
) -> Source:
    """Open a known set by its name, or a path by its layout. A known name wins over a folder called so (`./digits`).

    Args:
        data_dir: where known sets lie and are fetched to; default $RESNETS_DATA, else ~/.cache/resnets/datasets.
        in_chans: 1, 3 or 4 channels for the pictures; None: those of a known set, else 3.
        labels: the class names of a saved model. The classes of the data are matched to them by name, a training split
            is not needed, and classes without pictures are fine. None: the sorted classes of the training split.

    Raises:
        InputError: if there is nothing there, nothing that is recognised, or the classes do not fit.
    """
    if str(data) in known.KNOWN:
        row = known.KNOWN[str(data)]
        in_chans = row.in_chans if in_chans is None else in_chans
        found = row.read(data_dir, in_chans)
    else:
        in_chans = 3 if in_chans is None else in_chans
        path = os.fspath(data) if shards.is_pattern(data) else _existing(data)
        layout = next((layout for layout in LAYOUTS if layout.recognises(path)), None)
        if layout is None:
            forms = "; ".join(layout.words for layout in LAYOUTS if layout.read is not layouts.refuse_detection)
            raise InputError(f"{printable(path)}: not a layout that is known; give one of: {forms}")
        found = layout.read(path, in_chans)
    names = _labels(found) if labels is None else tuple(labels)
    if not found.parts:
        raise InputError(f"{found.name}: no pictures found")
    splits = {split: _indexed(found.name, split, part, names, labels is None) for split, part in found.parts.items()}
    return Source(found.name, names, splits, found.size, in_chans, found.hflip)


def _existing(data: str | os.PathLike[str]) -> Path:
    path = Path(data).expanduser()
    if not path.exists():
        near = difflib.get_close_matches(str(data).lower(), known.KNOWN, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise InputError(f"no file or folder '{printable(path)}', and the known sets are {', '.join(known.KNOWN)}{hint}")
    return path


def _labels(found: Found) -> tuple[str, ...]:
    if "train" not in found.parts:
        raise InputError(
            f"{found.name}: no training split, only {', '.join(found.parts) or 'nothing'}; add a train folder or train.csv"
        )
    labels = found.parts["train"].classes
    if len(labels) < 2:
        raise InputError(f"{found.name}: the training split has one class only, {quoted(labels)}; add pictures of another")
    return labels


def _indexed(name: str, split: str, part: Part, labels: tuple[str, ...], trains: bool) -> Split:
    """The part with its classes matched to `labels` by name."""
    places = {label: index for index, label in enumerate(labels)}
    indices = np.array([places.get(label, -1) for label in part.classes], dtype=np.int64)
    targets = indices[part.codes]
    strange = quoted(part.classes[code] for code in np.unique(part.codes[targets < 0]))
    if strange and trains:
        raise InputError(f"{name}: {strange} in {split} but not in train; add training pictures, or take it out of {split}")
    if strange:
        raise InputError(f"{name}: the model does not know {strange} (in {split}); its classes are {quoted(labels, 20)}")
    return Split(part.images, targets)


def cut_val(source: Source, fraction: float = 0.1, seed: int = 0) -> Source:
    """`source` with a validation split, cut from train class by class; unchanged if it has one.

    Of a class with n training pictures round(n * fraction) go to val, but at least one of three or more, and never the
    last one. If that leaves val empty, one picture goes of each class that has two. The order of the data is kept.

    Raises:
        InputError: if there is no training split, or every class of it has one picture only.
    """
    if "val" in source.splits:
        return source
    if "train" not in source.splits:
        raise InputError(f"{source.name}: no training split to cut a validation split from; it has {', '.join(source.splits)}")
    train = source.splits["train"]
    is_val = chosen_for_val(train.targets, fraction, seed)
    if not is_val.any():
        raise InputError(f"{source.name}: one picture a class, none to spare for validation; add pictures or a val folder")
    splits = {"train": _subset(train, ~is_val), "val": _subset(train, is_val)}
    rest = {split: value for split, value in source.splits.items() if split != "train"}
    return dataclasses.replace(source, splits=splits | rest, cut={"fraction": fraction, "seed": seed})


def chosen_for_val(targets: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """(N,) bool: which of pictures of the classes `targets` (N,) go to val, as `cut_val` says; none if none can be spared."""
    if not 0 < fraction < 1:
        raise InputError(f"val fraction {fraction}: give a share between 0 and 1")
    counts = np.bincount(targets)
    take = np.rint(counts * fraction).astype(int)
    take = np.minimum(np.where(counts >= 3, np.maximum(take, 1), take), np.maximum(counts - 1, 0))
    if not take.any():
        take = (counts == 2).astype(int)
    random = np.random.RandomState(seed)  # NumPy keeps this stream as it is for ever; it promises that of no other
    order = random.permutation(len(targets))
    is_val = np.zeros(len(targets), dtype=bool)
    for index, num in enumerate(take):
        is_val[order[targets[order] == index][:num]] = True
    return is_val


def cut_fold(source: Source, folds: int, fold: int, seed: int = 0) -> Source:
    """`source` with part number `fold` (from 1) of `folds` to validate on, and the others to train on.

    Training and validation split are put together and dealt out class by class, in an order that the seed draws, so that a
    class is as frequent in every part as it can be, and parts differ by one picture at most. The test split stays.
    """
    if "train" not in source.splits:
        raise InputError(f"{source.name}: no training split to cut folds from; it has {', '.join(source.splits)}")
    whole = _joined([source.splits[name] for name in ("train", "val") if name in source.splits])
    if len(whole.targets) < folds:
        raise InputError(f"folds={folds}, and there are {len(whole.targets)} pictures; give fewer folds")
    order = np.random.RandomState(seed).permutation(len(whole.targets))  # for ever the same, as in `cut_val`
    order = order[np.argsort(whole.targets[order], kind="stable")]
    is_val = np.zeros(len(whole.targets), dtype=bool)
    is_val[order[fold - 1 :: folds]] = True
    splits = {"train": _subset(whole, ~is_val), "val": _subset(whole, is_val)}
    rest = {name: split for name, split in source.splits.items() if name not in splits}
    return dataclasses.replace(source, splits=splits | rest, cut={"folds": folds, "fold": fold, "seed": seed})


def cut_again(source: Source, cut: Mapping[str, Any]) -> Source:
    """`source` cut as it was when its `Source.cut` was `cut`."""
    if "folds" in cut:
        return cut_fold(source, cut["folds"], cut["fold"], cut["seed"])
    return cut_val(source, cut["fraction"], cut["seed"])


def words_of(cut: Mapping[str, Any]) -> str:
    """A `Source.cut` for people."""
    if "folds" in cut:
        return f"val is fold {cut['fold']} of {cut['folds']}, seed {cut['seed']}"
    return f"val cut from train: {cut['fraction']:.0%}, seed {cut['seed']}"


def _joined(splits: Sequence[Split]) -> Split:
    if len(splits) == 1:
        return splits[0]
    one, other = (_stored(split) for split in splits)
    images = (
        one.joined(other)
        if isinstance(one, ArrayImages) and isinstance(other, ArrayImages)
        else JoinedImages([each for each in (one, other) if isinstance(each, StoredImages)])
    )
    return Split(images, np.concatenate([split.targets for split in splits]))


def _subset(split: Split, mask: np.ndarray) -> Split:
    indices = np.flatnonzero(mask)
    return Split(_stored(split).subset(indices), split.targets[indices])


def _stored(split: Split) -> ArrayImages | StoredImages:
    images = split.images
    assert isinstance(images, ArrayImages | StoredImages), type(images)
    return images
