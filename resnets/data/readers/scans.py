"""A folder of DICOM series without labels: what `resnets data check` looks into. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from resnets.data.pictures.dicom.facts import facts_of
from resnets.data.pictures.dicom.parse import DicomError
from resnets.data.pictures.dicom.series import below
from resnets.data.pictures.images import printable
from resnets.data.pictures.stored import FileImages
from resnets.data.pictures.volumes import Volumes, in_series
from resnets.data.readers.class_folders import is_split_folder
from resnets.data.readers.walk import Left, walk
from resnets.data.types import Source, Split
from resnets.errors import InputError

FIRST = 32  # files that are looked at


def is_scans(root: Path) -> bool:
    """Whether the first DICOM files below a folder are slices."""
    return root.is_dir() and not is_split_folder(root) and are_slices(root)


def are_slices(root: Path, *, placed: bool = False) -> bool:
    """Whether among the first DICOM files below a folder are two of one series, or one of several frames.

    Args:
        placed: they have to lie at places that differ; two X-rays of one series do not.
    """
    seen: dict[str, set[Any]] = {}
    try:
        for path in islice(below(root), FIRST):
            facts = facts_of(path)
            slices = seen.setdefault(facts.series, set())
            slices |= {frame.position if placed else (path, number) for number, frame in enumerate(facts.frames)} - {None}
            if len(slices) > 1:
                return True
    except (DicomError, OSError, InputError):
        return False
    return False


def read_scans(root: Path, in_chans: int, labels: Sequence[str] | None = None) -> Source:
    """All series below `root`, as the training split, without labels."""
    left = Left()
    found = in_series(map(Path, walk(root, str(root), left, suffixes=())), left)
    paths = [path.relative_to(root) if path != root else Path() for path in found]
    volumes = Volumes(FileImages(paths, 1, root), 1)
    split = Split(volumes, np.zeros(len(paths), np.int64))
    return Source(printable(root.resolve().name), ("scan",), {"train": split}, 1, kind="scans", notes=left.notes())
