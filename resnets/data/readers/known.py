"""Built-in datasets: `digits` comes with scikit-learn; `cifar10` and `cifar100` are found in the data folder or downloaded.

CIFAR is published in two file formats, binary records and Python pickles. Both are read, from a folder or an archive. The
pickles are read without executing code in them (`_Plain`).
"""

from __future__ import annotations

import os
import pickle
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resnets.data.pictures.images import printable
from resnets.data.readers.download import Progress, fetch, matches
from resnets.data.readers.layouts import Found, array_part
from resnets.errors import InputError

CIFAR_URL = "https://www.cs.toronto.edu/~kriz/"
NUM_IMAGES = {"train": 50_000, "test": 10_000}  # of every CIFAR
PIXEL_BYTES = 3 * 32 * 32


class Cifar(NamedTuple):
    """A published version of a CIFAR dataset: binary or pickled. `files` are those of each split, in the official order."""

    name: str
    folder: str
    archive: str
    md5: str
    files: dict[str, tuple[str, ...]]
    names: str  # the file with the class names
    labels: str = ""  # in pickles: the key of the labels
    label_names: str = ""  # in pickles: the key of the class names
    label_bytes: int = 1  # in binary records: label bytes before the pixels; the last one is the class


_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
# The first version of a name is the one that is downloaded.
CIFARS = (
    Cifar(
        "cifar10", "cifar-10-batches-bin", "cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530",
        {"train": tuple(f"{batch}.bin" for batch in _BATCHES), "test": ("test_batch.bin",)}, "batches.meta.txt",
    ),
    Cifar(
        "cifar10", "cifar-10-batches-py", "cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a",
        {"train": _BATCHES, "test": ("test_batch",)}, "batches.meta", "labels", "label_names",
    ),
    Cifar(
        "cifar100", "cifar-100-binary", "cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8",
        {"train": ("train.bin",), "test": ("test.bin",)}, "fine_label_names.txt", label_bytes=2,
    ),
    Cifar(
        "cifar100", "cifar-100-python", "cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85",
        {"train": ("train",), "test": ("test",)}, "meta", "fine_labels", "fine_label_names",
    ),
)  # fmt: skip
FETCHED = {version.name for version in CIFARS}


def datasets_dir(data_dir: str | os.PathLike[str] | None = None) -> Path:
    """The folder of built-in datasets: `data_dir`, or $RESNETS_DATA, or ~/.cache/resnets/datasets."""
    return Path(data_dir or os.environ.get("RESNETS_DATA") or "~/.cache/resnets/datasets").expanduser()


def get(name: str, data_dir: str | os.PathLike[str] | None = None, progress: Progress | None = None) -> Path:
    """The folder of a built-in dataset, unpacked or downloaded if necessary.

    Raises:
        InputError: for a name without download, an archive that is not the official one, or a failed download.
    """
    versions = [version for version in CIFARS if version.name == name]
    if not versions:
        names = ", ".join(dict.fromkeys(version.name for version in CIFARS))
        raise InputError(
            f"'{name}' is not a built-in dataset with a download; these are: {names} (digits comes with scikit-learn)"
        )
    root = datasets_dir(data_dir)
    for version in versions:
        if (root / version.folder).is_dir():
            return root / version.folder
    version = next((version for version in versions if (root / version.archive).is_file()), versions[0])
    archive, checksum = root / version.archive, f"md5:{version.md5}"
    if not archive.is_file():
        fetch(CIFAR_URL + version.archive, archive, checksum=checksum, progress=progress)
    elif not matches(archive, checksum):
        raise InputError(
            f"{archive}: not the official file, or truncated (its MD5 differs); delete it, run `resnets data get {name}`"
        )
    return _unpack(archive, root / version.folder)


def _unpack(archive: Path, folder: Path) -> Path:
    """Unpack `folder` from `archive` atomically; returns `folder`. Raises `InputError` if the archive is damaged."""
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unpack-") as scratch:
            with tarfile.open(archive) as tar:
                for member in tar:
                    _extract(tar, member, Path(scratch))
            if not folder.is_dir():  # another process may have been faster
                Path(scratch, folder.name).rename(folder)
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise InputError(f"{archive}: cannot be unpacked ({error})") from error
    return folder


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Write a regular file of an archive below `folder`; anything else, such as a link, is left out. (What `tarfile` has for
    this, `filter="data"`, is not in every Python 3.11.)"""
    source = tar.extractfile(member) if member.isreg() else None
    if source is None:
        return
    path = Path(os.path.normpath(folder / member.name))
    if not path.is_relative_to(folder):
        raise tarfile.TarError(f"{printable(member.name)} lies outside of it")
    path.parent.mkdir(parents=True, exist_ok=True)
    with source, path.open("wb") as file:
        shutil.copyfileobj(source, file)


# --- the datasets ----------------------------------------------------------------------------------------------------


def read_digits(data_dir: str | os.PathLike[str] | None, in_chans: int) -> Found:
    """scikit-learn's 1,797 grey digits of 8 x 8 pixels. A fifth is the test split, the same for every seed (stratified, 0)."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images = np.rint(digits.images * 255 / 16).astype(np.uint8)  # the values are 0 to 16
    everything = np.arange(len(images))
    train, test = train_test_split(everything, test_size=0.2, stratify=digits.target, random_state=0)
    classes = tuple(str(name) for name in digits.target_names)
    parts = {
        split: array_part(split, images[indices], digits.target[indices], classes, in_chans)
        for split, indices in (("train", np.sort(train)), ("test", np.sort(test)))
    }
    return Found("digits", parts, size=(8, 8), hflip=False)


class Known(NamedTuple):
    """A built-in dataset: its reader, called with (data_dir, in_chans), and its own number of channels."""

    read: Callable[[str | os.PathLike[str] | None, int], Found]
    in_chans: int


KNOWN = {
    "digits": Known(read_digits, 1),
    "cifar10": Known(lambda data_dir, in_chans: read_cifar(get("cifar10", data_dir), in_chans), 3),
    "cifar100": Known(lambda data_dir, in_chans: read_cifar(get("cifar100", data_dir), in_chans), 3),
}


# --- CIFAR -----------------------------------------------------------------------------------------------------------


def _version_in(folder: Path) -> Cifar | None:
    """The version of CIFAR in `folder`: the file of class names exists, and at least one other file; None if there is none."""
    for version in CIFARS:
        files = [file for files in version.files.values() for file in files]
        if (folder / version.names).is_file() and any((folder / file).is_file() for file in files):
            return version
    return None


def is_cifar(folder: Path) -> bool:
    return any(version.folder == folder.name for version in CIFARS) or _version_in(folder) is not None


def read_cifar(folder: Path, in_chans: int) -> Found:
    """The CIFAR dataset in `folder`, in either version; of CIFAR-100 the 100 fine classes. Raises `InputError`."""
    version = _version_in(folder)
    name = version.name if version else next(version.name for version in CIFARS if version.folder == folder.name)
    remedy = f"delete {printable(folder)}, then run `resnets data get {name}`"
    if version is None:
        raise InputError(f"{printable(folder)}: its files are missing; {remedy}")
    read = _read_batch if version.labels else _read_records
    try:
        classes = _class_names(folder, version)
        parts = {}
        for split, files in version.files.items():
            pairs = [read(folder / file, version) for file in files]
            images, codes = np.concatenate([pair[0] for pair in pairs]), np.concatenate([pair[1] for pair in pairs])
            if len(images) != NUM_IMAGES[split]:
                raise InputError(f"{len(images):,} images in {split} instead of {NUM_IMAGES[split]:,}")
            if codes.min() < 0 or codes.max() >= len(classes):
                raise InputError(f"labels {codes.min()} to {codes.max()} in {split}, but {len(classes)} class names")
            images = images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)  # the files store channel after channel
            parts[split] = array_part(split, images, codes, classes, in_chans)
    except (OSError, InputError) as error:
        raise InputError(f"{printable(folder)}: {error}; {remedy}") from error
    return Found(version.name, parts, size=(32, 32))


def _class_names(folder: Path, version: Cifar) -> tuple[str, ...]:
    path = folder / version.names
    if version.labels:
        names = [str(name, "utf-8") for name in _entry(_unpickle(path), version.label_names, list, path)]
    else:
        names = path.read_text(encoding="utf-8").split("\n")
    return tuple(name.strip() for name in names if name.strip())


def _read_records(path: Path, version: Cifar) -> tuple[np.ndarray, np.ndarray]:
    """Pixels uint8 (N, 3072) and classes (N,) int64 of a binary file, whose records are label bytes and then pixels."""
    content = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    width = version.label_bytes + PIXEL_BYTES
    if not len(content) or len(content) % width:
        raise InputError(f"{path.name} is truncated: {len(content):,} bytes are no multiple of {width:,}")
    records = content.reshape(-1, width)
    return records[:, version.label_bytes :], records[:, version.label_bytes - 1].astype(np.int64)


def _read_batch(path: Path, version: Cifar) -> tuple[np.ndarray, np.ndarray]:
    """As `_read_records`, for a pickled batch."""
    batch = _unpickle(path)
    pixels, labels = _entry(batch, "data", np.ndarray, path), _entry(batch, version.labels, list, path)
    if pixels.dtype != np.uint8 or pixels.shape != (len(labels), PIXEL_BYTES) or not all(type(n) is int for n in labels):
        raise InputError(f"{path.name} holds {pixels.dtype} {pixels.shape} and {len(labels)} labels: not a batch")
    return pixels, np.array(labels, dtype=np.int64)


def _entry(batch: Any, key: str, kind: type, path: Path) -> Any:
    value = batch.get(key.encode()) if isinstance(batch, dict) else None
    if not isinstance(value, kind):
        raise InputError(f"{path.name} holds no {key}")
    return value


def _encode(text: str, encoding: str = "latin1") -> bytes:
    return text.encode("latin1")


# The functions that pickled arrays and bytes need, by their names in old and new NumPy.
_reconstruct = np.empty(0).__reduce__()[0]
HARMLESS: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _encode,
}


class _Plain(pickle.Unpickler):
    """An unpickler for arrays, text, numbers and containers. Any other name in a pickle, and so any code, is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in HARMLESS:
            raise InputError(f"it asks for {module}.{name}, which CIFAR never does: do not trust it")
        return HARMLESS[module, name]


def _unpickle(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            return _Plain(file, encoding="bytes").load()
    except InputError as error:
        raise InputError(f"{path.name} was not opened: {error}") from error
    except OSError:
        raise
    except Exception as error:  # a malformed pickle may raise nearly any exception
        raise InputError(f"{path.name} is broken ({type(error).__name__}: {error})") from error
