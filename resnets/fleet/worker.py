"""What a worker does around its work: it makes sure that it has the driver's versions, folder and parts of users. No ray."""

from __future__ import annotations

import os
import platform
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from resnets import plugins
from resnets.errors import InputError, is_memory
from resnets.files import short
from resnets.stores.addresses import SHOWN

# Of these the versions change answers, or what is sent between processes.
PACKAGES = ("resnets", "torch", "torchvision", "numpy", "pillow", "pyarrow")
DONE, REFUSED, MEMORY = "done", "refused", "memory"


def versions() -> dict[str, str]:
    """Of Python, and of those of `PACKAGES` that are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def plugin_files() -> tuple[str, ...]:
    """The files of users that parts of this process come from."""
    parts = (part for rows in plugins.TABLES.values() for part in rows.values())
    return tuple(sorted({str(part.file.path) for part in parts if part.file and part.file.path}))


@dataclass(frozen=True)
class Driver:
    """What a worker must have in common with the process that sends it work."""

    versions: dict[str, str] = field(default_factory=versions)
    folder: str = field(default_factory=os.getcwd)
    words: tuple[str, ...] = field(default_factory=lambda: tuple(sys.argv))  # the command, of which records tell
    plugins: tuple[str, ...] = field(default_factory=plugin_files)
    copies: dict[str, str] = field(default_factory=SHOWN.copy)  # of what is in object stores: their folders, and the addresses

    def prepare(self) -> None:
        """Make this process like the driver. Raises `InputError` where it cannot be."""
        here = versions()
        differ = [
            f"{name} {here.get(name, 'is missing')} for {version}"
            for name, version in self.versions.items()
            if here.get(name) != version
        ]
        if differ:
            raise InputError(
                f"the worker on {socket.gethostname()} has other versions than this process: {', '.join(differ)}; install "
                "the same on every machine, as by one container image"
            )
        try:
            os.chdir(self.folder)
        except OSError as error:
            raise InputError(
                f"the worker on {socket.gethostname()} has no folder {self.folder} ({error.strerror}); start in a folder that "
                "all machines share"
            ) from None
        for path, address in self.copies.items():
            if not Path(path).is_dir():
                raise InputError(
                    f"the worker on {socket.gethostname()} has no {path}, the copy of what is at {address}; set RESNETS_DATA "
                    "to a folder that all machines share"
                )
        SHOWN.update(self.copies)
        sys.argv = list(self.words)
        for path in self.plugins:
            plugins.load_plugin(path)


def call(shared: tuple[Driver, Callable[[Any], Any]], item: Any) -> tuple[str, Any]:
    """Do the work: (DONE, the result), or (REFUSED or MEMORY, the reason), for not every error can be sent back as it is.

    Args:
        shared: what all items have in common: the driver, and the work.
    """
    driver, work = shared
    try:
        driver.prepare()
        return DONE, work(item)
    except InputError as error:
        return REFUSED, str(error)
    except (MemoryError, RuntimeError) as error:
        if not is_memory(error):
            raise
        return MEMORY, f"not enough memory on {socket.gethostname()} ({short(error)})"
