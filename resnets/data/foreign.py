"""Files that others made, read within limits: regular files of so many bytes; JSON; errors as one short line. No torch.

A pipe never answers and a device never ends: both are refused before they are opened. Limits hold before memory is used.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

from resnets.errors import InputError

MAX_REASON = 200  # characters of another library's message that are shown
NOT_REGULAR = "a pipe or a device, not a file"


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is a regular file. False, not an error, for names that no file can have (too long, not encodable)."""
    return os.path.isfile(path)  # noqa: PTH113 (Path.is_file raises for names that are too long)


def open_file(path: str | os.PathLike[str], most: int | None = None) -> BufferedReader:
    """Open the regular file `path` for reading, without ever waiting for a pipe.

    Args:
        most: the largest size in bytes; None: any.

    Raises:
        OSError: if it cannot be opened, is not a regular file, or is larger than `most`.
    """
    _check(Path(path).stat(), path, most)  # before, because to open a device may have an effect
    # Between the two it may have become a pipe, which opens at once with this flag.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _check(os.fstat(descriptor), path, most)
    except OSError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def _check(found: os.stat_result, path: str | os.PathLike[str], most: int | None) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, NOT_REGULAR, os.fspath(path))
    if most is not None and found.st_size > most:
        raise OSError(errno.EFBIG, f"{found.st_size:,} bytes, more than the {most:,} that are read", os.fspath(path))


def read_file(path: str | os.PathLike[str], most: int) -> bytes:
    """The content of a regular file of at most `most` bytes. Raises `OSError` as `open_file`."""
    with open_file(path, most) as file:
        size = os.fstat(file.fileno()).st_size  # `read` takes memory for as many bytes as it is told
        content = file.read(size + 1)
    if len(content) > size:
        raise OSError(errno.EFBIG, "it grows while it is read", os.fspath(path))
    return content


def read_text(path: str | os.PathLike[str], most: int) -> str:
    """As `read_file`, decoded as UTF-8, without a byte order mark. Raises `UnicodeDecodeError` too."""
    return read_file(path, most).decode("utf-8-sig")


def parse_json(data: bytes | str) -> Any:
    """The value of a JSON text. NaN and infinite numbers are read as such; numbers of more than 4,300 digits are not read.

    Raises:
        ValueError: if it is not JSON, or nested too deeply.
    """
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def reason(error: BaseException) -> str:
    """What an exception of another library says, on one line of at most `MAX_REASON` characters."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    words = " ".join(text[: 4 * MAX_REASON].split()) or type(error).__name__
    return words if len(words) <= MAX_REASON else words[:MAX_REASON] + "..."


@contextmanager
def guarded(name: str | Path, what: str, remedy: str = "") -> Iterator[None]:
    """Inside, any exception of a reader becomes an `InputError`: "`name`: cannot be read as `what` (reason); `remedy`".

    Readers of formats raise nearly every kind of exception for malformed data. Lack of memory is one of them: all limits are
    checked before memory is used, so that a file which needs more than there is must be told by its name.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        words = (
            "needs more memory than there is"
            if isinstance(error, MemoryError)
            else f"cannot be read as {what} ({reason(error)})"
        )
        raise InputError(f"{name}: {words}{'; ' if remedy else ''}{remedy}") from error
