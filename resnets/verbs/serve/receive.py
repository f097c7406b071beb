"""A request's body, read within limits of bytes and time, and the memory that all bodies together may take."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

from resnets.verbs.serve.limits import Limits

# Of `Content-Encoding`: the window bits by which zlib unpacks it. (RFC 9110, section 8.4.1: "deflate" is zlib's format.)
PACKED = {"gzip": 31, "x-gzip": 31, "deflate": 15}


class Refused(Exception):
    """A request that is answered by an error: its status, and what is wrong and what to do. `retry_s`: for Retry-After;
    `reason`: a word for the metrics."""

    def __init__(self, status: int, text: str, *, reason: str, retry_s: float | None = None) -> None:
        super().__init__(text)
        self.status, self.text, self.reason, self.retry_s = status, text, reason, retry_s


class Bodies:
    """All bodies that are in memory."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.num_coming = 0  # requests whose bodies are not there yet
        self.num_bytes = 0

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """The body, unpacked; what it takes counts until the end of the context.

        Raises:
            Refused: where it is too large, too slow, badly packed, or there are too many bytes in memory.
            starlette.requests.ClientDisconnect: where the other side has gone.
        """
        held = _Held(self)
        try:
            self.num_coming += 1
            try:
                async with asyncio.timeout(self.limits.timeout_s):
                    body = await self._arrived(request, held)
            except TimeoutError:
                text = f"the body has not arrived within {self.limits.timeout_s:g} s; send it faster, or less of it"
                raise Refused(408, text, reason="slow") from None
            finally:
                self.num_coming -= 1
            yield body
        finally:
            self.num_bytes -= held.num_bytes

    async def _arrived(self, request: Request, held: _Held) -> bytes:
        packed = request.headers.get("content-encoding", "identity").strip().lower()
        if packed != "identity" and packed not in PACKED:
            raise Refused(415, f"Content-Encoding {packed[:40]!r} is not known; use gzip or deflate, or none", reason="wrong")
        if (stated := request.headers.get("content-length", "")).isdigit() and int(stated) > self.limits.max_bytes:
            raise self._too_large()
        chunks: list[bytes] = []
        async for chunk in request.stream():
            held.add(len(chunk))
            if held.num_bytes > self.limits.max_bytes:
                raise self._too_large()
            chunks.append(chunk)
        body = b"".join(chunks)
        return self._unpacked(body, PACKED[packed], held) if packed in PACKED else body

    def _unpacked(self, body: bytes, bits: int, held: _Held) -> bytes:
        unpacker = zlib.decompressobj(bits)
        try:
            found = unpacker.decompress(body, self.limits.max_bytes + 1)
        except zlib.error as error:
            raise Refused(400, f"the body cannot be unpacked ({error})", reason="wrong") from None
        if len(found) > self.limits.max_bytes:
            raise self._too_large()
        if not unpacker.eof:
            raise Refused(400, "the packed body is truncated", reason="wrong")
        held.add(len(found))
        return found

    def _too_large(self) -> Refused:
        text = f"the body is larger than {self.limits.max_bytes:,} bytes; send fewer or smaller pictures"
        return Refused(413, text, reason="large")


class _Held:
    """The bytes of one request."""

    def __init__(self, bodies: Bodies) -> None:
        self.bodies, self.num_bytes = bodies, 0

    def add(self, num: int) -> None:
        """Raises `Refused` where all bodies together are too large."""
        self.num_bytes += num
        self.bodies.num_bytes += num
        if self.bodies.num_bytes > self.bodies.limits.held_bytes:
            raise Refused(503, "too many large requests at once; try again", reason="memory", retry_s=1)
