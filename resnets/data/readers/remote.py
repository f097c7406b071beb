"""Tar files by their address, local or remote: a remote one is downloaded whole into a cache folder of limited size."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from resnets.data.pictures.images import printable
from resnets.data.readers.known import datasets_dir
from resnets.errors import InputError
from resnets.files import open_regular, short

FETCHED_BYTES = 50 * 10**9  # limit of the cache of remote shards, unless $RESNETS_SHARD_BYTES is set
ATTEMPTS, BACKOFF_SECONDS = 3, 1.0


class Shard(NamedTuple):
    """A tar file."""

    url: str  # or a path
    size: int  # in bytes
    stamp: str  # changes with the content: modification time, or the server's version (ETag)

    @property
    def is_remote(self) -> bool:
        return "://" in self.url

    @property
    def key(self) -> str:
        """A hash that identifies the shard, for names in the cache."""
        return hashlib.sha256(json.dumps(self).encode()).hexdigest()[:32]


def file_system(url: str) -> tuple[Any, str]:
    """The fsspec file system of an address or path, and the path in it. Not cached here: they do not survive a fork."""
    import fsspec

    return fsspec.core.url_to_fs(url)


@contextmanager
def blame(url: str) -> Iterator[None]:
    """Inside, any exception becomes an `InputError` about `url`."""
    name = printable(url)
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{name}: there is no such file, or it cannot be reached; check the name") from error
    except ImportError as error:  # the protocol's library
        raise InputError(f"{name}: {error}; pip install 'resnets[remote]' for http and https, or the library named") from error
    except Exception as error:  # each protocol has its own exceptions
        raise InputError(f"{name}: cannot be read ({short(error)}); check the address and the permissions") from error


def content(url: str, most: int) -> bytes:
    """The content of a file at an address; empty if there is none. Raises `InputError` for more than `most` bytes."""
    with blame(url):
        system, path = file_system(url)
        if not system.exists(path):
            return b""
        with system.open(path, "rb") as file:
            data: bytes = file.read(most + 1)
        if len(data) > most:
            raise InputError(f"{printable(url)}: more than the {most:,} bytes that are read")
        return data


def cache_folder() -> Path:
    """The cache folder of indices and downloaded shards: `shards` beside the folder of built-in datasets."""
    return datasets_dir().parent / "shards"


def opened(shard: Shard) -> BinaryIO:
    for _ in range(ATTEMPTS - 1):
        try:
            return open_regular(local(shard))
        except FileNotFoundError:  # another process has just removed it from the cache
            if not shard.is_remote:
                raise
    return open_regular(local(shard))


def local(shard: Shard) -> Path:
    """The path of the shard as a local file; a remote one is downloaded to the cache if it is not there."""
    if not shard.is_remote:
        return Path(shard.url)
    path = cache_folder() / "fetched" / f"{shard.key}.tar"
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{path.parent}: cannot keep fetched shards ({error.strerror}); set RESNETS_DATA") from error
        with _one_at_a_time(path), blame(shard.url):
            if not path.exists():
                _make_room(path.parent, shard.size)
                _fetch(shard, path)
    os.utime(path)  # for `_make_room`, which removes the least recently used first
    return path


def _fetch(shard: Shard, path: Path) -> None:
    half = path.with_suffix(f".{os.getpid()}.part")
    for attempt in range(ATTEMPTS):
        try:
            system, source = file_system(shard.url)
            with system.open(source, "rb", block_size=1 << 22) as remote, half.open("wb") as local:
                most = shard.size or limit()
                while (chunk := remote.read(1 << 22)) and local.tell() <= most:  # a server may send without end
                    local.write(chunk)
            if shard.size and half.stat().st_size != shard.size:
                raise OSError(f"it broke off after {half.stat().st_size:,} of {shard.size:,} bytes, or has changed")
            half.replace(path)
            return
        except FileNotFoundError:
            raise
        except OSError:
            if attempt == ATTEMPTS - 1:
                raise
            time.sleep(BACKOFF_SECONDS * 2**attempt)
        finally:
            half.unlink(missing_ok=True)


def limit() -> int:
    """The limit of the cache of remote shards in bytes. Raises `InputError` if $RESNETS_SHARD_BYTES is not a number."""
    text = os.environ.get("RESNETS_SHARD_BYTES") or str(FETCHED_BYTES)
    if not text.isdecimal() or len(text) > 18:
        raise InputError(f"RESNETS_SHARD_BYTES={text:.40}: not a number of bytes; write one, as {FETCHED_BYTES}")
    return int(text)


def _make_room(folder: Path, num_bytes: int) -> None:
    """Remove the least recently used shards until `num_bytes` more are within the limit."""
    most = limit()
    files = sorted(
        ((stat.st_mtime, stat.st_size, path) for path in folder.glob("*.tar") if (stat := path.stat())), reverse=True
    )
    for _, size, path in files:
        num_bytes += size
        if num_bytes > most:
            path.unlink(missing_ok=True)


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """A lock for downloading to `path`, so that of several processes only one does; no lock where there is no fcntl."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with path.with_suffix(".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
