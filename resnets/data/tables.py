"""Rows of CSV files, and arrays of NumPy archives: from anyone, within limits. No torch."""

from __future__ import annotations

import csv
import io
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from resnets.data.cache import free_memory
from resnets.data.frames import Frame
from resnets.data.pictures.images import printable
from resnets.errors import InputError
from resnets.files import open_regular, short

MAX_CSV_BYTES = 2**30
# An array in an archive may have so many bytes, or so many times those that are stored: images compress a few times.
MAX_UNPACKED, MAX_TIMES = 2**28, 100


def csv_rows(path: Path | Frame, *, strict: bool = False) -> Iterator[tuple[str, list[str]]]:
    """The first row of a CSV file ([] in an empty one) or the columns of a DataFrame, and the others that hold something; each
    with where it stands, for messages.

    Args:
        strict: refuse what is badly quoted.

    Raises:
        InputError: where the file cannot be read, or is not CSV.
    """
    if isinstance(path, Frame):
        yield from path.rows()
        return
    name = printable(path)
    try:
        with io.TextIOWrapper(open_regular(path, MAX_CSV_BYTES), encoding="utf-8-sig", newline="") as file:
            rows, line = csv.reader(file, strict=strict), 1
            first = next(rows, [])
            if len(first) == 1 and (other := next((sign for sign in ";\t|" if sign in first[0]), None)):
                raise InputError(f"{name}: its cells are separated by {other!r}; save it with commas, as path,label")
            yield name, first
            line = rows.line_num + 1
            for row in rows:
                if any(cell.strip() for cell in row):
                    yield f"{name} line {line}", row
                line = rows.line_num + 1
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: not UTF-8 text; save it as UTF-8") from error
    except csv.Error as error:
        remedy = "; a quote that is opened there is not closed, or closed within a cell" if strict else ""
        raise InputError(f"{name} line {line}: cannot be read as CSV ({short(error)}){remedy}") from error
    except OSError as error:
        raise InputError(f"{name}: cannot be read as CSV ({short(error)})") from error


def archived(archive: zipfile.ZipFile, member: str) -> np.ndarray:
    """An array of an archive. Its size is checked against what is stored, and against its header, before memory is used."""
    info = archive.getinfo(member)
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{member} is encrypted, or compressed in another way than by deflate")
    if info.file_size > max(MAX_UNPACKED, MAX_TIMES * info.compress_size):
        raise ValueError(f"{member} of {info.file_size:,} bytes is {info.compress_size:,} stored, as no images are")
    if 0 < (free := free_memory()) < info.file_size:
        raise ValueError(f"{member} has {info.file_size:,} bytes, and {free:,} of memory are free")
    with archive.open(info) as file:
        header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, _, dtype = header[np.lib.format.read_magic(file)](file)
        if dtype.hasobject or file.tell() + math.prod(shape) * dtype.itemsize != info.file_size:
            raise ValueError(f"{member} has {info.file_size:,} bytes, which are not {dtype} {shape!s:.80}")
    with archive.open(info) as file:
        return np.lib.format.read_array(file, allow_pickle=False)
