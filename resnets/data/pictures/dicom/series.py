"""Folders of DICOM files as series, each with a path: the folder that holds it alone, or folder/series-<hash>. No torch.

Such a path is all that is needed to open the series again, so it can be printed, kept in a run and given to a command.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from resnets.data.pictures.dicom.facts import Facts, facts_of, hashed
from resnets.data.pictures.dicom.parse import DicomError, is_dicom, is_named

NAME = re.compile(r"series-[0-9a-f]{10}")
MAX_FILES = 1 << 17  # below a folder
# Modalities whose files are about images, or no images.
WITHOUT_IMAGES = (
    *("SEG", "RTSTRUCT", "RTPLAN", "RTRECORD", "RTDOSE", "SR", "PR", "KO", "REG", "FID", "RWV", "DOC", "AU", "PLAN"),
    *("ECG", "EPS", "HD", "RESP", "EEG", "EMG", "EOG"),
)


class Gathered(NamedTuple):
    """The series among some files.

    Args:
        series: the files of each, by its path.
        unread: files that cannot be read, with the reason.
        others: how many files are about images, by modality, and the first of each.
    """

    series: dict[Path, tuple[Facts, ...]]
    unread: dict[Path, str]
    others: dict[str, tuple[int, Path]]


def gathered(files: Iterable[Path]) -> Gathered:
    """The series that `files` (of DICOM) are of, in order of their paths."""
    by_series: dict[str, list[Facts]] = {}
    unread: dict[Path, str] = {}
    others: dict[str, tuple[int, Path]] = {}
    for path in files:
        try:
            facts = facts_of(path)
        except (DicomError, OSError) as error:
            unread[path] = str(error) if isinstance(error, DicomError) else (error.strerror or type(error).__name__).lower()
            continue
        if facts.form is None and facts.modality not in WITHOUT_IMAGES:
            unread[path] = f"no image in it (no Rows and Columns; modality {facts.modality}), or truncated before it"
        elif facts.modality in WITHOUT_IMAGES:
            num, first = others.get(facts.modality, (0, path))
            others[facts.modality] = num + 1, first
        else:
            by_series.setdefault(facts.series or str(path), []).append(facts)
    homes = {uid: common(file.path for file in found) for uid, found in by_series.items()}
    alone = Counter(home for home in homes.values())
    series = {}
    for uid, found in by_series.items():
        home = homes[uid]
        inside = sum(home in (other, *other.parents) for other in homes.values())
        single = alone[home] == inside == 1
        series[home if single else home / named(uid)] = tuple(found)
    return Gathered(dict(sorted(series.items())), unread, others)


def named(uid: str) -> str:
    """What a series is called in paths, where its folder holds others too."""
    return hashed(uid, "series")


def common(paths: Iterable[Path]) -> Path:
    """The folder that holds all of these files, at any depth."""
    folders = {path.parent for path in paths}
    return folders.pop() if len(folders) == 1 else Path(os.path.commonpath(folders))


def below(folder: Path) -> Iterator[Path]:
    """The DICOM files below a folder; links to folders are not followed."""
    num = 0
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            num += 1
            if num > MAX_FILES:
                raise DicomError(f"more than the {MAX_FILES:,} files below a folder that are looked at")
            path = Path(place, name)
            if is_named(name) and is_dicom(path):
                yield path


def is_series(path: Path) -> bool:
    """Whether it may be the path of a series: a folder, or a name in one that `gathered` gives."""
    there = os.path.isdir  # which, unlike Path.is_dir, is False of names that are too long
    return there(path) or bool(NAME.fullmatch(path.name) and there(path.parent))


def files_of(path: Path) -> Sequence[Facts]:
    """The files of the series at a path that `gathered` gave; or the only one of a folder, or the file itself.

    Raises:
        DicomError: where there is none, or more than one, or a file that cannot be read.
        OSError: where there is nothing.
    """
    if not is_series(path):
        return (facts_of(path),)
    folder = path if path.is_dir() else path.parent
    found = gathered(below(folder))
    if path != folder:
        chosen = [files for files in found.series.values() if named(files[0].series or str(files[0].path)) == path.name]
    else:
        chosen = list(found.series.values())
        if found.unread:
            first, reason = next(iter(found.unread.items()))
            raise DicomError(f"{len(found.unread):,} files here cannot be read, as {first.name}: {reason}")
    if len(chosen) != 1:
        raise DicomError(f"{len(chosen) or 'no'} series of images here; give a folder with one, or a path that is printed")
    return chosen[0]
