"""Decoded pictures, kept from one epoch to the next: in memory that workers share, or in a file that later runs find again.

Keeping changes nothing of what is computed. What cannot be kept, or cannot be read, is read anew each time.
"""

from __future__ import annotations

import hashlib
import mmap
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from resnets.data.pictures.images import BadPicture, StoredImages
from resnets.data.types import Images, Split
from resnets.errors import InputError

SHARE = 4  # "auto" takes at most one part in so many of the memory that is free
MARGIN = 1.1  # of the estimated size, which comes from a sample
CHUNK = 256  # pictures that are decoded ahead when a file is written
SAY_SECONDS = 20.0  # between words on how far that is
Say = Callable[[str], None]


def keep(
    kind: str, splits: Mapping[str, Split], *, again: bool, workers: int, folder: Path, say: Say
) -> tuple[dict[str, Split], str | None]:
    """The splits with their pictures kept as `kind` says, and a line that tells how; None where all lies in memory anyway.

    Args:
        splits: what the epochs go through; pictures of "train" are read quickly.
        again: whether they are seen more than once.
        workers: processes that will decode.
        folder: where `disk` puts its files.
        say: told of progress while a file is written.

    Raises:
        InputError: where the disk has no room.
    """
    stored = {name: split for name, split in splits.items() if isinstance(split.images, StoredImages)}
    if not stored:
        return dict(splits), None
    images = {name: _quick(name, split.images) for name, split in stored.items()}
    sizes = {name: decoded_bytes(each) for name, each in images.items()}
    total, free = sum(sizes.values()), free_memory()
    can_share = workers == 0 or multiprocessing.get_start_method() == "fork"
    if kind == "auto":
        kind = "memory" if again and can_share and total * SHARE <= free else "none"
    if kind == "memory" and can_share:
        part = min(1.0, 0.8 * free / max(total, 1))
        kept: dict[str, Images] = {name: Kept(each, int(sizes[name] * part)) for name, each in images.items()}
        all_of_it = "" if part == 1 else f", of which {gigabytes(int(total * part))} are kept"
        line = f"{gigabytes(total)} of decoded pictures in memory{all_of_it} (of {gigabytes(free)} free)"
    elif kind == "disk":
        kept = {name: packed(each, sizes[name], folder, workers, say) for name, each in images.items()}
        line = f"{gigabytes(total)} of decoded pictures in {folder}"
    else:
        why = "" if can_share else "; memory is shared with workers where they are forked; use disk, or --workers 0"
        return dict(splits), f"none: {gigabytes(total)} decoded, {gigabytes(free)} of memory free{why}"
    return {name: Split(kept[name], split.targets) if name in kept else split for name, split in splits.items()}, line


def _quick(name: str, images: Any) -> StoredImages:
    return images.quickly() if name == "train" else images


def decoded_bytes(images: StoredImages) -> int:
    """What the pixels of all pictures take, from the headers of some, with a margin."""
    sizes = images.sizes(200)
    each = float(np.mean([width * height for width, height in sizes])) if sizes else 0.0
    return int(len(images) * each * images.in_chans * MARGIN)


def gigabytes(num_bytes: int) -> str:
    """A size for people."""
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.0f} MB"


def free_memory() -> int:
    """Bytes that this process may yet take: of the machine, and of its container. 0 where that is not known."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    free = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), 0)
    with suppress(OSError, ValueError):  # no container, or one without a limit ("max")
        group = Path("/sys/fs/cgroup")
        free = min(free, int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    return max(0, free)


class Kept:
    """Pictures whose pixels stay in memory once they are read. Workers share it if they are forked.

    Args:
        num_bytes: what may be kept; pictures for which no room is left are read each time.
    """

    def __init__(self, images: StoredImages, num_bytes: int) -> None:
        self.images, self.groups = images, images.groups
        # Anonymous and shared: /dev/shm may be as small as 64 MB, and pages that are never written cost nothing.
        self._pixels = np.frombuffer(mmap.mmap(-1, max(1, num_bytes)), np.uint8)
        self._places = np.frombuffer(mmap.mmap(-1, 24 * (len(images) + 1)), np.int64).reshape(-1, 3)  # (end, height, width)
        self._lock = multiprocessing.Lock()

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int, /) -> str:
        return self.images.name(index)

    def __getitem__(self, index: int, /) -> np.ndarray:
        with self._lock:
            place = self._places[index].copy()
        if place[0]:
            return _view(self._pixels, place, self.images.in_chans)
        pixels = self.images[index]
        with self._lock:
            end = int(self._places[-1, 0]) + pixels.size  # the last row holds how much is taken
            if end > len(self._pixels):
                return pixels
            self._places[-1, 0] = end
        self._pixels[end - pixels.size : end] = pixels.ravel()
        with self._lock:
            self._places[index] = end, *pixels.shape[:2]
        return pixels


def _view(pixels: np.ndarray, place: np.ndarray, in_chans: int) -> np.ndarray:
    end, height, width = place.tolist()
    return pixels[end - height * width * in_chans : end].reshape(height, width, in_chans)


class Packed:
    """Pictures in one file: their pixels end to end, then (end, height, width) of each, as `packed` writes it.

    Those that could not be read when it was written have an end of 0.
    """

    def __init__(self, images: StoredImages, path: Path) -> None:
        self.images, self.groups, self.path = images, images.groups, path
        self._file = np.memmap(path, np.uint8, mode="c")  # copy on write: never written
        self._places = self._file[-24 * len(images) :].view("<i8").reshape(-1, 3)

    def __reduce__(self) -> tuple[Any, ...]:  # a process that is not forked opens the file, rather than being sent it
        return Packed, (self.images, self.path)

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int, /) -> str:
        return self.images.name(index)

    def __getitem__(self, index: int, /) -> np.ndarray:
        place = self._places[index]
        return _view(self._file, place, self.images.in_chans) if place[0] else self.images[index]


def packed(images: StoredImages, num_bytes: int, folder: Path, workers: int, say: Say) -> Packed:
    """The file of these very pictures, in `folder`; written first where it is not there, in one pass."""
    path = folder / f"{_fingerprint(images)}.pixels"
    if not path.exists():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _remove_halves(path)
            room = shutil.disk_usage(folder).free
            if room < num_bytes:
                raise InputError(f"{folder}: {gigabytes(num_bytes)} are needed and {gigabytes(room)} free; use --cache none")
            _write(images, path, workers, say)
        except OSError as error:
            raise InputError(f"{folder}: cannot keep decoded pictures ({error.strerror or error}); use --cache none") from error
    return Packed(images, path)


def _fingerprint(images: StoredImages) -> str:
    parts = [b"resnets pixels 1", images.digest(), images.state(), bytes([images.in_chans])]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:32]


def _remove_halves(path: Path) -> None:
    """What was left by processes that were killed while they wrote this file."""
    for half in path.parent.glob(f"{path.name}.*.part"):
        try:
            os.kill(int(half.suffixes[-2][1:]), 0)
        except (ProcessLookupError, ValueError):
            half.unlink(missing_ok=True)


def _write(images: StoredImages, path: Path, workers: int, say: Say) -> None:
    half = path.with_name(f"{path.name}.{os.getpid()}.part")
    places, end, said = np.zeros((len(images), 3), "<i8"), 0, time.monotonic()
    say(f"cache    writing {len(images):,} decoded pictures to {path}")
    try:
        with half.open("wb") as file, ThreadPoolExecutor(max(1, workers)) as threads:
            for start in range(0, len(images), CHUNK):
                indices = range(start, min(start + CHUNK, len(images)))
                for index, pixels in zip(indices, threads.map(lambda index: _or_none(images, index), indices), strict=True):
                    if pixels is not None:
                        file.write(np.ascontiguousarray(pixels).data)
                        end += pixels.size
                        places[index] = end, *pixels.shape[:2]
                if time.monotonic() - said > SAY_SECONDS:
                    said = time.monotonic()
                    say(f"cache    {indices.stop / len(images):.0%} written, {gigabytes(end)}")
            file.write(bytes(-end % 8))  # so that the numbers begin at a multiple of 8
            file.write(places.tobytes())
            file.flush()
            os.fsync(file.fileno())  # the name must not outlive its content when the machine loses power
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)


def _or_none(images: StoredImages, index: int) -> np.ndarray | None:
    try:
        return images[index]
    except BadPicture:
        return None
