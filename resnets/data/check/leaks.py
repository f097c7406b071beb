"""Files of the same bytes in more than one split: certain, and quick enough to look for before each training."""

from __future__ import annotations

import hashlib
from collections import defaultdict

from resnets.data.check.findings import LEAKAGE, many
from resnets.data.pictures.stored import FileImages
from resnets.data.types import Source
from resnets.files import open_regular

CHECKED = 20_000  # images up to which files are compared before training


def leaks(source: Source) -> str | None:
    """How many identical files stand in more than one split, and the remedy; None where there are none. Only files of the same
    number of bytes are read."""
    files = {name: split.images for name, split in source.splits.items() if isinstance(split.images, FileImages)}
    if len(files) < 2 or sum(map(len, files.values())) > CHECKED:
        return None
    by_size: dict[int, list[tuple[str, int]]] = defaultdict(list)
    for name, images in files.items():
        for index in range(len(images)):
            try:
                by_size[images.path(index).stat().st_size].append((name, index))
            except OSError:
                continue  # said elsewhere
    same: dict[bytes, list[str]] = defaultdict(list)
    for entries in by_size.values():
        if len({name for name, _ in entries}) > 1:
            for name, index in entries:
                try:
                    with open_regular(files[name].path(index)) as file:
                        same[hashlib.file_digest(file, "sha256").digest()].append(name)
                except OSError:
                    continue
    found = [names for names in same.values() if len(set(names)) > 1]
    return f"{many(len(found), 'group')} ({many(sum(map(len, found)), 'picture')}) {LEAKAGE}" if found else None
