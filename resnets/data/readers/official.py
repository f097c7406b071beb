"""Datasets in the files of their makers, found in the data folder and read by torchvision's own classes.

torchvision reads lists, labels and arrays, and verifies checksums where it knows them; none of its classes here unpickles.
Images that are files stay files, and are decoded as all others are. Before a class reads a file whole, it is checked to be a
regular file of at most `MAX_BYTES`; afterwards all images are checked to be there, and inside the dataset's folder.
"""

from __future__ import annotations

import gzip
import os
import socket
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resnets.data.pictures.images import printable
from resnets.data.pictures.stored import FileImages
from resnets.data.readers.layouts import Part, array_part, quoted
from resnets.errors import InputError
from resnets.files import check_file, foreign, is_file, open_regular, read_regular, short, temporary_folder

MAX_BYTES = 2**28  # of a file that is read whole; the largest is SVHN's, of 182 MB
TIMEOUT_SECONDS = 30.0  # of a server that sends nothing
ARCHIVES = (".gz", ".tgz", ".tar", ".zip", ".mat")  # what an interrupted download keeps

# What a download raises: the network, the disk, and torchvision, where a checksum differs.
FAILED = (OSError, EOFError, RuntimeError, ValueError, tarfile.TarError, zipfile.BadZipFile, zlib.error)


class Official(NamedTuple):
    """How torchvision's class of a dataset is called, and where its official files are.

    Args:
        kind: name of the class in `torchvision.datasets`; "" where there is nothing to download.
        splits: the arguments of the class for each split.
        files: below the folder in which torchvision unpacks them: folders (with a slash at the end), and files that are read
            whole.
        images: its attribute with arrays (N, H, W) or (N, C, H, W), with paths, or with pairs (path, class index).
        labels: its attribute with class indices; "" of pairs.
        num_classes: where it has no attribute `classes`: they are called 0, 1, ...
        layout: the folder, below the same, that is opened by its layout instead.
        elsewhere: folders in which the `files` may lie side by side, gzipped or not, beside the data folder; None: nowhere.
    """

    kind: str
    splits: Mapping[str, Mapping[str, Any]]
    files: tuple[str, ...]
    images: str = ""
    labels: str = ""
    num_classes: int = 0
    layout: str = ""
    elsewhere: tuple[str, ...] | None = None


def root_of(name: str, row: Official, data_dir: Path) -> Path | None:
    """What torchvision calls the root: `data_dir/name`, else `data_dir`, whichever has the files; None if neither has."""
    return next((root for root in (data_dir / name, data_dir) if all((root / file).exists() for file in row.files)), None)


def beside(name: str, row: Official, data_dir: Path) -> Path | None:
    """A folder that has the files side by side, gzipped or not; None if there is none."""
    if row.elsewhere is None:
        return None
    folders = (data_dir / name, data_dir / name.replace("_", "-"), *map(Path, row.elsewhere))
    return next((folder for folder in folders if all(_stored(folder, file) is not None for file in row.files)), None)


def _stored(folder: Path, file: str) -> Path | None:
    return next((path for path in (folder / Path(file).name, folder / f"{Path(file).name}.gz") if is_file(path)), None)


def missing(name: str, row: Official, data_dir: Path, size: str) -> InputError:
    """The error where no folder has the files; `size` says how large the download is, and its terms."""
    get = f"`resnets data get {name}` downloads them ({size}), or " if row.kind else f"they cannot be downloaded ({size}): "
    where = f"put the official files in {printable(data_dir / name)}, unpacked, so that there is {quoted(row.files)}"
    return InputError(f"{name}: its files are not in {printable(data_dir)}; {get}{where}")


@contextmanager
def unpacked(name: str, row: Official, data_dir: Path, size: str) -> Iterator[Path]:
    """The root for torchvision; a temporary one, where the files lie side by side. Raises `InputError` without them."""
    if (root := root_of(name, row, data_dir)) is not None:
        yield root
        return
    if (folder := beside(name, row, data_dir)) is None:
        raise missing(name, row, data_dir, size)
    with temporary_folder() as scratch:
        for file in row.files:
            path = _stored(folder, file)
            assert path is not None
            (scratch / file).parent.mkdir(parents=True, exist_ok=True)
            with foreign(path):
                (scratch / file).write_bytes(_whole(path))
        yield scratch


def _whole(path: Path) -> bytes:
    if path.suffix != ".gz":
        return read_regular(path, MAX_BYTES)
    with open_regular(path, MAX_BYTES) as file, gzip.GzipFile(fileobj=file) as packed:
        content = packed.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"unpacked it has more than the {MAX_BYTES:,} bytes that are read")
    return content


def read(name: str, row: Official, root: Path, in_chans: int, num_images: Mapping[str, int]) -> dict[str, Part]:
    """The splits of the official files below `root`.

    Args:
        num_images: how many images each split officially has.

    Raises:
        InputError: where a file is missing, damaged or too large, or there are more or fewer images.
    """
    from torchvision import datasets

    remedy = f"remove it, and run `resnets data get {name}`, or unpack the official files again"
    with foreign(printable(root), remedy, what=f"torchvision's {row.kind}"):
        for file in row.files:
            if not file.endswith("/"):
                check_file(root / file, most=MAX_BYTES)
        parts: dict[str, Part] = {}
        for split, arguments in row.splits.items():
            parts[split] = _part(getattr(datasets, row.kind)(root, **arguments), row, root, split, in_chans)
            if len(parts[split].codes) != num_images[split]:
                raise ValueError(f"{len(parts[split].codes):,} images in {split} instead of {num_images[split]:,}")
    return parts


def _part(dataset: Any, row: Official, root: Path, split: str, in_chans: int) -> Part:
    images = getattr(dataset, row.images)
    images, labels = (images, getattr(dataset, row.labels)) if row.labels else zip(*images, strict=True)
    codes = np.asarray(labels, dtype=np.int64)
    names = getattr(dataset, "classes", None) or range(row.num_classes)
    classes = tuple(printable(name[0] if isinstance(name, tuple) else str(name)) for name in names)
    if len(images) != len(codes) or codes.min() < 0 or codes.max() >= len(classes):
        raise ValueError(f"{len(images):,} images in {split} with {len(codes):,} labels of {len(classes)} classes")
    if hasattr(images, "shape"):
        pixels = np.asarray(images)
        pixels = pixels.transpose(0, 2, 3, 1) if pixels.ndim == 4 else pixels
        return array_part(split, np.ascontiguousarray(pixels), codes, classes, in_chans)
    paths = [os.path.relpath(path, root) for path in images]
    if outside := [path for path in paths if path.startswith(os.pardir)]:
        raise ValueError(f"{quoted(map(printable, outside), 2)} in {split} lie outside of it")
    if gone := [path for path in paths if not is_file(root / path)]:
        raise ValueError(f"{len(gone):,} images of {split} do not exist, as {printable(gone[0])}")
    return Part(FileImages(paths, in_chans, root), classes, codes)


# --- download --------------------------------------------------------------------------------------------------------


def fetch(name: str, row: Official, data_dir: Path, size: str) -> Path:
    """Download the official files by torchvision, which verifies their checksums, to `data_dir/name`: complete, or not at all.

    Archives that were complete when a download was interrupted are used again.

    Raises:
        InputError: where there is nothing to download, the download fails, or something is in the way.
    """
    from torchvision import datasets

    folder, part = data_dir / name, data_dir / f".{name}.part"
    if not row.kind:
        raise missing(name, row, data_dir, size)
    if folder.exists():
        raise InputError(
            f"{printable(folder)}: there, but not complete ({quoted(row.files)} are wanted); remove it, then try again"
        )
    try:
        _keep_archives(part)
        part.mkdir(parents=True, exist_ok=True)
        with _timeout():
            for arguments in row.splits.values():
                getattr(datasets, row.kind)(part, download=True, **arguments)
        return part.rename(folder)
    except FAILED as error:
        with suppress(OSError):
            _keep_archives(part)
        why = short(getattr(error, "reason", None) or error)
        by_hand = f"put the official files in {printable(folder)}, unpacked: {quoted(row.files)}"
        raise InputError(f"cannot download {name} ({why}); try again, or {by_hand}") from error


def _keep_archives(part: Path) -> None:
    """Remove what a download that was interrupted had unpacked: torchvision takes half of it for the whole."""
    for path in (*sorted(part.rglob("*"), reverse=True), part):
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif path != part and not path.name.endswith(ARCHIVES):
            path.unlink()


@contextmanager
def _timeout() -> Iterator[None]:
    """torchvision sets none, and waits for ever for a server that does not answer."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
