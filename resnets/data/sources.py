"""A built-in dataset, or a path in any layout that is recognised, as a `Source`. No torch."""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resnets import plugins
from resnets.data.frames import Frame, framed
from resnets.data.identities import identified
from resnets.data.pictures.images import printable
from resnets.data.readers import (
    arrays,
    boxes,
    cifar,
    class_folders,
    coco,
    known,
    lists,
    masks,
    memory,
    scans,
    series,
    shard_labels,
    shards,
    tags,
    volume_classes,
    volume_labels,
    walk,
    yolo,
)
from resnets.data.readers.layouts import Found, Part, quoted
from resnets.data.readers.names import matched
from resnets.data.types import Note, Source, Split
from resnets.errors import InputError
from resnets.stores import local


@dataclass(frozen=True, eq=False, kw_only=True)
class Layout(plugins.Part):
    """One way to keep a dataset; its factory is its reader: of `FOUND` (path, in_chans) -> `Found`, else (path, in_chans,
    labels, and what `takes` names) -> `Source`.

    Args:
        form: the layout in words.
        holds: what is known of its images: "classes", "boxes", "masks" (of volumes too), "tags", "identities", or "scans" (of
            series without labels); a task takes one of these, but the last. Identities are kept as classes of pictures are.
        recognises: whether a path, or a pattern or address of shards, is in this layout.
        takes: further arguments of `open_source` that the reader takes.
        dims: spatial axes of the images.
        is_list: whether a DataFrame may be in the place of the path.
        is_shards: whether a pattern or an address of shards may.
    """

    holds: str
    recognises: Callable[[Any], bool]
    form: str = ""
    takes: tuple[str, ...] = ()
    dims: int = 2
    is_list: bool = False
    is_shards: bool = False

    def has(self, kind: str | None) -> bool:
        return kind in (None, self.holds) or (kind == "identities" and self.holds == "classes")


LAYOUTS = plugins.Table("layout", Layout)


def layout(name: str, form: str, holds: str, recognises: Any, read: Any, takes: tuple[str, ...] = (), **more: Any) -> None:
    """A row of the table: the first that recognises a path, of the kind that is wanted, reads it; those of users come first."""
    plugins.register("layout", name, read, form=form, holds=holds, recognises=recognises, takes=takes, **more)


FOUND = ("classes", "identities")  # kinds of which readers find the names of classes, to which indices are given here
VOC, YOLO, PAIRS = "Pascal VOC: JPEGImages", "YOLO: data.yaml", "[{train,val,test}/]images"
COCO, TAR = "COCO: annotations/instances_{train,val}*.json", "train-*.tar [val-*.tar test-*.tar]"
COLUMNS = "path,labels (a|b), or path and a column per label"
layout("voc", f"{VOC}, Annotations, ImageSets/Main", "boxes", boxes.is_voc, boxes.read_voc, ("masks",))
layout("coco", COCO, "boxes", coco.is_coco, coco.read_coco, ("masks",))
NIFTI = f"{PAIRS} + labels, .nii[.gz], or folders of DICOM"
layout("nifti", NIFTI, "masks", volume_labels.is_volumes, volume_labels.read_volumes, ("ignore",), dims=3)
layout("yolo", f"{YOLO}, or {PAIRS} + labels, .txt", "boxes", yolo.is_yolo, yolo.read_yolo, ("masks",))
layout("masks", f"{PAIRS} + masks", "masks", masks.is_masks, masks.read_masks, ("ignore",))
layout("dicom", "a folder of DICOM series, in any order", "scans", scans.is_scans, scans.read_scans, dims=3)
layout("voc masks", f"{VOC}, SegmentationClass", "masks", masks.is_voc_masks, masks.read_voc_masks, ("ignore",))
layout("instances", f"{PAIRS} + instances", "boxes", masks.is_instances, masks.read_instances, ("masks",))
layout("foreground", f"{PAIRS} + instances", "masks", masks.is_instances, masks.read_foreground, ("ignore",))
layout("list of tags", f"a list: .csv with {COLUMNS}", "tags", tags.is_list, tags.read_list, ("leave_out",), is_list=True)
layout("coco tags", COCO, "tags", coco.is_coco, tags.coco_presence)
layout("voc tags", f"{VOC}, Annotations, ImageSets/Main", "tags", boxes.is_voc, tags.voc_presence)
layout("yolo tags", f"{YOLO}, or {PAIRS} + labels, .txt", "tags", yolo.is_yolo, tags.yolo_presence)
ARCHIVE = "series: .npz with X (N, C, L)"
layout("series tags", f"{ARCHIVE}, y (N, labels) of 0 and 1", "tags", series.is_tagged, series.read_tagged, dims=1)
TARS = f"shards: {TAR}, or their pattern or address"
layout(
    "shards of tags", f"{TARS}, with lists of labels", "tags", shard_labels.is_tagged, shard_labels.read_tags, is_shards=True
)
layout("shards", TARS, "classes", shards.is_shards, shards.read_shards, is_shards=True)
SETS = "series: NAME_TRAIN.ts NAME_TEST.ts, or .tsv or .txt"
WIDE, RECORDED = "series: .csv with one in each row, and a label", "series: [{train,val,test}/]<class>/*.wav or .csv"
layout("series", f"{ARCHIVE} and y (N,), or X_train, y_train, ...", "classes", series.is_npz, series.read, dims=1)
layout("series sets", SETS, "classes", series.is_text, series.read, dims=1)
layout("series list", WIDE, "classes", series.is_wide, series.read, dims=1)
layout("series lists", "", "classes", series.is_wide_folder, series.read, dims=1)
layout("series classes", RECORDED, "classes", series.is_folder, series.read_folder, dims=1)
layout("cifar", "an unpacked CIFAR folder", "classes", cifar.is_cifar, cifar.read_cifar)
layout("arrays", "arrays: .npz with train_images, train_labels, ...", "classes", arrays.is_npz, arrays.read_npz)
layout("list", "a list: .csv with path,label[,split]", "classes", lists.is_csv, lists.read_csv, is_list=True)
layout("no classes", "", "classes", class_folders.is_detection, class_folders.refuse_detection)
SCANNED = "volumes: [{train,val,test}/]<class>/ of .nii[.gz], or of folders with a DICOM series each"
layout("volume classes", SCANNED, "classes", volume_classes.is_folder, volume_classes.read_folder, dims=3)
layout("splits", "folder/{train,val,test}/<class>/", "classes", class_folders.is_split_folder, class_folders.read_split_folder)
layout("lists", "a folder with train.csv [val.csv test.csv]", "classes", lists.is_csv_folder, lists.read_csv_folder)
layout("classes", "folder/<class>/", "classes", class_folders.is_class_folder, class_folders.read_class_folder)
layout("no tags", "", "tags", lists.is_csv, tags.refuse, is_list=True)


def open_source(
    data: Any,
    kind: str | None = "classes",
    *,
    data_dir: str | os.PathLike[str] | None = None,
    in_chans: int | None = None,
    labels: Sequence[str] | None = None,
    unnamed: bool = False,
    masks: bool = False,
    ignore: int | None = None,
    leave_out: Sequence[str] = (),
    dims: int | None = None,
) -> Source:
    """Open a built-in dataset by its name, or a path by its layout. A built-in name wins over a folder called so (`./digits`).

    Args:
        data: a name, a path, or data in memory (see `readers.memory`).
        kind: what is to be known of the images, of `Layout.kind`; None: whatever the path has, boxes and masks first.
        data_dir: where built-in datasets lie and are fetched to; default $RESNETS_DATA, else ~/.cache/resnets/datasets.
        in_chans: 1, 3 or 4 channels for the pictures; None: those of a built-in dataset, also once it is packed, else 3.
        labels: the class names of a saved model, or of the indices in masks. The classes of the data are matched to them by
            name, a training split is not needed, and classes without images are fine. None: those of the training split.
        unnamed: whether `labels` are bare numbers because the model's classes have no names: they are matched by position.
        masks: with boxes, the objects' masks too.
        ignore: an index in masks that is ignored, beside 255.
        leave_out: columns of a list with a column per label that are no labels, where they are there.
        dims: spatial axes of arrays in memory, where these do not say it: 1 for series (N, C, L).

    Raises:
        InputError: if there is nothing there, nothing that is recognised, or the classes do not fit.
    """
    data = known.located(framed(data), data_dir)
    if memory.in_memory(data):
        if kind not in (None, *FOUND):
            raise InputError(f"{memory.name_of(data)}: data with classes, without {kind}; give a folder that has them")
        found = memory.read(data, in_chans, dims)
        return _indexing(kind)(found, found.in_chans or 3, labels, unnamed)
    if str(data) in known.KNOWN:
        if kind not in (None, *FOUND):
            raise InputError(f"{data}: a built-in dataset of classes, without {kind}; give a folder that has them")
        in_chans = known.KNOWN[str(data)].in_chans if in_chans is None else in_chans
        return _indexing(kind)(known.read(str(data), data_dir, in_chans), in_chans, labels, unnamed)
    path, form = recognised(data, kind)
    in_chans = channels(form, path) if in_chans is None else in_chans
    given: dict[str, Any] = {"masks": masks, "ignore": ignore, "leave_out": leave_out}
    if not {"masks", "ignore"} & set(form.takes) and (masks or ignore is not None):
        raise InputError(f"{data}: no boxes or masks here, and --ignore-index and --masks are for these; leave them out")
    if form.holds in FOUND:
        source = _indexing(kind or form.holds)(read_found(form, path, in_chans), in_chans, labels, unnamed)
        return dataclasses.replace(source, layout=form)
    source = form.make(path, in_chans, labels, **{name: given[name] for name in form.takes})
    check_once(source)
    return dataclasses.replace(source, notes=(*source.notes, *alike(source.labels)), layout=form)


def channels(form: Layout, path: Any) -> int:
    """Those of the pictures at a path, unless others are asked for: 3, but for shards that were packed of others."""
    return (shards.facts(path).in_chans if form.is_shards else None) or 3


def read_found(form: Layout, path: Any, in_chans: int) -> Found:
    """What a reader of classes finds. Raises `InputError` where that of a user gives something else."""
    found = form.make(path, in_chans)
    if not isinstance(found, Found):
        raise InputError(f"{form.words}: gives {type(found).__name__}; it is to give readers.layouts.Found")
    return found


class Words(NamedTuple):
    """The images of a split, and for each its label in words: a class, several with | between them, a number; "" without."""

    images: Any
    labels: Sequence[str]


def in_words(
    data: Any, *, data_dir: str | os.PathLike[str] | None = None, in_chans: int | None = None, dims: int | None = None
) -> tuple[dict[str, Words], tuple[Note, ...]]:
    """Every image of a dataset by split, whatever is known of it; no training split is needed, nor two classes. And notes.

    Raises:
        InputError: as `open_source`.
    """
    data = known.located(framed(data), data_dir)
    if memory.in_memory(data):
        found = memory.read(data, in_chans, dims)
    elif str(data) in known.KNOWN:
        found = known.read(str(data), data_dir, in_chans)
    else:
        path, form = recognised(data)
        if form.holds != "classes":
            source = open_source(path, form.holds, in_chans=in_chans)
            splits = {name: Words(split.images, _labels_of(split, source.labels)) for name, split in source.splits.items()}
            return splits, source.notes
        found = read_found(form, path, channels(form, path) if in_chans is None else in_chans)
    parts = {name: Words(part.images, [part.classes[code] for code in part.codes]) for name, part in found.parts.items()}
    return parts, found.notes


def _labels_of(split: Split, labels: Sequence[str]) -> Sequence[str]:
    """The labels of images that have a value each, or several; "" where only places in them have some."""
    values = getattr(split.targets, "values", None)
    if values is None:
        return [""] * len(split)
    if values.ndim == 1:
        return [labels[value] for value in values] if values.dtype.kind in "iu" else [f"{value:g}" for value in values]
    return ["|".join(label for label, there in zip(labels, row, strict=True) if there > 0.5) for row in values]


def check_once(source: Source) -> None:
    """Raise `InputError` if a file is more than one image of the source: under two ids, or in two splits."""
    seen: dict[str, str] = {}
    for split, part in source.splits.items():
        images = getattr(part.images, "files", part.images)  # of volumes the files
        if not hasattr(images, "path"):  # in memory
            continue
        paths = [os.path.normpath(images.path(index)) for index in range(len(images))]
        here = dict.fromkeys(paths, split)
        if len(here) < len(paths):
            twice = [path for path, num in Counter(paths).items() if num > 1]
            words = f"{len(twice)} files are more than one image of {split}, as {printable(twice[0])}"
            raise InputError(f"{source.name}: {words}; put all labels of a file under one id")
        if both := [path for path in paths if path in seen]:
            words = f"{len(both)} files are in {seen[both[0]]} and in {split}, as {printable(both[0])}"
            raise InputError(f"{source.name}: {words}, which makes scores too good; keep each in one split")
        seen |= here


def recognised(data: Any, kind: str | None = None) -> tuple[Any, Layout]:
    """The path (or pattern) that `data` means, and the first layout of the `kind` that recognises it."""
    if memory.in_memory(data := framed(data)):
        raise InputError(f"{memory.name_of(data)}: data in memory have classes, and here a path is needed; give one")
    path = shards.as_pattern(data) or existing(data)
    if isinstance(path, Path) and walk.is_run(path):
        raise InputError(f"{printable(path)}: a run directory of resnets; give the data that it was trained on, or other data")
    rows = [row for row in LAYOUTS.values() if row.has(kind) and (row.is_list or not isinstance(path, Frame))]
    if not rows:
        raise InputError(f"{printable(path)}: a list of pictures has no {kind}; give a folder that has them")
    for row in sorted(rows, key=lambda row: row.file is None):
        with row.blamed(" at recognising a path"):
            if (row.is_shards or row.holds in FOUND or isinstance(path, Path | Frame)) and row.recognises(path):
                return path, row
    forms = "; ".join(dict.fromkeys(row.form or row.name for row in rows if row.form or row.file))
    raise InputError(f"{printable(path)}: not a layout that is known; give one of: {forms}")


def existing(data: Any) -> Any:
    """The path of data, which exists; a DataFrame in the place of one. Raises `InputError` for other data in memory."""
    if isinstance(data, Frame):
        return data
    path = local(data).expanduser()
    if not path.exists():
        if str(data) in memory.FORMS:
            raise InputError(f"the data were in memory ({data}); give them again: resnets.train(data=..., resume=True)")
        near = difflib.get_close_matches(str(data).lower(), known.KNOWN, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise InputError(f"no file or folder '{printable(path)}', and the built-in datasets are {', '.join(known.KNOWN)}{hint}")
    return path


def _indexing(kind: str | None) -> Callable[[Found, int, Sequence[str] | None, bool], Source]:
    """What gives the classes of a `Found` their indices: those of a model, or of training; identities have their own."""
    return (lambda found, in_chans, *_: identified(found, in_chans)) if kind == FOUND[1] else _with_indices


def _with_indices(found: Found, in_chans: int, labels: Sequence[str] | None, unnamed: bool) -> Source:
    """What was found, its classes as indices into `labels`."""
    names = _labels(found) if labels is None else tuple(labels)
    if not found.parts:
        raise InputError(f"{found.name}: no pictures found")
    seen = _in_order(found)
    index_of, told = matched(seen, names, unnamed=unnamed)
    splits = {split: _indexed(found.name, split, part, names, index_of, labels is None) for split, part in found.parts.items()}
    notes = (*found.notes, *told, *alike(seen))
    chans = in_chans if found.in_chans is None else found.in_chans
    return Source(found.name, names, splits, chans, found.kind, size=found.size, hflip=found.hflip, notes=notes)


def _in_order(found: Found) -> tuple[str, ...]:
    """All classes of all splits: in the order of the split that has them all, or else sorted."""
    every = {label for part in found.parts.values() for label in part.classes}
    return next((part.classes for part in found.parts.values() if len(part.classes) == len(every)), tuple(sorted(every)))


def alike(names: Sequence[str]) -> tuple[Note, ...]:
    """A note on names of classes that differ in capitals or spaces alone."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(" ".join(walk.normal(name).casefold().split()), []).append(name)
    same = [quoted(group) for group in groups.values() if len(group) > 1]
    if not same:
        return ()
    words = f"classes whose names differ in capitals or spaces alone: {'; '.join(same[:5])}; if they are one class, rename them"
    return (Note("alike_names", words, tuple(same[5:])),)


def _labels(found: Found) -> tuple[str, ...]:
    if "train" not in found.parts:
        raise InputError(
            f"{found.name}: no training split, only {', '.join(found.parts) or 'nothing'}; add a train folder or train.csv"
        )
    part = found.parts["train"]
    first = {walk.normal(label): label for label in reversed(part.classes)}
    labels = tuple(dict.fromkeys(first[walk.normal(label)] for label in part.classes))
    if len(labels) < 2:
        inner = Path(getattr(part.images, "root", ""), *labels)
        remedy = f", or give {printable(inner)}" if len(labels) == 1 and len(walk.folders(inner)) > 1 else ""
        raise InputError(
            f"{found.name}: the training split has one class only, {quoted(labels)}; add pictures of another{remedy}"
        )
    return labels


def _indexed(name: str, split: str, part: Part, labels: tuple[str, ...], index_of: Mapping[str, int], trains: bool) -> Split:
    """The part with its classes as indices."""
    indices = np.array([index_of.get(label, -1) for label in part.classes], dtype=np.int64)
    targets = indices[part.codes]
    strange = [part.classes[code] for code in np.unique(part.codes[targets < 0])]
    if strange and trains:
        raise InputError(
            f"{name}: {quoted(strange)} in {split} but not in train; add training pictures, or take it out of {split}"
        )
    if strange:
        raise InputError(
            f"{name}: the model does not know {quoted(strange)} (in {split}); its classes are {quoted(labels, 20)}"
            + "; `resnets convert --labels FILE` names them otherwise" * (len(strange) == len(part.classes))
        )
    return Split(part.images, targets, part.columns)
