"""Downloading a file: an interrupted download is resumed, the checksum is verified, and the file is then renamed."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

from resnets.errors import InputError

Progress: TypeAlias = Callable[[int, "int | None"], None]  # (bytes so far, total bytes, or None if the server does not say)

TIMEOUT_SECONDS = 30
NUM_ATTEMPTS = 4
BACKOFF_SECONDS = 1.0  # before the second attempt; it doubles with each
CHUNK_BYTES = 1 << 18
# Errors of the connection, after which it is tried again. What was received so far stays in the .part file.
BROKEN = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError)
BUSY = {408, 429, 500, 502, 503, 504}


def fetch(url: str, path: Path, *, checksum: str, progress: Progress | None = None) -> Path:
    """Download `url` to `path`, via `path.part`; returns `path`. An existing file with the right checksum is kept.

    Args:
        url: an http or https address.
        checksum: "md5:..." or "sha256:...", in hexadecimal.
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
        _download(url, part, checksum, progress, by_hand=f"download it by hand and put it at {path}")
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
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest() == expected


def _download(url: str, part: Path, checksum: str, progress: Progress | None, *, by_hand: str) -> None:
    fault: Exception | None = None
    for attempt in range(NUM_ATTEMPTS):
        if attempt:
            time.sleep(BACKOFF_SECONDS * 2 ** (attempt - 1))
        try:
            return _receive(url, part, progress)
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
    reason = getattr(fault, "reason", None) or fault
    code = f"{fault.code} " if isinstance(fault, urllib.error.HTTPError) else ""
    raise InputError(f"cannot download {url} ({code}{reason}); {by_hand}") from fault


def _receive(url: str, part: Path, progress: Progress | None) -> None:
    """One request: append to `part` if the server resumes at its end, else write it anew."""
    done = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "resnets"})
    if done:
        request.add_header("Range", f"bytes={done}-")
    with contextlib.closing(urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)) as response:
        start = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        resumed = response.status == 206 and start is not None and int(start[1]) == done
        done = done if resumed else 0
        length = response.headers.get("Content-Length")
        total = done + int(length) if length else None
        with part.open("ab" if resumed else "wb") as file:
            for chunk in _chunks(response):
                file.write(chunk)
                done += len(chunk)
                if progress:
                    progress(done, total)
    if total is not None and done < total:
        raise ConnectionError(f"it broke off after {done:,} of {total:,} bytes")


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The body in chunks. An OSError here is an error of the connection; elsewhere it is one of the disk."""
    try:
        while chunk := response.read(CHUNK_BYTES):
            yield chunk
    except OSError as error:
        raise ConnectionError(f"it broke off: {error}") from error
