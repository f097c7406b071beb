"""Pictures that belong together: of one patient, film, place or burst. What the setting `group_by` means. No torch.

A group is all or nothing: a network that has seen one picture of a patient knows the others half by heart, and a score on
these says nothing of other patients. So splits are cut between groups (`data.splits`), and intervals drawn by groups.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from resnets.data.pictures.dicom.parse import DicomError, is_dicom
from resnets.data.pictures.dicom.series import files_of, is_series
from resnets.data.pictures.stored import FileImages, StoredImages
from resnets.data.pictures.volumes import is_nifti
from resnets.data.types import Source, Split
from resnets.errors import InputError

NONE, PATIENT = "none", "PatientID"  # no groups where there would be some; by DICOM's attribute, hashed
PACKED = "pack_group"  # the column of shards that were packed with groups
FIELD = re.compile(r"\{([A-Za-z_]\w*)\}")  # of a pattern
LEVEL = re.compile(r"folder(?::([1-9]\d?))?")
BURST = re.compile(r"burst(?::(\d{1,6}(?:\.\d+)?))?")
BURST_SECONDS = 60.0
LOOKED = 16  # images that are looked at for whether they are DICOM
WAYS = (
    "a column of the list; a pattern of the path such as {patient}_*.png; a regular expression with one group such as (\\w+)/; "
    "PatientID (of DICOM files); folder, folder:2 (the folder of the picture, the one above it); burst, burst:10 (taken within "
    "60 or 10 seconds of another)"
)
WITH_EXIF = ("JPEG", "TIFF", "WEBP")  # of PNG all would have to be decoded
EXIF_IFD, TAKEN, WRITTEN, CAMERA = 0x8769, 0x9003, 0x0132, 0x0110

Key = Callable[[Any, int], "str | None"]  # (images, index) -> the group; None where there is none


def chosen(source: Source, by: str | None) -> str | None:
    """What to group by where `by` was asked for; without it, DICOM files by their patients, shards as they were packed.
    None: each image by itself."""
    if by is not None:
        return None if by == NONE else by
    if any(PACKED in split.columns for split in source.splits.values()):
        return PACKED
    return PATIENT if all(is_of_dicom(split.images) for split in source.splits.values()) else None


def is_of_dicom(images: Any) -> bool:
    """Whether all images of a sample are in DICOM files."""
    files = getattr(images, "files", images)
    if not isinstance(files, FileImages) or not len(files):
        return False
    paths = [files.path(index) for index in files.sample(LOOKED).tolist()]
    return all(not is_nifti(path) and (is_series(path) or is_dicom(path)) for path in paths)


def patients(images: Any) -> np.ndarray:
    """(N,) text: a hash of each image's PatientID, never a name; what cannot be read is alone."""
    files = getattr(images, "files", images)
    return np.array([_patient(files.path(index)) or f"alone-{index}" for index in range(len(files))])


def _patient(path: Path) -> str:
    try:
        return files_of(path)[0].patient
    except (DicomError, OSError):
        return ""


def grouped(source: Source, by: str | None) -> Source:
    """`source` with `Split.groups` as `by` says, which is one of `WAYS`; as it is where `by` is None or "none".

    Raises:
        InputError: where `by` means nothing here, or a picture has no group; examples are named.
    """
    if by in (None, NONE):
        return source
    return dataclasses.replace(with_groups(source, groups_of(source, by)), used=(*source.used, by))


def with_groups(source: Source, found: Mapping[str, np.ndarray]) -> Source:
    """`source` with groups (N,) for each split."""
    splits = {name: dataclasses.replace(split, groups=found[name]) for name, split in source.splits.items()}
    return dataclasses.replace(source, splits=splits)


def groups_of(source: Source, by: str) -> dict[str, np.ndarray]:
    """(N,) text for each split: what each picture belongs to. Raises as `grouped`."""
    columns = {name: split.columns for name, split in source.splits.items()}
    if by and any(by in column for column in columns.values()):
        if without := [name for name, column in columns.items() if by not in column]:
            raise InputError(f"{source.name}: there is no column {by!r} in {', '.join(without)}; add it, or group otherwise")
        found = {name: column[by] for name, column in columns.items()}
        return _whole(source, found, f"a cell in the column {by!r}; write what each belongs to")
    if not all(hasattr(split.images, "relative") for split in source.splits.values()):
        raise InputError(
            f"{source.name}: its pictures have no paths or columns for group_by={by!r} to go by; leave it out, or give folders "
            "or a CSV list"
        )
    if by.lower() == PATIENT.lower() and all(is_of_dicom(split.images) for split in source.splits.values()):
        return {name: patients(split.images) for name, split in source.splits.items()}
    if burst := BURST.fullmatch(by):
        return bursts(source, float(burst[1] or BURST_SECONDS))
    key = key_of(source, by)
    found = {
        name: np.array([key(split.images, index) or "" for index in range(len(split))]) for name, split in source.splits.items()
    }
    return _whole(source, found, f"a group by group_by={by!r}; change it so that it fits each path")


def _whole(source: Source, found: dict[str, np.ndarray], what: str) -> dict[str, np.ndarray]:
    without = [_path(source.splits[name], index) for name in found for index in np.flatnonzero(found[name] == "").tolist()]
    if without:
        total = sum(map(len, found.values()))
        raise InputError(
            f"{source.name}: {len(without):,} of {total:,} pictures without {what}; for example {', '.join(without[:3])}"
        )
    return found


def _path(split: Split, index: int) -> str:
    return split.images.relative(index) if hasattr(split.images, "relative") else split.images.name(index)


def key_of(source: Source, by: str) -> Key:
    """What gives the group of a picture, by its path from the data's folder on."""
    if level := LEVEL.fullmatch(by):
        return lambda images, index: folder(images.relative(index), int(level[1] or 1))
    if FIELD.search(by):
        return _searching(pattern(by))
    if "(" in by:
        try:
            expression = re.compile(by)
        except re.error as error:
            raise InputError(f"group_by={by!r}: not a regular expression ({error}); give {WAYS}") from None
        if expression.groups != 1:
            raise InputError(f"group_by={by!r}: {expression.groups} groups; put one pair of brackets around what is the same")
        return _searching(expression)
    columns = dict.fromkeys(name for split in source.splits.values() for name in split.columns)
    has = f" (it has {', '.join(columns)})" if columns else ""
    dicom = "; only DICOM files have one of their own" * (by.lower() == PATIENT.lower())
    raise InputError(f"group_by={by!r}: no column of that name{has}{dicom}; give {WAYS}")


def folder(path: str, level: int) -> str | None:
    """The name of the folder that holds the file (level 1), or of the one above it (2)."""
    names = path.split("/")[:-1]
    return names[-level] if level <= len(names) else None


def pattern(text: str) -> re.Pattern[str]:
    """A pattern of the end of a path: {name} is what is the same within a group, * any text; neither reaches past a `/`."""
    fields = FIELD.findall(text)
    if len(set(fields)) < len(fields):
        raise InputError(f"group_by={text!r}: a name comes twice; give each pair of brackets its own")
    parts = re.split(r"(\{[A-Za-z_]\w*\}|\*)", text)
    words = ["([^/]+?)" if FIELD.fullmatch(part) else "[^/]*" if part == "*" else re.escape(part) for part in parts]
    return re.compile(f"(?:^|/){''.join(words)}$")


def _searching(expression: re.Pattern[str]) -> Key:
    def key(images: Any, index: int) -> str | None:
        found = expression.search(images.relative(index))
        return "/".join(part or "" for part in found.groups()) if found else None

    return key


# --- bursts ---


def bursts(source: Source, seconds: float) -> dict[str, np.ndarray]:
    """Groups of pictures of one camera, each taken within so many seconds of the one before; one that does not say when it was
    taken, in EXIF, is a group of its own."""
    rows = [(name, index, taken(split.images, index)) for name, split in source.splits.items() for index in range(len(split))]
    known = sorted((row for row in rows if row[2]), key=lambda row: row[2] or ())
    if not known:
        raise InputError(f"{source.name}: no picture says when it was taken (EXIF), so there are no bursts; group otherwise")
    found = {name: np.array([_path(split, i) for i in range(len(split))], object) for name, split in source.splits.items()}
    first = before = known[0][2]
    for name, index, when in known:
        assert first and before and when
        if when[0] != before[0] or (when[1] - before[1]).total_seconds() > seconds:
            first = when
        before = when
        found[name][index] = f"{first[0]} {first[1]}".strip()
    return {name: values.astype(str) for name, values in found.items()}


def taken(images: Any, index: int) -> tuple[str, datetime] | None:
    """The camera, and when a picture was taken, as EXIF says; None where it does not."""
    if not isinstance(images, StoredImages):
        return None
    try:
        with images.open(index) as file, Image.open(file, formats=WITH_EXIF) as picture:
            exif = picture.getexif()
            text = exif.get_ifd(EXIF_IFD).get(TAKEN) or exif.get(WRITTEN)
            when = datetime.strptime(str(text).strip("\0 "), "%Y:%m:%d %H:%M:%S")
            return str(exif.get(CAMERA, "")).strip("\0 "), when
    except Exception:  # what cannot be read is said elsewhere; broken EXIF raises nearly any exception
        return None


# --- groups and splits ---


def number(source: Source) -> dict[str, int]:
    """How many groups each split has; empty where there are none."""
    return {name: len(np.unique(split.groups)) for name, split in source.splits.items() if split.groups is not None}


def counts(source: Source) -> dict[str, dict[str, int]]:
    """{group: {split: pictures}}, the largest first."""
    found: dict[str, dict[str, int]] = {}
    for name, split in source.splits.items():
        if split.groups is not None:
            for group, num in zip(*np.unique(split.groups, return_counts=True), strict=True):
                found.setdefault(str(group), {})[name] = int(num)
    return dict(sorted(found.items(), key=lambda item: -sum(item[1].values())))


def crossing(source: Source) -> dict[str, dict[str, int]]:
    """The groups with pictures in more than one split, as `counts` has them."""
    return {group: each for group, each in counts(source).items() if len(each) > 1}


def crossing_words(found: dict[str, dict[str, int]], what: str, remedy: str) -> str:
    """That groups stand in more than one split, with some of them."""
    few = "; ".join(f"'{group}' ({_counts(each)})" for group, each in list(found.items())[:3])
    return f"{what} in more than one split, which makes scores too good: {few}{' ...' * (len(found) > 3)}; {remedy}"


def _counts(each: dict[str, int]) -> str:
    return ", ".join(f"{split} {num:,}" for split, num in each.items())


def check_apart(source: Source, by: str) -> None:
    """Raise `InputError` where pictures of one group stand in more than one split."""
    if found := crossing(source):
        what = f"{len(found):,} {'group' if len(found) == 1 else 'groups'} of group_by={by!r}"
        raise InputError(f"{source.name}: {crossing_words(found, what, REMEDY)}")


REMEDY = "put each group in one split, or all pictures into train, from which validation and folds are then cut by groups"


def words_of(source: Source, by: str | None) -> str:
    """How many groups there are, for people; "" where there are none."""
    numbers = number(source)
    return f"; groups by {by}: {', '.join(f'{num:,} {name}' for name, num in numbers.items())}" if numbers else ""
