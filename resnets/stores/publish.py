"""What is written to an address: it is written to a local copy, which is sent.

A file of the copy is complete or not there (`files.replacing`), and so is an object. A run directory is sent while it grows,
every `EVERY_SECONDS`, in this order: what was written, as it was written, and then the files that say how far the run is
(`LAST`). Those are taken first, as links to what they are then: so the state in the store is never ahead of what belongs to it,
and a kill at any moment leaves there a run that can be read and gone on with.
"""

from __future__ import annotations

import functools
import inspect
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from resnets.errors import InputError
from resnets.files import short
from resnets.stores.addresses import LOG, address_of, blame, file_system, locked
from resnets.stores.claims import BEAT_SECONDS, Claim, Lost
from resnets.stores.mirror import FRESH, Entry, Mirror, copied, stamp_of

P = ParamSpec("P")
R = TypeVar("R")
OUTPUTS = ("out", "draw", "masks")  # arguments that are paths to write to
FIRST = "recipe.yaml"  # without which there is no run to go on with; a later one follows what says why it differs
LAST = ("provenance.json", "recipe.yaml", "tune.json", "resume.safetensors", "resume.json")
EVERY_SECONDS, MOST_SECONDS = 5.0, 60.0  # between two times that a run is sent, and where the store does not answer
ATTEMPTS = 3  # at the end
OPEN: dict[Path, Publication] = {}  # by the path that stands for the address


def publishing(function: Callable[P, R]) -> Callable[P, R]:
    """The function, whose arguments `OUTPUTS` may be addresses: it gets local paths, and what it writes there is sent."""
    names = list(inspect.signature(function).parameters)

    @functools.wraps(function)
    def published(*args: P.args, **kwargs: P.kwargs) -> R:
        with sent(dict(zip(names, args, strict=False)) | kwargs) as given:
            return function(**given)  # type: ignore[call-arg]

    return published


@contextmanager
def sent(given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Arguments of a function, with local paths in the place of addresses in `OUTPUTS`; what is written there is sent.

    Raises as `writing`.
    """
    found = dict(given)
    with ExitStack() as stack:
        for name in OUTPUTS:
            if (address := address_of(found.get(name))) is not None:
                path = stack.enter_context(writing(address, resume=bool(given.get("resume"))))
                found[name] = type(found[name])(path) if isinstance(found[name], str) else path
        yield found


@contextmanager
def writing(address: str, *, resume: bool) -> Iterator[Path]:
    """The local path that stands for an address; what is written there is sent at the end, also after an error.

    Args:
        resume: begin with what is at the address; else with nothing, but for empty files and folders with the names of what is
            there, which verbs refuse or replace.

    Raises:
        InputError: where the store cannot be read or, at the end, written to; what is not sent stays in the copy.
    """
    copy = Mirror(address)
    if os.environ.get("RANK", "0") != "0":  # of several processes the first one writes
        yield copy.path
        return
    copy.use()
    FRESH.pop(address, None)
    busy = f"{address}: another process writes to it now; wait until that has ended, or choose another --out"
    with locked(copy.writing, busy=busy):
        work = Publication(copy)
        work.begin(resume)  # where this fails nothing is sent: what is here may be older than what is there
        OPEN[copy.path] = work
        try:
            yield copy.path
        except BaseException:
            work.end(quiet=True)
            raise
        else:
            work.end(quiet=False)
        finally:
            del OPEN[copy.path]


@contextmanager
def adding(path: str | os.PathLike[str]) -> Iterator[Path]:
    """The local path of a run directory to which something is added; at an address what is new is sent at the end.

    Raises as `local` and `writing`.
    """
    if (address := address_of(path)) is None:
        yield copied(path)
        return
    copied(path)  # which is an error where nothing is there
    with writing(address, resume=True) as folder:
        yield folder


def claim(path: Path) -> None:
    """Claim the address that `path` stands for, if it does, and send what is written from now on. Raises `InputError`."""
    if (work := OPEN.get(path)) is not None:
        work.claim()


def check_new(path: Path) -> None:
    """Raise `InputError` where something is at the address that `path` stands for."""
    if (work := OPEN.get(path)) is not None and work.copy.far():
        raise InputError(f"{work.copy.address}: exists and is not empty; go on with it by --resume, or choose another --out")


class Publication:
    """A copy that is sent to its address."""

    def __init__(self, copy: Mirror) -> None:
        self.copy = copy
        self.sent: dict[str, Entry] = {}
        self.num = self.num_bytes = 0
        self.claimed: Claim | None = None
        self.lost: Lost | None = None
        self.stop, self.sent_all = threading.Event(), threading.Event()
        self.threads: list[threading.Thread] = []

    def begin(self, resume: bool) -> None:
        copy, far = self.copy, self.copy.far()
        if resume:
            self.sent = copy.entries()
            if copy.is_ahead():
                return  # nobody has claimed it since: all that is there came from here, and what is here is farther
            there = {name: entry.object for name, entry in self.sent.items() if copy.owns(name)}
            if far != there or not all((copy.root / name).exists() for name in far):
                copy.pull()
                self.sent = copy.entries()
                for path in [path for path in copy.root.rglob("*") if path.is_file()]:
                    if copy.owns(name := path.relative_to(copy.root).as_posix()) and name not in far:
                        path.unlink()
            return
        if copy.unsent.exists():
            raise InputError(
                f"{copy.home}: holds a run that may not be at {copy.address} as a whole; send it and go on by --resume, or "
                "remove it"
            )
        shutil.rmtree(copy.root, ignore_errors=True)
        copy.index.unlink(missing_ok=True)
        copy.path.parent.mkdir(parents=True, exist_ok=True)
        for name in far:
            path = copy.root.joinpath(*Path(name).parts[:2])  # of a folder what is in it
            path.parent.mkdir(exist_ok=True)
            if name == path.relative_to(copy.root).as_posix():
                path.touch()
                self.sent[name] = Entry(0, far[name].stamp, path.stat().st_mtime_ns)  # as it is here: not to be sent
            else:
                path.mkdir(exist_ok=True)

    def claim(self) -> None:
        if self.claimed is not None:
            return
        self.claimed = Claim(self.copy.address)
        self.copy.unsent.write_text(self.claimed.token, encoding="utf-8")
        self.threads = [threading.Thread(target=work, daemon=True) for work in (self._run, self._live)]
        for thread in self.threads:
            thread.start()

    def _live(self) -> None:
        """Renew the claim, also while a large file is sent."""
        while self.claimed is not None and not self.sent_all.wait(BEAT_SECONDS / 2):
            with suppress(Exception):  # the sender says what is wrong
                self.claimed.beat()

    def _run(self) -> None:
        pause, said = EVERY_SECONDS, False
        while not self.stop.wait(pause):
            try:
                self.send()
                pause, said = EVERY_SECONDS, False
            except Lost as error:
                self.lost = error
                LOG.warning("%s; nothing more is sent, and the run goes on in %s", error, self.copy.home)
                return
            except Exception as error:  # each protocol has its own exceptions; it is tried again
                if not said:
                    words = "%s: cannot be written now (%s), which is tried again; the run goes on in %s"
                    LOG.warning(words, self.copy.address, short(error), self.copy.home)
                pause, said = min(2 * pause, MOST_SECONDS), True

    def changed(self) -> list[str]:
        """The complete files that differ from what was sent, as they are to be sent."""
        found: list[tuple[int, int, str]] = []
        for path in self.copy.root.rglob("*"):
            below = path.relative_to(self.copy.root)
            name = below.as_posix()
            if any(part.startswith(".") for part in below.parts) or not path.is_file():
                continue
            with suppress(FileNotFoundError):
                stat = path.stat()
                entry = self.sent.get(name)
                if entry is None or (entry.size, entry.written) != (stat.st_size, stat.st_mtime_ns):
                    found.append((rank_of(path.name, entry is None), stat.st_mtime_ns, name))
        return [name for *_, name in sorted(found)]

    def send(self) -> None:
        """Send what has changed, and remove what is gone. Raises `Lost`, and what the store raises."""
        if self.claimed is not None:
            self.claimed.beat()
        names, taken = self.changed(), self.copy.home / "taken"
        if not names:
            return
        shutil.rmtree(taken, ignore_errors=True)
        taken.mkdir()
        links: dict[str, Path] = {}
        for number, name in reversed(list(enumerate(names))):  # what is sent last is taken first
            link = taken / str(number)
            with suppress(FileNotFoundError):
                _take(self.copy.root / name, link)
                links[name] = link
        system, source = file_system(self.copy.address)
        base = source.removesuffix(self.copy.name)
        try:
            for name in names:
                if name in links:
                    self._put(system, base + name, name, links[name])
        finally:
            self.copy.write(self.sent)
            shutil.rmtree(taken, ignore_errors=True)

    def remove_gone(self) -> None:
        """Remove from the store what was removed here; nothing where the whole copy was, as by clearing the cache."""
        gone = [name for name in self.sent if not (self.copy.root / name).exists()]
        if gone and self.copy.path.exists() and self.copy.index.exists():
            system, source = file_system(self.copy.address)
            for name in gone:
                with suppress(FileNotFoundError):
                    system.rm_file(source.removesuffix(self.copy.name) + name)
                del self.sent[name]
            self.copy.write(self.sent)

    def _put(self, system: Any, far: str, name: str, link: Path) -> None:
        stat = link.stat()
        system.put_file(os.fspath(link), far)
        there = stamp_of(system, far)
        if there.size < stat.st_size:
            raise OSError(f"{there.size:,} of {stat.st_size:,} bytes of {name} are there")
        if there.size == stat.st_size:  # else it grew meanwhile, as a tracker's does, and is sent again
            self.sent[name] = Entry(*there, stat.st_mtime_ns)
        self.num, self.num_bytes = self.num + 1, self.num_bytes + stat.st_size

    def end(self, *, quiet: bool) -> None:
        """Send what is left, and give up the claim. Raises `InputError`, or says it where that is to be `quiet`."""
        if self.claimed is None and self.copy.unsent.exists():
            return  # a run that is not at the address as a whole is sent by who goes on with it, and has claimed it
        self.stop.set()
        for thread in self.threads[:1]:
            thread.join()
        try:
            with blame(self.copy.address, "written"):
                self._send_rest()
        except InputError as error:
            words = f"{error}; all of it is in {self.copy.home}" + "; send it by --resume" * (self.claimed is not None)
            if not quiet:
                raise InputError(words) from None
            LOG.warning("%s", words)
            self.sent_all.set()
        else:
            self.copy.unsent.unlink(missing_ok=True)
            if self.num:
                LOG.info("%s: %s files sent, %s bytes", self.copy.address, f"{self.num:,}", f"{self.num_bytes:,}")

    def _send_rest(self) -> None:
        if self.lost is not None:
            raise InputError(f"{self.lost}; look which of the two is to stay, and give the other one another --out")
        for attempt in range(ATTEMPTS):
            try:
                self.send()
                self.remove_gone()
                break
            except Lost as error:
                raise InputError(f"{error}; look which of the two is to stay") from None
            except Exception:
                if attempt == ATTEMPTS - 1:
                    raise
                time.sleep(2**attempt)
        self.sent_all.set()
        for thread in self.threads:
            thread.join()
        if self.claimed is not None:
            self.claimed.release()


def rank_of(name: str, is_new: bool) -> int:
    """The place in the order of sending of a file with this name."""
    if name == FIRST and is_new:
        return -2
    return LAST.index(name) if name in LAST else -1


def _take(path: Path, link: Path) -> None:
    """A second name for the content that a file has now, which a later write of the file leaves as it is."""
    try:
        link.hardlink_to(path)
    except FileNotFoundError:
        raise
    except OSError:  # of file systems without links
        shutil.copy2(path, link)
