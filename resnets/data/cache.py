"""A cache of decoded images over epochs: in memory shared with workers, or in a file that later runs use too.

The cache does not change any result. Images that do not fit into it, or that cannot be read, are read anew each time.
"""

from __future__ import annotations

import dataclasses
import hashlib
import mmap
import multiprocessing
import os
import shutil
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from resnets.data.pictures.images import BadPicture
from resnets.data.pictures.stored import StoredImages
from resnets.data.types import Images, Split
from resnets.errors import InputError
from resnets.files import is_file

SHARE = 4  # "auto" uses at most 1 / SHARE of the free memory
MARGIN = 1.1  # factor on the size, which is estimated from a sample
CHUNK = 256  # images that are decoded at a time when a file is written
SAY_SECONDS = 20.0  # between progress messages
Say = Callable[[str], None]


def keep(
    kind: str, splits: Mapping[str, Split], *, again: bool, workers: int, folder: Path, say: Say
) -> tuple[dict[str, Split], str | None]:
    """The splits with their images in a cache.

    Args:
        kind: one of `CHOICES`: "memory", "disk", "none", or "auto" ("memory" if the images are seen more than once and fit
            into a quarter of the free memory, else "none").
        splits: splits by name; the images of "train" are read by the faster reader (`StoredImages.quickly`).
        again: whether images are seen more than once.
        workers: number of loader processes.
        folder: folder for the files of "disk".
        say: called with progress messages while a file is written.

    Returns:
        The splits, and a line of text that describes the cache; None if all images are arrays in memory already.

    Raises:
        InputError: if the disk has not enough space.
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
        line = f"{gigabytes(total)} of decoded images in memory{all_of_it} (of {gigabytes(free)} free)"
    elif kind == "disk":
        kept = {name: packed(each, sizes[name], folder, workers, say) for name, each in images.items()}
        line = f"{gigabytes(total)} of decoded images in {folder}"
    else:
        why = "" if can_share else "; memory is shared only with forked workers; use --cache disk, or --workers 0"
        return dict(splits), f"none: {gigabytes(total)} decoded, {gigabytes(free)} of memory free{why}"
    return {
        name: dataclasses.replace(split, images=kept[name]) if name in kept else split for name, split in splits.items()
    }, line


def _quick(name: str, images: Any) -> StoredImages:
    return images.quickly() if name == "train" else images


def decoded_bytes(images: StoredImages) -> int:
    """Size of the pixels of all images in bytes, estimated from the headers of 200, with a margin."""
    sizes = images.sizes(200)
    each = float(np.mean([width * height for width, height in sizes])) if sizes else 0.0
    return int(len(images) * each * images.in_chans * MARGIN)


def gigabytes(num_bytes: int) -> str:
    """A number of bytes as text: "1.5 GB", "20 MB"."""
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.0f} MB"


def free_memory() -> int:
    """Free memory in bytes, considering the limit of the container (cgroup); 0 if it is not known."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    free = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), 0)
    with suppress(OSError, ValueError):  # no cgroup, or no limit ("max")
        group = Path("/sys/fs/cgroup")
        free = min(free, int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    return max(0, free)


class Kept:
    """Images whose pixels stay in memory once they are read. Forked workers share it.

    Args:
        num_bytes: capacity; images that no longer fit are read each time.
    """

    def __init__(self, images: StoredImages, num_bytes: int) -> None:
        self.images, self.groups = images, images.groups
        # Anonymous shared memory, because /dev/shm may be as small as 64 MB. Pages that are never written take no memory.
        self._pixels = np.frombuffer(mmap.mmap(-1, max(1, num_bytes)), np.uint8)
        self._extents = np.frombuffer(mmap.mmap(-1, 24 * (len(images) + 1)), np.int64).reshape(-1, 3)  # (end, height, width)
        self._lock = multiprocessing.Lock()

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int, /) -> str:
        return self.images.name(index)

    def __getitem__(self, index: int, /) -> np.ndarray:
        with self._lock:
            extent = self._extents[index].copy()
        if extent[0]:
            return _view(self._pixels, extent.tolist(), self.images.in_chans)
        pixels = self.images[index]
        with self._lock:
            end = int(self._extents[-1, 0]) + pixels.size  # the last row holds the number of bytes in use
            if end > len(self._pixels):
                return pixels
            self._extents[-1, 0] = end
        self._pixels[end - pixels.size : end] = pixels.ravel()
        with self._lock:
            self._extents[index] = end, *pixels.shape[:2]
        return pixels


def _view(pixels: np.ndarray, extent: Sequence[int], in_chans: int) -> np.ndarray:
    """The image (H, W, in_chans) with the extent (end, height, width) in the flat array `pixels`."""
    end, height, width = extent
    return pixels[end - height * width * in_chans : end].reshape(height, width, in_chans)


class Packed:
    """Images in one file, as `packed` writes it: the pixels of all, then (end, height, width, checksum of the pixels) of
    each as int64, then the checksum of these rows.

    Images that could not be read when it was written have the end 0. Those whose pixels are damaged are read anew.

    Raises:
        ValueError: if the file is damaged where it says where the images are, or has another size.
    """

    def __init__(self, images: StoredImages, path: Path) -> None:
        self.images, self.groups, self.path = images, images.groups, path
        self._file = np.memmap(path, np.uint8, mode="c")  # copy on write: the file itself is never changed
        rows = self._file[-32 * len(images) - 8 : -8]
        if len(rows) != 32 * len(images) or zlib.crc32(rows.data) != int(self._file[-8:].view("<i8")[0]):
            raise ValueError("the file is damaged")
        self._extents = rows.view("<i8").reshape(-1, 4)
        end = int(self._extents[:, 0].max(initial=0))
        if len(self._file) != end + -end % 8 + len(rows) + 8:
            raise ValueError("the file has another length than when it was written")

    def __reduce__(self) -> tuple[Any, ...]:  # a spawned worker opens the file instead of receiving its content
        return Packed, (self.images, self.path)

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int, /) -> str:
        return self.images.name(index)

    def __getitem__(self, index: int, /) -> np.ndarray:
        *extent, checksum = self._extents[index].tolist()
        if extent[0]:
            pixels = _view(self._file, extent, self.images.in_chans)
            if zlib.crc32(pixels.data) == checksum:  # a tenth of the time that decoding takes
                return pixels
        return self.images[index]


def packed(images: StoredImages, num_bytes: int, folder: Path, workers: int, say: Say) -> Packed:
    """The images in their cache file in `folder`, which is written first if it does not exist or is damaged.

    Raises:
        InputError: if the folder cannot be written to or the disk has not enough space.
    """
    path = folder / f"{_fingerprint(images)}.pixels"
    with suppress(OSError, ValueError):  # there is none yet, or it is damaged
        if is_file(path):
            return Packed(images, path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_halves(path)
        room = shutil.disk_usage(folder).free
        if room < num_bytes:
            raise InputError(f"{folder}: {gigabytes(num_bytes)} are needed and {gigabytes(room)} free; use --cache none")
        _write(images, path, workers, say)
    except OSError as error:
        raise InputError(f"{folder}: cannot keep decoded images ({error.strerror or error}); use --cache none") from error
    return Packed(images, path)


def _fingerprint(images: StoredImages) -> str:
    parts = [b"resnets pixels 2", images.digest(), images.state(), bytes([images.in_chans])]
    parts += [bytes([images.bit_depth])] * (images.bit_depth < 16)
    parts += [repr(images.window).encode()] * (images.window is not None)
    return hashlib.sha256(b"".join(parts)).hexdigest()[:32]


def _remove_halves(path: Path) -> None:
    """Remove partial files left by processes that were killed while writing this file."""
    for half in path.parent.glob(f"{path.name}.*.part"):
        try:
            os.kill(int(half.suffixes[-2][1:]), 0)
        except (ProcessLookupError, ValueError):
            half.unlink(missing_ok=True)


def _write(images: StoredImages, path: Path, workers: int, say: Say) -> None:
    half = path.with_name(f"{path.name}.{os.getpid()}.part")
    extents, end, said = np.zeros((len(images), 4), "<i8"), 0, time.monotonic()
    say(f"cache    writing {len(images):,} decoded images to {path}")
    try:
        with half.open("wb") as file, ThreadPoolExecutor(max(1, workers)) as threads:
            for start in range(0, len(images), CHUNK):
                indices = range(start, min(start + CHUNK, len(images)))
                for index, pixels in zip(indices, threads.map(lambda index: _or_none(images, index), indices), strict=True):
                    if pixels is not None:
                        content = np.ascontiguousarray(pixels).data
                        file.write(content)
                        end += pixels.size
                        extents[index] = end, *pixels.shape[:2], zlib.crc32(content)
                if time.monotonic() - said > SAY_SECONDS:
                    said = time.monotonic()
                    say(f"cache    {indices.stop / len(images):.0%} written, {gigabytes(end)}")
            file.write(bytes(-end % 8))  # aligns the extents to 8 bytes
            file.write(extents.tobytes() + np.array(zlib.crc32(extents.data), "<i8").tobytes())
            file.flush()
            os.fsync(file.fileno())  # otherwise a power failure could leave the new name with no content
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)


def _or_none(images: StoredImages, index: int) -> np.ndarray | None:
    try:
        return images[index]
    except BadPicture:
        return None
