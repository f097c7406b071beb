"""Copies of what is at addresses in object stores, in a cache of limited size.

A copy is a folder of the cache: `files/` with what is at the address, under its last name; `index.json`, which says of each
file what the store called its version when both were the same; the locks `pull.lock`, `use.lock` and `write.lock`; and
`unsent`, where it holds a run that may not be in the store as a whole: the token of the claim under which it was written.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from resnets.errors import InputError
from resnets.files import check_no_address, read_json, short, write_text
from resnets.stores.addresses import (
    LOG,
    SHOWN,
    Object,
    address_of,
    blame,
    download,
    file_system,
    is_locked,
    limit_of,
    listed,
    locked,
    object_of,
)
from resnets.stores.claims import token_at

CACHE_BYTES = 50 * 10**9  # limit of all copies together, unless $RESNETS_STORE_BYTES is set
SPARE_BYTES = 1 << 30  # that are left on the disk
MAX_INDEX = 1 << 29  # bytes
NUM_AT_ONCE = 16
FRESH_SECONDS = 60.0  # in which a copy is not compared again
IN_USE: dict[Path, int] = {}  # copies of this process, and the descriptors that keep others from removing them
FRESH: dict[str, float] = {}


class Entry(NamedTuple):
    """A file of a copy, as it was when it was the same as its object."""

    size: int  # bytes
    stamp: str  # of the object
    written: int  # modification time of the file, ns

    @property
    def object(self) -> Object:
        return Object(self.size, self.stamp)


def cache_folder() -> Path:
    """The folder of the copies: `stores` beside the folder of built-in datasets ($RESNETS_DATA)."""
    return Path(os.environ.get("RESNETS_DATA") or "~/.cache/resnets/datasets").expanduser().parent / "stores"


def limit() -> int:
    """The limit of all copies in bytes. Raises `InputError` if $RESNETS_STORE_BYTES is not a number."""
    return limit_of("RESNETS_STORE_BYTES", CACHE_BYTES)


def copied(path: str | os.PathLike[str]) -> Path:
    """As `local`; addresses of other protocols are as they are, for what follows to say what is wrong with them."""
    return Path(path) if address_of(path) is None else local(path)


def local(path: str | os.PathLike[str]) -> Path:
    """The path itself; of an address in an object store, its copy, which is made or brought up to date.

    Raises:
        InputError: where there is nothing or no right to read it; for more than the cache holds; for names that are no paths.
            For an address of another protocol.
    """
    if (address := address_of(path)) is None:
        return check_no_address(path)
    copy = Mirror(address)
    if time.monotonic() - FRESH.get(address, -FRESH_SECONDS) >= FRESH_SECONDS or not copy.path.exists():
        copy.use()
        if not copy.is_written() and not copy.pull():
            raise InputError(f"{address}: there is no such file or folder; check the name")
        FRESH[address] = time.monotonic()
    return copy.path


class Mirror:
    """The copy of what is at an address, a file or a folder; names in it are relative to `root`."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.parent, _, self.name = address.rpartition("/")
        self.home = cache_folder() / hashlib.sha256(address.encode(errors="surrogateescape")).hexdigest()[:32]
        self.root = self.home / "files"
        self.path = self.root / self.name
        self.index = self.home / "index.json"
        self.unsent = self.home / "unsent"
        self.writing = self.home / "write.lock"

    def use(self) -> None:
        """Keep other processes from removing the copy, until this one ends."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            os.utime(self.home)  # for `make_room`, which removes what was used longest ago
        except OSError as error:
            raise InputError(f"{self.home}: cannot keep copies there ({short(error)}); set RESNETS_DATA") from None
        SHOWN[f"{self.root}{os.sep}"] = f"{self.parent}/"
        with suppress(ImportError):
            import fcntl

            if self.home not in IN_USE:
                IN_USE[self.home] = os.open(self.home / "use.lock", os.O_RDWR | os.O_CREAT)
                fcntl.flock(IN_USE[self.home], fcntl.LOCK_SH)

    def far(self) -> dict[str, Object]:
        """What is at the address. Raises `InputError`."""
        with blame(self.address):
            system, root = file_system(self.address)
            return {f"{self.name}/{name}".rstrip("/"): each for name, each in listed(system, root, self.address).items()}

    def is_ahead(self) -> bool:
        """Whether here is more than at the address: a run that was written here, and that nobody has claimed since."""
        return self.unsent.exists() and self.unsent.read_text(encoding="utf-8") == token_at(self.address)

    def is_written(self) -> bool:
        """Whether the copy is to stay as it is: it is ahead, or a process here writes to it now."""
        return self.path.exists() and (is_locked(self.writing) or self.is_ahead())

    def owns(self, name: str) -> bool:
        """Whether a file of the copy is at the address, or below it. Others lie beside it, as what a verb has begun does: only
        this copy knows of them."""
        return name == self.name or name.startswith(f"{self.name}/")

    def entries(self) -> dict[str, Entry]:
        """The content of the index; empty where there is none, or it is damaged."""
        with suppress(InputError, TypeError):
            return {name: Entry(*row) for name, row in read_json(self.index, most=MAX_INDEX).items()}
        return {}

    def write(self, entries: Mapping[str, Entry]) -> None:
        write_text(self.index, json.dumps(entries))

    def intact(self, name: str, entry: Entry) -> bool:
        """Whether the file is as the entry says."""
        try:
            found = (self.root / name).stat()
        except OSError:
            return False
        return (found.st_size, found.st_mtime_ns) == (entry.size, entry.written)

    def pull(self) -> int:
        """Make the copy what is at the address: what is there already stays. Returns the number of files."""
        with locked(self.home / "pull.lock"):
            far, entries = self.far(), self.entries()
            own = {name: entry for name, entry in entries.items() if self.owns(name)}
            for name in own.keys() - far.keys():
                (self.root / name).unlink(missing_ok=True)
            there = {name: entry for name, entry in own.items() if far.get(name) == entry.object and self.intact(name, entry)}
            held = {name: entry for name, entry in entries.items() if name not in own} | there
            missing = {name: each for name, each in far.items() if name not in held}
            if missing:
                self._check_names(far)
                self._check_room(far, missing)
                self._fetch(missing, held)
            elif held != entries:
                self.write(held)
            return len(far)

    def _check_names(self, far: Mapping[str, Object]) -> None:
        lower: dict[str, str] = {}
        for name in far:
            lower.setdefault(name.casefold(), name)
        if len(lower) < len(far) and (self.home.parent / self.home.name.upper()).exists():  # a disk that takes A for a
            both = next((name, lower[name.casefold()]) for name in far if lower[name.casefold()] != name)
            raise InputError(f"{self.address}: {both[0]} and {both[1]} are one file on this disk; rename one")

    def _check_room(self, far: Mapping[str, Object], missing: Mapping[str, Object]) -> None:
        whole, new = (sum(each.size for each in objects.values()) for objects in (far, missing))
        if whole > limit():
            raise InputError(
                f"{self.address}: {whole:,} bytes, more than the {limit():,} of the cache; give a part of it, pictures as "
                "shards (which are fetched one by one), or a greater RESNETS_STORE_BYTES"
            )
        make_room(self.home, limit() - whole)
        if (free := shutil.disk_usage(self.home).free - SPARE_BYTES) < new:
            raise InputError(
                f"{self.address}: {new:,} bytes to fetch, and {self.home.parent} has room for {max(free, 0):,}; free some "
                "space, or set RESNETS_DATA to another disk"
            )

    def _fetch(self, missing: Mapping[str, Object], entries: dict[str, Entry]) -> None:
        total, began, said = sum(each.size for each in missing.values()), time.monotonic(), time.monotonic()
        LOG.info("%s: fetching %s files, %s bytes", self.address, f"{len(missing):,}", f"{total:,}")
        with blame(self.address), ThreadPoolExecutor(NUM_AT_ONCE, "fetch") as pool:
            system, source = file_system(self.address)

            def fetch(name: str, wanted: Object) -> Entry:
                path = self.root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                far = source + name[len(self.name) :]
                download(lambda: (system, far), path, wanted.size, limit())
                return Entry(*wanted, path.stat().st_mtime_ns)

            work = {pool.submit(fetch, name, each): name for name, each in missing.items()}
            try:
                for done in as_completed(work):
                    entries[work[done]] = done.result()
                    if time.monotonic() - said > 10:
                        said = time.monotonic()
                        LOG.info("%s: %s of %s files", self.address, f"{len(entries):,}", f"{len(work):,}")
                        self.write(entries)
            finally:  # what was fetched is not fetched again
                pool.shutdown(cancel_futures=True)
                self.write(entries)
        LOG.info("%s: fetched in %.1f s, to %s", self.address, time.monotonic() - began, self.home)


def make_room(home: Path, most: int) -> None:
    """Remove copies that were used longest ago, and by no process now, until the others have at most `most` bytes. What may
    not be in the store as a whole is left."""
    others = [each for each in home.parent.iterdir() if each != home and each.is_dir()]
    for each in sorted(others, key=lambda each: each.stat().st_mtime, reverse=True):
        most -= sum(path.stat().st_size for path in each.rglob("*") if path.is_file())
        if most < 0 and not (each / "unsent").exists() and _unused(each):
            shutil.rmtree(each, ignore_errors=True)


def _unused(home: Path) -> bool:
    try:
        import fcntl

        with (home / "use.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True


def stamp_of(system: Any, path: str) -> Object:
    """The object at a path of a file system, as it is now."""
    system.invalidate_cache()
    return object_of(system.info(path))
