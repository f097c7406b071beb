"""Atomic writes: a file is complete or does not exist, even if the machine stops in the middle."""

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
    """Context manager for an atomic write: yields a temporary path beside `path`, which replaces `path` on success.

    Raises:
        InputError: if the folder cannot be written to or the disk is full; `path` is then unchanged.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")  # some writers choose the format by the suffix
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.chmod(0o666 & ~UMASK)  # safetensors creates files that only their owner may read
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # otherwise a power failure could leave the new name with old or no content
        temporary.replace(path)
    except OSError as error:
        raise _cannot_write(path, error.errno, error.strerror or str(error)) from error
    except Exception as error:
        # safetensors raises its own error type, with the system's error number in the text only.
        if f"os error {errno.ENOSPC}" in str(error):
            raise _cannot_write(path, errno.ENOSPC, "No space left on device") from error
        raise
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _cannot_write(path: Path, number: int | None, reason: str) -> InputError:
    return InputError(f"{path}: cannot be written ({reason}); {REMEDIES.get(number or 0, ELSEWHERE)}")


def write_text(path: str | Path, text: str) -> Path:
    """Write `text` as UTF-8, atomically; returns `path`. Raises as `replacing`."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")  # file names in it may not be valid Unicode
    return Path(path)


def write_json(path: str | Path, value: Any) -> Path:
    """Write `value` as indented JSON, atomically; returns `path`. Raises as `replacing`."""
    return write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")
