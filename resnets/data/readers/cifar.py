"""CIFAR-10 and CIFAR-100, found in the data folder or downloaded.

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
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from resnets.data.pictures.images import printable
from resnets.data.readers.download import Progress, fetch, matches
from resnets.data.readers.layouts import Found, array_part
from resnets.errors import InputError
from resnets.files import is_file, read_regular, read_text, short

CIFAR_URL = "https://www.cs.toronto.edu/~kriz/"
NUM_IMAGES = {"train": 50_000, "test": 10_000}  # of every CIFAR
PIXEL_BYTES = 3 * 32 * 32
MAX_ARCHIVE_BYTES = 2**28  # the largest has 170 MB
MAX_BYTES = 2**28  # of a file; the largest has 155 MB


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


def place(name: str, root: Path) -> Path | None:
    """The folder of the CIFAR dataset `name` below `root`; None if there is none."""
    folders = [root / version.folder for version in CIFARS if version.name == name]
    return next((folder for folder in folders if folder.is_dir()), None)


def get(name: str, root: Path, progress: Progress | None = None) -> Path:
    """The folder of the CIFAR dataset `name` below `root`, unpacked or downloaded if necessary.

    Raises:
        InputError: for an archive that is not the official one, or a failed download.
    """
    if (found := place(name, root)) is not None:
        return found
    versions = [version for version in CIFARS if version.name == name]
    version = next((version for version in versions if is_file(root / version.archive)), versions[0])
    archive, checksum = root / version.archive, f"md5:{version.md5}"
    if not is_file(archive):
        fetch(CIFAR_URL + version.archive, archive, checksum=checksum, most=MAX_ARCHIVE_BYTES, progress=progress)
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


# --- reading ---------------------------------------------------------------------------------------------------------


def _version_in(folder: Path) -> Cifar | None:
    """The version of CIFAR in `folder`: the file of class names exists, and at least one other file; None if there is none."""
    for version in CIFARS:
        files = [file for files in version.files.values() for file in files]
        if is_file(folder / version.names) and any(is_file(folder / file) for file in files):
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
    except (OSError, ValueError) as error:
        raise InputError(f"{printable(folder)}: {error}; {remedy}") from error
    return Found(version.name, parts, size=(32, 32))


def _class_names(folder: Path, version: Cifar) -> tuple[str, ...]:
    path = folder / version.names
    if version.labels:
        found = _entry(_unpickle(path), version.label_names, list, path)
        if not all(isinstance(name, bytes | str) for name in found):
            raise InputError(f"{path.name} holds class names that are not text")
        names = [name if isinstance(name, str) else str(name, "utf-8", "backslashreplace") for name in found]
    else:
        names = read_text(path, most=MAX_BYTES).split("\n")
    return tuple(name.strip() for name in names if name.strip())


def _read_records(path: Path, version: Cifar) -> tuple[np.ndarray, np.ndarray]:
    """Pixels uint8 (N, 3072) and classes (N,) int64 of a binary file, whose records are label bytes and then pixels."""
    content = np.frombuffer(read_regular(path, MAX_BYTES), dtype=np.uint8)
    width = version.label_bytes + PIXEL_BYTES
    if not len(content) or len(content) % width:
        raise InputError(f"{path.name} is truncated: {len(content):,} bytes are no multiple of {width:,}")
    records = content.reshape(-1, width)
    return records[:, version.label_bytes :], records[:, version.label_bytes - 1].astype(np.int64)


def _read_batch(path: Path, version: Cifar) -> tuple[np.ndarray, np.ndarray]:
    """As `_read_records`, for a pickled batch."""
    batch = _unpickle(path)
    pixels, labels = _entry(batch, "data", _Array, path).pixels, _entry(batch, version.labels, list, path)
    shape = None if pixels is None else pixels.shape
    if pixels is None or shape != (len(labels), PIXEL_BYTES) or not all(type(n) is int and 0 <= n < 256 for n in labels):
        raise InputError(f"{path.name} holds bytes {shape} and {len(labels)} labels: not a batch")
    return pixels, np.array(labels, dtype=np.int64)


def _entry(batch: Any, key: str, kind: type, path: Path) -> Any:
    value = batch.get(key.encode()) if isinstance(batch, dict) else None
    if not isinstance(value, kind):
        raise InputError(f"{path.name} holds no {key}")
    return value


class _Type:
    """Stands for `numpy.dtype`: of all types only bytes ("u1")."""

    def __init__(self, name: object, *_: object) -> None:
        if name not in ("u1", b"u1"):
            raise InputError("it holds an array of another type than bytes: do not trust it")

    def __setstate__(self, state: object) -> None:
        """What is said of byte order and fields does not matter for bytes."""


class _Array:
    """Stands for `numpy.ndarray`: its bytes, as `pixels` (N, M), are looked at once they and their shape are known."""

    def __init__(self, *_: object) -> None:
        self.pixels: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, by_columns, content = state
        if not (isinstance(kind, _Type) and isinstance(content, bytes) and isinstance(shape, tuple) and len(shape) == 2):
            raise InputError("it holds an array that is not one of bytes (N, M): do not trust it")
        self.pixels = np.frombuffer(content, np.uint8).reshape(shape, order="F" if by_columns else "C")


def _encode(text: str, encoding: str = "latin1") -> bytes:
    return text.encode("latin1")


# What stands for the functions that pickled arrays and bytes name, in old and new NumPy.
HARMLESS: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _encode,
}
# Numbers, text, bytes, containers but sets, and what `HARMLESS` needs. Others make objects of classes, or ask for memory.
OPCODES = frozenset(

        pickle.PROTO + pickle.FRAME + pickle.STOP + pickle.MARK + pickle.POP + pickle.POP_MARK + pickle.NONE
        + pickle.NEWTRUE + pickle.NEWFALSE + pickle.INT + pickle.BININT + pickle.BININT1 + pickle.BININT2 + pickle.LONG
        + pickle.LONG1 + pickle.FLOAT + pickle.BINFLOAT + pickle.STRING + pickle.BINSTRING + pickle.SHORT_BINSTRING
        + pickle.BINBYTES + pickle.SHORT_BINBYTES + pickle.BINBYTES8 + pickle.UNICODE + pickle.BINUNICODE
        + pickle.SHORT_BINUNICODE + pickle.TUPLE + pickle.EMPTY_TUPLE + pickle.TUPLE1 + pickle.TUPLE2 + pickle.TUPLE3
        + pickle.LIST + pickle.EMPTY_LIST + pickle.APPEND + pickle.APPENDS + pickle.DICT + pickle.EMPTY_DICT
        + pickle.SETITEM + pickle.SETITEMS + pickle.PUT + pickle.BINPUT + pickle.LONG_BINPUT + pickle.MEMOIZE + pickle.GET
        + pickle.BINGET + pickle.LONG_BINGET + pickle.GLOBAL + pickle.STACK_GLOBAL + pickle.REDUCE + pickle.BUILD

)  # fmt: skip


class _Plain(pickle._Unpickler):
    """An unpickler for arrays of bytes, text, numbers and containers. Any other name, and so any code, is refused.

    Python's own implementation, not that in C, whose memo takes gigabytes if a pickle of a few bytes numbers an entry so.
    """

    append: Callable[[object], None]  # typeshed does not list what the steps use
    pop_mark: Callable[[], list[Any]]
    stack: list[Any]
    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        code: step for code, step in pickle._Unpickler.dispatch.items() if code in OPCODES
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in HARMLESS:
            raise InputError(f"it asks for {module:.80}.{name:.80}, which CIFAR never does: do not trust it")
        return HARMLESS[module, name]

    def load_build(self) -> None:
        """Only a stand-in has a state; of other objects it would be attributes, of a class those of all."""
        state, made = self.stack.pop(), self.stack[-1]
        if not isinstance(made, _Array | _Type):
            raise InputError("it gives a state to another thing than an array: do not trust it")
        made.__setstate__(state)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set(key, value)

    def load_setitems(self) -> None:
        items = self.pop_mark()
        for key, value in zip(items[::2], items[1::2], strict=True):
            self._set(key, value)

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.append({})
        for key, value in zip(items[::2], items[1::2], strict=True):
            self._set(key, value)

    def _set(self, key: object, value: object) -> None:
        """To hash a tuple of tuples, each twice in the next, takes for ever."""
        if not isinstance(key, str | bytes | int) or not isinstance(self.stack[-1], dict):
            raise InputError("it has another key than a name: do not trust it")
        self.stack[-1][key] = value

    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems
    dispatch[pickle.DICT[0]] = load_dict


def _unpickle(path: Path) -> Any:
    try:
        return _Plain(BytesIO(read_regular(path, MAX_BYTES)), encoding="bytes").load()
    except InputError as error:
        raise InputError(f"{path.name} was not opened: {error}") from error
    except OSError:
        raise
    except Exception as error:  # a malformed pickle may raise nearly any exception
        raise InputError(f"{path.name} is broken ({type(error).__name__}: {short(error)})") from error
