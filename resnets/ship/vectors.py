"""Files of vectors: one for each image, beside its path, split and label, and what made them. No pickle, no torch.

An .npz is opened by memory map, however large it is: its arrays are stored as they are, not compressed. Its members:

    vectors   float32 (N, num_features)          lengths   float32 (N,), the Euclidean lengths of the vectors
    paths, splits, labels   bytes (N,), UTF-8    ids       int64 (N,), ascending, which images keep when others are removed
    header    JSON: the model, its preprocessing, the metric, the data, the images that could not be read

A .parquet has a row for each image (path, split, label, vector), and the header in its metadata.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from resnets.data.cache import free_memory
from resnets.data.preprocess import Preprocess
from resnets.errors import InputError
from resnets.files import MAX_TEXT, check_file, foreign, open_file, parse_json, replacing
from resnets.measures.neighbours import METRICS, lengths_of

FORMAT = "resnets-vectors/1"
AGAIN = "make it again by `resnets embed`, `index` or `faces enrol`"
NEEDED = ("format", "model", "preprocess", "metric")
TEXTS = ("paths", "splits", "labels")
COLUMNS = ("vectors", "lengths", "ids", *TEXTS)  # beside the header
LONGEST = 1 << 14  # bytes of a path or a label
WIDEST = 1 << 16  # numbers of a vector
BLOCK = 1 << 14  # rows that are written at a time
ALIGNED = 64  # bytes: where arrays begin in the file, as matrix products like it
PARQUET_ROWS = 1 << 12


@dataclass(frozen=True)
class Vectors:
    """Vectors of N images, in memory or mapped.

    Args:
        header: what made them; see `FORMAT` and `NEEDED`.
        vectors: (N, num_features) float32.
        lengths, ids: (N,) float32 and int64.
        paths, splits, labels: (N,) bytes in UTF-8 (paths as the system has them); empty where there is none.
    """

    header: dict[str, Any]
    vectors: np.ndarray
    lengths: np.ndarray
    ids: np.ndarray
    paths: np.ndarray
    splits: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def is_labelled(self) -> bool:
        """Whether every image has a label."""
        return len(self) > 0 and bool((self.labels != b"").all())


def of_rows(header: dict[str, Any], vectors: np.ndarray, rows: Mapping[str, Sequence[bytes]], first_id: int = 0) -> Vectors:
    """`Vectors` with these texts, numbered from `first_id` on."""
    lengths = np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), BLOCK):
        lengths[start : start + BLOCK] = lengths_of(np.asarray(vectors[start : start + BLOCK]))
    texts = {name: np.array(rows[name], f"S{max(map(len, rows[name]), default=0) or 1}") for name in TEXTS}
    return Vectors(header, vectors, lengths, np.arange(first_id, first_id + len(vectors)), **texts)


def is_parquet(path: str | Path) -> bool:
    return Path(path).suffix.lower() in (".parquet", ".pq")


def write(path: Path, header: dict[str, Any], parts: Sequence[Vectors], kept: Sequence[np.ndarray | None]) -> None:
    """Write the rows of `parts`, one after the other, in memory for a block of them.

    Args:
        kept: for each part the positions of its rows that are written, ascending; None: all.

    Raises:
        InputError: where the file cannot be written.
    """
    if is_parquet(path):
        need_parquet()
    chosen = [np.arange(len(part)) if only is None else only for part, only in zip(parts, kept, strict=True)]
    with replacing(path) as temporary:
        (_write_parquet if is_parquet(path) else _write_npz)(temporary, header, parts, chosen)


def _blocks(parts: Sequence[Vectors], chosen: Sequence[np.ndarray], name: str) -> Iterator[np.ndarray]:
    """The rows of a column, a block at a time."""
    for part, rows in zip(parts, chosen, strict=True):
        column = getattr(part, name)
        for start in range(0, len(rows), BLOCK):
            some = rows[start : start + BLOCK]
            whole = some[-1] - some[0] + 1 == len(some)  # of a map, a slice is read in one go
            yield np.asarray(column[some[0] : some[-1] + 1] if whole else column[some])


# --- .npz ---------------------------------------------------------------------------------------------------------------------


def _write_npz(path: Path, header: dict[str, Any], parts: Sequence[Vectors], chosen: Sequence[np.ndarray]) -> None:
    num, digest = sum(map(len, chosen)), hashlib.sha256()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name in COLUMNS:
            columns = [getattr(part, name) for part in parts]
            dtype = max((column.dtype for column in columns), key=lambda dtype: dtype.itemsize)
            shape = (num, *columns[0].shape[1:])
            with _member(archive, name) as file:
                np.lib.format.write_array_header_1_0(
                    file, {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
                )
                for block in _blocks(parts, chosen, name):
                    data = np.ascontiguousarray(block, dtype).view(np.uint8).data
                    digest.update(data)
                    file.write(data)
        text = json.dumps({**header, "num": num, "digest": digest.hexdigest()}, ensure_ascii=True)
        with _member(archive, "header") as file:
            np.lib.format.write_array(file, np.array(text), allow_pickle=False)


def _member(archive: zipfile.ZipFile, name: str) -> Any:
    """A file of the archive, open for writing, whose content begins at a multiple of `ALIGNED` bytes."""
    info = zipfile.ZipInfo(f"{name}.npy")
    assert archive.fp is not None
    begins = archive.fp.tell() + 30 + len(info.filename) + 20 + 4  # the fixed part, the name, the sizes in 64 bits, the padding
    padding = -begins % ALIGNED
    info.extra = b"\x35\xd9" + padding.to_bytes(2, "little") + bytes(padding)
    return archive.open(info, "w", force_zip64=True)


def open_npz(path: str | Path) -> Vectors:
    """The vectors of a file, mapped: nothing is read until it is asked for.

    Raises:
        InputError: where there is none, it is damaged, or another program or version wrote it.
    """
    path = Path(path)
    if is_parquet(path):
        raise InputError(f"{path}: Parquet cannot be searched as it lies there; make an .npz by `resnets embed` or `index`")
    with open_file(path) as file, foreign(path, AGAIN, what="an .npz of vectors"), zipfile.ZipFile(file) as archive:
        names = set(archive.namelist())
        if missing := [name for name in ("header", *COLUMNS) if f"{name}.npy" not in names]:
            raise InputError(f"{path}: holds no {', '.join(missing)}, so it is no file of vectors; {AGAIN}")
        size = archive.getinfo("header.npy").file_size
        if size > MAX_TEXT:
            raise InputError(f"{path}: its header has {size:,} bytes; {AGAIN}")
        with archive.open("header.npy") as member:
            text = np.lib.format.read_array(member, allow_pickle=False)
        found = {name: _mapped(path, file, archive.getinfo(f"{name}.npy")) for name in COLUMNS}
    return checked(Vectors(header_of(str(text), path), **found), path)


def _mapped(path: Path, file: BinaryIO, info: zipfile.ZipInfo) -> np.ndarray:
    """A member of an .npz as a read-only memory map."""
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        raise ValueError(f"{info.filename} is compressed or encrypted")
    file.seek(info.header_offset)
    fixed = file.read(30)
    if fixed[:4] != b"PK\x03\x04":
        raise ValueError(f"{info.filename} is not where the archive says")
    begins = info.header_offset + 30 + int.from_bytes(fixed[26:28], "little") + int.from_bytes(fixed[28:30], "little")
    file.seek(begins)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError(f"{info.filename} is an array of another version")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    offset = file.tell()
    num_bytes = math.prod(shape) * dtype.itemsize
    if dtype.hasobject or fortran or offset - begins + num_bytes != info.file_size:
        raise ValueError(f"{info.filename} has {info.file_size:,} bytes, which are not {dtype} {shape!s:.80}")
    if offset + num_bytes > path.stat().st_size:
        raise ValueError(f"{info.filename} ends behind the file")
    if not num_bytes:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype, "r", offset, shape)


def header_of(text: str, path: str | Path) -> dict[str, Any]:
    """The header in JSON text. Raises `InputError` where that is none."""
    header = parse_json(text, f"{path}, header", strict=False)  # names of files may be no Unicode
    if header.get("format") != FORMAT:
        raise InputError(f"{path}: its format is {str(header.get('format'))[:40]!r}, and this version reads {FORMAT}; {AGAIN}")
    wrong = not header.keys() >= set(NEEDED) or header["metric"] not in METRICS
    try:
        Preprocess(**header.get("preprocess", {}))
    except (TypeError, ValueError, OverflowError):  # an InputError is a ValueError
        wrong = True
    if wrong or not isinstance(header["model"], dict):
        raise InputError(f"{path}: its header does not say which model made the vectors; {AGAIN}")
    return header


def checked(found: Vectors, path: str | Path) -> Vectors:
    """`found`, if its arrays are of one length and of the right types. Raises `InputError` otherwise."""
    num = len(found.vectors) if found.vectors.ndim else -1
    right = found.vectors.ndim == 2 and found.vectors.dtype == np.float32 and 0 < found.vectors.shape[1] <= WIDEST
    right = right and found.lengths.dtype == np.float32 and found.ids.dtype == np.int64
    texts = [getattr(found, name) for name in TEXTS]
    right = right and all(text.dtype.kind == "S" and text.dtype.itemsize <= LONGEST for text in texts)
    if not right or any(column.shape != (num,) for column in (found.lengths, found.ids, *texts)):
        raise InputError(f"{path}: its arrays do not belong together; {AGAIN}")
    return found


# --- .parquet -----------------------------------------------------------------------------------------------------------------


def need_parquet() -> None:
    """Raise `InputError` where the package for Parquet is missing."""
    if importlib.util.find_spec("pyarrow") is None:
        raise InputError("Parquet needs a package more: pip install 'resnets[parquet]'; or write an .npz")


def _write_parquet(path: Path, header: dict[str, Any], parts: Sequence[Vectors], chosen: Sequence[np.ndarray]) -> None:
    import pyarrow
    from pyarrow import parquet

    width = parts[0].vectors.shape[1]
    fields = [(name, pyarrow.string()) for name in ("path", "split", "label")]
    num = sum(map(len, chosen))
    schema = pyarrow.schema([*fields, ("vector", pyarrow.list_(pyarrow.float32(), width))]).with_metadata(
        {"resnets": json.dumps({**header, "num": num})}
    )
    with parquet.ParquetWriter(path, schema) as writer:
        for vectors, *texts in zip(*(_blocks(parts, chosen, name) for name in ("vectors", *TEXTS)), strict=True):
            for start in range(0, len(vectors), PARQUET_ROWS):
                rows = slice(start, start + PARQUET_ROWS)
                flat = pyarrow.array(np.ascontiguousarray(vectors[rows]).reshape(-1))
                columns = [pyarrow.array([_text(each) for each in column[rows]], pyarrow.string()) for column in texts]
                columns.append(pyarrow.FixedSizeListArray.from_arrays(flat, width))
                writer.write_table(pyarrow.Table.from_arrays(columns, schema=schema))


def _text(value: bytes) -> str:
    return value.decode(errors="backslashreplace")


def _read_parquet(path: Path) -> Vectors:
    """All of a file, in memory; its size is checked before, by what the file says and by what comes."""
    need_parquet()
    import pyarrow
    from pyarrow import parquet

    with foreign(path, AGAIN, what="Parquet"), parquet.ParquetFile(check_file(path)) as file:
        text = (file.schema_arrow.metadata or {}).get(b"resnets")
        if text is None or len(text) > MAX_TEXT:
            raise InputError(f"{path}: no file of vectors, for it does not say which model made them; {AGAIN}")
        header = header_of(text.decode(), path)
        kind = file.schema_arrow.field("vector").type
        texts = {name: file.schema_arrow.field(name).type for name in ("path", "split", "label")}
        num, width = file.metadata.num_rows, getattr(kind, "list_size", 0)
        if not pyarrow.types.is_fixed_size_list(kind) or kind.value_type != pyarrow.float32() or not 0 < width <= WIDEST:
            raise InputError(f"{path}: its vectors are {kind}, not lists of float32 of one size; {AGAIN}")
        if any(kind != pyarrow.string() for kind in texts.values()):
            raise InputError(f"{path}: its paths, splits and labels are no texts; {AGAIN}")
        _check_room(num * width * 4, path)
        for number in range(file.metadata.num_row_groups):  # each is decoded as a whole
            _check_room(file.metadata.row_group(number).total_byte_size, path)
        vectors, rows, done = np.empty((num, width), np.float32), {name: list[bytes]() for name in TEXTS}, 0
        for batch in file.iter_batches(PARQUET_ROWS):
            if done + len(batch) > num or batch.num_columns != 4 or any(column.null_count for column in batch.columns):
                raise InputError(f"{path}: has rows that are empty, or more than it says; {AGAIN}")
            vectors[done : done + len(batch)] = batch["vector"].flatten().to_numpy().reshape(len(batch), width)
            for name in TEXTS:
                rows[name] += [value.encode() for value in batch[name[:-1]].to_pylist()]
            done += len(batch)
        if done != num or any(len(each) > LONGEST for column in rows.values() for each in column):
            raise InputError(f"{path}: has fewer rows than it says, or texts of more than {LONGEST:,} bytes; {AGAIN}")
        return checked(of_rows(header, vectors, rows), path)


def _check_room(num_bytes: int, path: Path) -> None:
    if 0 < (free := free_memory()) < num_bytes:
        raise InputError(f"{path}: needs {num_bytes:,} bytes of memory, and {free:,} are free; an .npz needs none")


def open_vectors(path: str | Path) -> Vectors:
    """The vectors of a file of either kind: of an .npz mapped, of a .parquet in memory. Raises as `open_npz`."""
    path = Path(path)
    read: Callable[[Path], Vectors] = _read_parquet if is_parquet(path) else open_npz
    return read(path)
