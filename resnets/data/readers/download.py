"""Downloading a file: an interrupted download is resumed, the checksum is verified, and the file is then renamed."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.client
import io
import math
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from resnets.errors import InputError
from resnets.files import is_file, open_regular, short, temporary_folder

Progress: TypeAlias = Callable[[int, "int | None"], None]  # (bytes so far, total bytes, or None if the server does not say)

TIMEOUT_SECONDS = 30
NUM_ATTEMPTS = 4
BACKOFF_SECONDS = 1.0  # before the second attempt; it doubles with each
CHUNK_BYTES = 1 << 18
MAX_BYTES = 1 << 34  # of a download
MAX_HEADERS = 1 << 20  # of the bytes of a response beside the file
SLOW_SECONDS, SLOW_BYTES = 60.0, 60_000  # a server that sends fewer bytes in so many seconds is given up
# Errors of the connection, after which it is tried again. What was received so far stays in the .part file. A ValueError is
# one of urllib, about a number or an address in the server's headers.
BROKEN = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ValueError)
BUSY = {408, 429, 500, 502, 503, 504}


def fetch(url: str, path: Path, *, checksum: str, most: int = MAX_BYTES, progress: Progress | None = None) -> Path:
    """Download `url` to `path`, via `path.part`; returns `path`. An existing file with the right checksum is kept.

    Args:
        url: an http or https address.
        checksum: "md5:..." or "sha256:...", in hexadecimal.
        most: the largest size in bytes.
        progress: called after each chunk with the bytes so far and the total.

    Raises:
        InputError: if the download fails, the checksum differs, or the file cannot be written.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise InputError(f"{url}: only http and https addresses can be downloaded")
    part = path.with_name(path.name + ".part")
    try:
        if matches(path, checksum):
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        _download(url, part, checksum, progress, most, by_hand=f"download it by hand and put it at {path}")
        if not matches(part, checksum):
            part.unlink()
            raise InputError(
                f"{url}: the downloaded file is not the expected one ({checksum} differs); it was deleted; try again"
            )
        return part.replace(path)
    except OSError as error:
        raise InputError(
            f"cannot write {part}: {error.strerror or error}; free some space or choose another --data-dir"
        ) from error


def matches(path: Path, checksum: str) -> bool:
    """Whether `path` is a file with the checksum `checksum` ("md5:..." or "sha256:...")."""
    algorithm, _, expected = checksum.partition(":")
    if not is_file(path):
        return False
    with open_regular(path) as file:
        return hashlib.file_digest(file, algorithm).hexdigest() == expected


class TooLarge(Exception):
    """The server sends more bytes than are asked for."""


def content(url: str, most: int, seconds: float) -> bytes:
    """The bytes at an http or https address.

    Args:
        most: the largest size in bytes.
        seconds: in which they have to come, in each of at most `NUM_ATTEMPTS` attempts.

    Raises:
        InputError: if the download fails, or is too large or too slow.
    """
    with temporary_folder() as folder:
        part = Path(folder, "content")
        _download(url, part, "sha256:", None, most, by_hand="download it by hand, and give the file", seconds=seconds)
        return part.read_bytes()


class _Watched(io.RawIOBase):
    """The bytes of a response, headers included. Raises `TooLarge` beyond `most` bytes, and `TimeoutError` if they drip, or do
    not come within `seconds`."""

    def __init__(self, raw: io.RawIOBase, most: int, seconds: float) -> None:
        self.raw, self.left, self.seconds = raw, most, seconds
        self.start = time.monotonic()
        self.began, self.received = time.monotonic(), 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        num = self.raw.readinto(buffer) or 0
        self.left, self.received = self.left - num, self.received + num
        if self.left < 0:
            raise TooLarge
        now = time.monotonic()
        if now - self.start > self.seconds:
            raise TimeoutError(f"it did not come within {self.seconds:.0f} s")
        if now - self.began > SLOW_SECONDS:
            if self.received < SLOW_BYTES:
                raise TimeoutError(f"it sent {self.received:,} bytes in {now - self.began:.0f} s")
            self.began, self.received = now, 0
        return num

    def close(self) -> None:
        self.raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, *args: Any, most: int, seconds: float, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.fp = io.BufferedReader(_Watched(self.fp.detach(), most, seconds))


def _opener(most: int, seconds: float) -> urllib.request.OpenerDirector:
    """As urllib's, for http and https alone (also after a redirect), with responses of at most `most` bytes."""

    def connection(kind: type[http.client.HTTPConnection]) -> Any:
        def connect(*args: Any, **settings: Any) -> http.client.HTTPConnection:
            made = kind(*args, **settings)
            made.response_class = functools.partial(_Response, most=most, seconds=seconds)  # type: ignore[assignment]
            return made

        return connect

    class Http(urllib.request.HTTPHandler):
        def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(connection(http.client.HTTPConnection), req)

    class Https(urllib.request.HTTPSHandler):
        def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(connection(http.client.HTTPSConnection), req)

    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler, Http, Https, urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler, urllib.request.HTTPErrorProcessor, urllib.request.UnknownHandler,
    ):  # fmt: skip
        opener.add_handler(handler())
    return opener


def _download(
    url: str,
    part: Path,
    checksum: str,
    progress: Progress | None,
    most: int,
    *,
    by_hand: str,
    seconds: float = math.inf,
) -> None:
    fault: Exception | None = None
    for attempt in range(NUM_ATTEMPTS):
        if attempt:
            time.sleep(BACKOFF_SECONDS * 2 ** (attempt - 1))
        try:
            return _receive(url, part, progress, most, seconds)
        except TooLarge as error:
            part.unlink(missing_ok=True)
            raise InputError(f"{url}: the server sends more than the {most:,} bytes that are expected; {by_hand}") from error
        except urllib.error.HTTPError as error:
            error.close()
            fault = error
            if error.code == 416:  # no bytes after those received: the part is complete, or not of this file
                if matches(part, checksum):
                    return None
                part.unlink(missing_ok=True)
            elif error.code not in BUSY:
                break
        except BROKEN as error:
            fault = error
    why = getattr(fault, "reason", None) or fault
    code = f"{fault.code} " if isinstance(fault, urllib.error.HTTPError) else ""
    raise InputError(f"cannot download {url} ({code}{short(why)}); {by_hand}") from fault


def _receive(url: str, part: Path, progress: Progress | None, most: int, seconds: float) -> None:
    """One request: append to `part` if the server resumes at its end, else write it anew."""
    done = part.stat().st_size if is_file(part) else 0
    if done > most:
        raise TooLarge
    request = urllib.request.Request(url, headers={"User-Agent": "resnets"})
    if done:
        request.add_header("Range", f"bytes={done}-")
    with contextlib.closing(_opener(most - done + MAX_HEADERS, seconds).open(request, timeout=TIMEOUT_SECONDS)) as response:
        start = re.match(r"bytes ([0-9]{1,18})-", response.headers.get("Content-Range", ""))
        resumed = response.status == 206 and start is not None and int(start[1]) == done
        done = done if resumed else 0
        total = None if response.length is None else done + response.length  # urllib's: None if it is not a number
        if total is not None and total > most:
            raise TooLarge
        with part.open("ab" if resumed else "wb") as file:
            for chunk in _chunks(response):
                file.write(chunk)
                done += len(chunk)
                if done > most:
                    raise TooLarge
                if progress:
                    progress(done, total)
    if total is not None and done < total:
        raise ConnectionError(f"it broke off after {done:,} of {total:,} bytes")


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The body in chunks. An OSError here is an error of the connection; elsewhere it is one of the disk."""
    try:
        while chunk := response.read1(CHUNK_BYTES):  # what there is; the file is written as it arrives
            yield chunk
    except OSError as error:
        raise ConnectionError(f"it broke off: {error}") from error
