"""Claims of run directories in a store: an object that says which process trains there.

A store has no locks that end with a process. So the process that holds a claim writes it again and again, and who finds one
that does not change for `LEASE_SECONDS` takes it over; at once, where its process was on this machine and has ended. Only one
of several can make the object where there is none (fsspec's mode "create"; S3 since 2024), and only one wins a take-over: the
last to write, which all see that read it again. A process whose claim was taken, because it was cut off from the store for
longer, finds that out before it writes anything else there.
"""

from __future__ import annotations

import json
import os
import platform
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from resnets.errors import InputError
from resnets.stores.addresses import LOG, blame, file_system

LEASE_SECONDS, BEAT_SECONDS = 60.0, 20.0
SETTLE_SECONDS = 2.0  # after which all that take over at once have written
NAME = ".claim.json"  # hidden, so it is neither fetched nor in the way of a new run
MAX_BYTES = 1 << 16


class Lost(Exception):
    """Another process has taken the claim."""


class Claim:
    """The claim of this process to the folder at an address.

    Raises:
        InputError: where another process has it, or the store cannot be written to.
    """

    def __init__(self, address: str) -> None:
        self.address, self.token, self.beats, self.written = address, uuid.uuid4().hex, 0, 0.0
        with blame(address, "written"):
            self.system, root = file_system(address)
            self.path = f"{root.rstrip('/')}/{NAME}"
            try:
                self.system.pipe_file(self.path, self._content(), mode="create")
            except FileExistsError:
                self._take_over()
            if self._held().get("token") != self.token:  # of stores that do not know the mode
                raise self._refused(self._held())
        self.written = time.monotonic()

    def _content(self) -> bytes:
        told = {"token": self.token, "beats": self.beats, "host": platform.node(), "process": os.getpid(), "machine": machine()}
        return json.dumps(told).encode()

    def _held(self) -> dict[str, Any]:
        return held(self.system, self.path)

    def _refused(self, held: dict[str, Any]) -> InputError:
        who = f"process {str(held.get('process'))[:20]} on {str(held.get('host'))[:80]}"
        return InputError(f"{self.address}: {who} trains in it now; wait until that has ended, or choose another --out")

    def _take_over(self) -> None:
        before, until = self._held(), time.monotonic() + LEASE_SECONDS
        if not is_dead(before):
            LOG.info("%s: claimed by a process; %.0f s to see whether it still lives", self.address, LEASE_SECONDS)
        while not is_dead(before) and time.monotonic() < until:
            time.sleep(min(2.0, LEASE_SECONDS / 10))
            if (now := self._held()) != before and now:
                raise self._refused(now)
        if self._held() not in (before, {}):
            raise self._refused(self._held())
        self.system.pipe_file(self.path, self._content())
        time.sleep(SETTLE_SECONDS)

    def beat(self) -> None:
        """Say that this process lives, where that is due. Raises `Lost`, and what the store raises."""
        if self._held().get("token", self.token) != self.token:
            raise Lost(f"{self.address}: another process has taken it over")
        if time.monotonic() - self.written > BEAT_SECONDS:
            self.beats += 1
            self.system.pipe_file(self.path, self._content())
            self.written = time.monotonic()

    def release(self) -> None:
        if self._held().get("token") == self.token:
            self.system.rm_file(self.path)


def held(system: Any, path: str) -> dict[str, Any]:
    """What a claim says now; empty where there is none, or it means nothing."""
    system.invalidate_cache()
    with suppress(FileNotFoundError, ValueError):
        told = json.loads(system.cat_file(path, end=MAX_BYTES))
        return told if isinstance(told, dict) else {}
    return {}


def token_at(address: str) -> str:
    """The token of the claim at an address; "" where there is none. Raises `InputError`."""
    with blame(address):
        system, root = file_system(address)
        return str(held(system, f"{root.rstrip('/')}/{NAME}").get("token", ""))


def machine() -> str:
    """What tells processes with the same number apart: the machine since it was started, and the container."""
    told = [platform.node()]
    with suppress(OSError):
        told += [Path("/proc/sys/kernel/random/boot_id").read_text().strip(), str(Path("/proc/self/ns/pid").readlink())]
    return " ".join(told)


def is_dead(held: dict[str, Any]) -> bool:
    """Whether a claim is known to be of a process that has ended; also where there is none."""
    process = held.get("process")
    if not held:
        return True
    if os.name != "posix" or held.get("machine") != machine() or type(process) is not int or not 0 < process < 1 << 31:
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return process == os.getpid()
