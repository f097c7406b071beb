"""One series in a file of its own: WAV, or CSV with a row for each time. No torch."""

from __future__ import annotations

import math
import struct
import warnings
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np

from resnets.data.pictures.images import BadPicture, printable
from resnets.data.tables import csv_rows
from resnets.errors import InputError
from resnets.files import open_regular, read_regular, short

WAV, TABLE = ".wav", ".csv"
SUFFIXES = (WAV, TABLE)
MAX_BYTES = 2**30  # of one file
MAX_VALUES = 2**26  # of one series, all channels together
MAX_CHANNELS = 2**12
MAX_CHUNKS = 64  # of a WAV file before its sound
TIMES = ("time", "t", "timestamp", "seconds", "index")  # names of a column that only counts
MISSING = ("", "?", "nan", "na", "null", "none")


class Header(NamedTuple):
    """What a file says of its series: samples per second (None: it does not say), channels, length."""

    rate: int | None
    chans: int
    length: int


def header_of(path: Path) -> Header:
    """Of a WAV file from its header alone. Raises `BadPicture` where it is none."""
    if path.suffix.lower() != WAV:
        series = read(path)
        return Header(None, *series.shape)
    try:
        with open_regular(path, MAX_BYTES) as file:
            start = file.read(12)
            if start[:4] not in (b"RIFF", b"RIFX") or start[8:] != b"WAVE":
                raise ValueError("it does not begin as a WAV file does")
            order = "<" if start[:4] == b"RIFF" else ">"
            rate = chans = width = 0
            for _ in range(MAX_CHUNKS):
                name, size = struct.unpack(f"{order}4sI", file.read(8))
                if name == b"data":
                    return _checked(Header(rate, chans, size // max(1, width)))
                if name == b"fmt ":
                    chans, rate, _, width = struct.unpack(f"{order}HIIH", file.read(size)[2:14])
                else:
                    file.seek(size + size % 2, 1)
            raise ValueError("it has no sound")
    except (struct.error, ValueError, OSError) as error:
        raise BadPicture(path, f"no WAV file that can be read ({short(error)})") from error


def _checked(header: Header) -> Header:
    if not (header.rate and 1 <= header.chans <= MAX_CHANNELS and header.length):
        raise ValueError(f"{header.rate} Hz, {header.chans} channels, {header.length} samples")
    return header


def read(path: Path, rate: int | None = None) -> np.ndarray:
    """The series in a file: float32 (C, L), of WAV from -1 to 1, of CSV as it is written with NaN where a cell is empty.

    Args:
        rate: samples per second that a WAV file has to have; None: any.

    Raises:
        BadPicture: where it cannot be read, holds nothing, or is sampled at another rate.
    """
    try:
        values = _wav(path, rate) if path.suffix.lower() == WAV else _table(path)
        return checked(values)
    except MemoryError:
        raise
    except BadPicture:
        raise
    except Exception as error:  # decoders raise nearly every kind of exception for malformed data
        raise BadPicture(path, short(error)) from error


def checked(values: np.ndarray) -> np.ndarray:
    """float32 (C, L) of any numbers (C, L). Raises `ValueError` for an empty or too large series, and infinite values."""
    if not values.size:
        raise ValueError("holds no values")
    if values.size > MAX_VALUES:
        raise ValueError(f"{values.size:,} values are more than the {MAX_VALUES:,} that are read; cut it into parts")
    with np.errstate(over="ignore"):
        found = np.ascontiguousarray(values, np.float32)
    if np.isinf(found).any():
        raise ValueError("holds infinite values, or some beyond 3e38; leave them empty, or rescale it")
    if np.isnan(found).all():
        raise ValueError("all of its values are missing")
    return found


def _wav(path: Path, rate: int | None) -> np.ndarray:
    header = header_of(path)
    if rate is not None and header.rate != rate:
        raise BadPicture(path, f"sampled at {header.rate:,} Hz, and the others at {rate:,}; resample it")
    from scipy.io import wavfile

    # From memory, so that no more is reserved than the file has, whatever its header says.
    content = BytesIO(read_regular(path, MAX_BYTES))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of chunks that are no sound
        _, values = wavfile.read(content)
    values = values[None] if values.ndim == 1 else values.T
    if values.dtype == np.uint8:
        return (values.astype(np.float32) - 128) / 128
    return values.astype(np.float32) / (-float(np.iinfo(values.dtype).min) if values.dtype.kind == "i" else 1.0)


def number(cell: str) -> float:
    """A cell as a number, NaN for one that is missing. Raises `ValueError`."""
    text = cell.strip()
    return math.nan if text.lower() in MISSING else float(text)


def _table(path: Path) -> np.ndarray:
    """Rows of a CSV file are times, columns channels; a first line of names is left out, and so is a column of times."""
    rows = csv_rows(path)
    _, first = next(rows)
    head = first if _is_head(first) else []
    kept = [place for place, name in enumerate(head or first) if name.strip().lower() not in TIMES or not head]
    lines = [] if head else [first]
    found: list[list[float]] = []
    for where, row in [*((printable(path), line) for line in lines), *rows]:
        if len(row) < len(first):
            raise ValueError(f"{where}: {len(row)} cells, and {len(first)} in the first line")
        try:
            found.append([number(row[place]) for place in kept])
        except ValueError as error:
            raise ValueError(f"{where}: {short(error)}") from error
        if len(found) * max(1, len(kept)) > MAX_VALUES:
            raise ValueError(f"more than the {MAX_VALUES:,} values that are read")
    return np.array(found, np.float64).reshape(-1, len(kept)).T


def _is_head(row: list[str]) -> bool:
    """Whether a first line names the columns: some of its cells are no numbers."""
    try:
        return not [number(cell) for cell in row]
    except ValueError:
        return True


def need_same(headers: dict[str, Header], where: str) -> Header:
    """What all files say. Raises `InputError` where they differ in their rate or channels."""
    for words, place in (("sampling rates (Hz)", 0), ("numbers of channels", 1)):
        counts: dict[object, list[str]] = {}
        for name, header in headers.items():
            counts.setdefault(header[place], []).append(name)
        if len(counts) > 1:
            told = "; ".join(
                f"{value if value is not None else 'none'}: {len(names):,}, as {names[0]}" for value, names in counts.items()
            )
            raise InputError(f"{where}: series of several {words} ({told:.300}); bring them to one")
    return next(iter(headers.values()))
