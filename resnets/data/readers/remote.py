"""Tar files by their address, local or remote: a remote one is downloaded whole into a cache folder of limited size."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import BinaryIO, NamedTuple

from resnets.data.pictures.images import printable
from resnets.data.readers.known import datasets_dir
from resnets.errors import InputError
from resnets.files import open_regular
from resnets.stores.addresses import ATTEMPTS, blame, download, file_system, limit_of, locked

FETCHED_BYTES = 50 * 10**9  # limit of the cache of remote shards, unless $RESNETS_SHARD_BYTES is set


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
        with locked(path.with_suffix(".lock")), blame(shard.url):
            if not path.exists():
                _make_room(path.parent, shard.size)
                _fetch(shard, path)
    os.utime(path)  # for `_make_room`, which removes the least recently used first
    return path


def _fetch(shard: Shard, path: Path) -> None:
    download(lambda: file_system(shard.url), path, shard.size, limit())


def limit() -> int:
    """The limit of the cache of remote shards in bytes. Raises `InputError` if $RESNETS_SHARD_BYTES is not a number."""
    return limit_of("RESNETS_SHARD_BYTES", FETCHED_BYTES)


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
