"""Writes that are complete or not there at all, whenever the machine stops."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from resnets.errors import InputError

REMEDIES = {
    errno.ENOSPC: "free some space, then go on with --resume",
    errno.EDQUOT: "free some space, then go on with --resume",
}
UMASK = os.umask(0o022)  # it can only be read by setting it
os.umask(UMASK)
ELSEWHERE = "choose another place with --out"


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A name to write under; what was written there takes the place of `path` when the block ends well.

    Raises:
        InputError: where the place cannot be written to or the disk is full; `path` is then as it was.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")  # the suffix stays: some writers go by it
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.chmod(0o666 & ~UMASK)  # safetensors makes files that only their owner may read
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # the name must not outlive its content when the machine loses power
        temporary.replace(path)
    except OSError as error:
        raise _cannot_write(path, error.errno, error.strerror or str(error)) from error
    except Exception as error:
        # safetensors wraps the system's error in one of its own, and leaves only its number in the text.
        if f"os error {errno.ENOSPC}" in str(error):
            raise _cannot_write(path, errno.ENOSPC, "No space left on device") from error
        raise
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _cannot_write(path: Path, number: int | None, reason: str) -> InputError:
    return InputError(f"{path}: cannot be written ({reason}); {REMEDIES.get(number or 0, ELSEWHERE)}")


def write_text(path: str | Path, text: str) -> Path:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")  # file names may hold anything
    return Path(path)


def write_json(path: str | Path, value: Any) -> Path:
    return write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")
