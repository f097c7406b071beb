"""Addresses in object stores, and what is at them: file systems, errors with a remedy, names that are safe as paths."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from resnets.errors import InputError
from resnets.files import REMEDIES, cannot_write, short

LOG = logging.getLogger("resnets.stores")
PROTOCOLS = ("abfs", "abfss", "az", "gcs", "gs", "oss", "s3", "s3a")  # of fsspec, whose content is objects
MAX_OBJECTS = 1_000_000  # below an address
MAX_NAME, MAX_PART = 1000, 255  # bytes of an object's name below the address, and between two slashes: what file systems take
ATTEMPTS, BACKOFF_SECONDS = 3, 1.0
CHUNK = 1 << 22  # bytes
RIGHTS = "check the address, and the credentials and rights that the environment gives; see docs/object_stores.md"
SHOWN: dict[str, str] = {}  # folders of copies that this process uses, and what their content is called


class Object(NamedTuple):
    """An object in a store."""

    size: int  # in bytes
    stamp: str  # changes with the content: the store's version (ETag), or a time


def address_of(path: object) -> str | None:
    """The address in an object store that `path` is, without a slash at its end; None for anything else.

    As a `Path` an address has one slash where it had two.
    """
    if not isinstance(path, str | os.PathLike):
        return None
    found = re.fullmatch(rf"({'|'.join(PROTOCOLS)}):/+([^/].*?)/*", os.fspath(path), re.IGNORECASE | re.DOTALL)
    return found and f"{found[1].lower()}://{found[2]}"


def told(text: str) -> str:
    """The text with the paths of copies as the addresses that they are copies of; folders above them (`Mirror.home`) stay."""
    for folder, address in SHOWN.items():
        text = text.replace(folder, address)
    return text


def file_system(url: str) -> tuple[Any, str]:
    """The fsspec file system of an address or path, and the path in it. Not cached here: they do not survive a fork."""
    import fsspec

    return fsspec.core.url_to_fs(url)


@contextmanager
def blame(url: str, doing: str = "read") -> Iterator[None]:
    """Inside, any exception becomes an `InputError` about `url`."""
    name = url.encode(errors="backslashreplace").decode()
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{name}: there is no such file, or it cannot be reached; check the name") from error
    except ImportError as error:  # the protocol's library
        extra = "s3" if name.startswith("s3") else "remote"
        words = f"pip install 'resnets[{extra}]'" + " for http and https, or the library named" * (extra == "remote")
        raise InputError(f"{name}: {error}; {words}") from error
    except Exception as error:  # each protocol has its own exceptions
        raise InputError(f"{name}: cannot be {doing} ({short(error)}); {RIGHTS}") from error


def object_of(info: dict[str, Any]) -> Object:
    """What fsspec says of an object, whose keys differ by protocol."""
    stamp = next((str(info[name]) for name in ("ETag", "etag", "mtime", "LastModified", "created") if info.get(name)), "")
    return Object(int(info.get("size") or 0), stamp)


def listed(system: Any, root: str, address: str) -> dict[str, Object]:
    """The objects at or below `root` by their names below it, with "" for `root` itself; hidden ones (.name) are left out.

    A folder is listed at a time, so that no more than `MAX_OBJECTS` names and those of one folder are in memory.

    Raises:
        InputError: for too many, and names that are no paths below a folder: a store takes any, such as "../../etc/passwd".
    """
    system.invalidate_cache()
    try:
        info = system.info(root)
    except FileNotFoundError:
        return {}
    if info["type"] != "directory":
        return {"": object_of(info)}
    found: dict[str, Object] = {}
    waiting, start = [root.rstrip("/")], root.rstrip("/") + "/"
    while waiting:
        folder = waiting.pop()
        for entry in system.ls(folder, detail=True):
            name = str(entry["name"]).lstrip("/" if not root.startswith("/") else "")
            if name.rstrip("/") == folder:  # a marker, an empty object that stands for a folder
                continue
            below = name.removeprefix(start)
            is_folder = entry["type"] == "directory"
            below = below.removesuffix("/") if is_folder else below
            if name == below or not is_safe(below):
                raise InputError(
                    f"{address}: holds {below[:80]!r}, which can be no file's name here; rename it, or leave it out"
                )
            if below.rpartition("/")[2].startswith("."):
                continue
            if is_folder:
                waiting.append(start + below)
            else:
                found[below] = object_of(entry)
        if len(found) + len(waiting) > MAX_OBJECTS:
            raise InputError(
                f"{address}: more than {MAX_OBJECTS:,} objects; pack pictures to shards (`resnets data pack`), and give these"
            )
    if both := next((name for name in found if any(above in found for above in _above(name))), None):
        raise InputError(f"{address}: of {both!r} a part is an object and a folder; rename one")
    return found


def is_safe(name: str) -> bool:
    """Whether the name of an object, with slashes, can be a path below a folder on any system."""
    parts = name.split("/")
    sizes = [len(part.encode(errors="surrogateescape")) for part in parts]
    bad = set(name) & ({"\0"} | ({*'\\:*?"<>|'} if os.name == "nt" else set()))
    return not bad and sum(sizes) <= MAX_NAME and all(0 < size <= MAX_PART for size in sizes) and not {".", ".."} & {*parts}


def _above(name: str) -> Iterator[str]:
    """The folders that a name is in."""
    while name := name.rpartition("/")[0]:
        yield name


def download(opening: Callable[[], tuple[Any, str]], path: Path, size: int, most: int) -> None:
    """Write what is at an address to `path`, complete or not at all; what breaks off is tried again.

    Args:
        opening: the file system, and the path in it; called once an attempt.
        size: in bytes, as the store says; 0: unknown.
        most: bytes of what is of unknown size.

    Raises:
        InputError: where it cannot be written here. Otherwise what the file system raises.
    """
    name = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:32]  # its own may be as long as file systems take
    half = path.with_name(f".{name}.{os.getpid()}.part")
    for attempt in range(ATTEMPTS):
        try:
            system, source = opening()
            with system.open(source, "rb", block_size=CHUNK) as remote, half.open("wb") as local:
                while (chunk := remote.read(CHUNK)) and local.tell() <= (size or most):  # a server may send without end
                    local.write(chunk)
            if size and half.stat().st_size != size:
                raise OSError(f"it broke off after {half.stat().st_size:,} of {size:,} bytes, or has changed")
            half.replace(path)
            return
        except FileNotFoundError:
            raise
        except OSError as error:
            if error.errno in REMEDIES or error.filename == os.fspath(half):  # of this disk, not of the store
                raise cannot_write(path, error, "set RESNETS_DATA to another folder") or error from error
            if attempt == ATTEMPTS - 1:
                raise
            time.sleep(BACKOFF_SECONDS * 2**attempt)
        finally:
            half.unlink(missing_ok=True)


def limit_of(variable: str, default: int) -> int:
    """The limit of a cache in bytes, by a variable of the environment. Raises `InputError` where that is not a number."""
    text = os.environ.get(variable) or str(default)
    if not text.isdecimal() or len(text) > 18:
        raise InputError(f"{variable}={text:.40}: not a number of bytes; write one, as {default}")
    return int(text)


@contextmanager
def locked(path: Path, *, busy: str = "") -> Iterator[None]:
    """A lock for the file `path`, so that one process at a time goes on; no lock where there is no fcntl.

    Raises:
        InputError: with the words `busy`, where they are given and another process has it; else that is waited for.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
        except BlockingIOError:
            raise InputError(busy) from None
        yield


def is_locked(path: Path) -> bool:
    """Whether a process has the lock of `locked`."""
    if not path.exists():
        return False
    try:
        with locked(path, busy="it has"):
            return False
    except InputError:
        return True
