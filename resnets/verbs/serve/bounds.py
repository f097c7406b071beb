"""What a connection may do before and after its requests: uvicorn bounds neither how long a request's headers take, nor how
large they are, nor how long an answer waits to be read, nor how much follows an answer."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from resnets.verbs.serve.limits import MAX_HEADER_BYTES

LOOK_AGAIN_S = 0.05


class BoundedProtocol(HttpToolsProtocol):
    """HTTP/1.1 of one connection.

    A request's headers must arrive within `patience_s`. What follows a request that was refused before all of it was there is
    read and forgotten for as long, so that the answer is not lost, and then the connection is closed. So it is where an answer
    is not read.
    """

    patience_s = 10.0
    _timer: asyncio.TimerHandle | None = None
    _over = False  # refused: what comes is forgotten
    _in_headers = True
    _whole = True
    _num_header_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._within(self.patience_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        if self._in_headers:
            self._num_header_bytes += len(data)
        super().data_received(data)
        if self._over or self.transport.is_closing():
            return
        if self._in_headers and self._timer is None:
            self._within(self.patience_s)
        if self._in_headers and self._num_header_bytes > MAX_HEADER_BYTES:
            self.send_400_response("The headers are too large.")

    def send_400_response(self, msg: str) -> None:
        """The answer, and the end of what is sent; closed once the other side has read it. uvicorn closes at once, and where
        something has come that is not read, the system then resets the connection, and the answer is lost."""
        head = (
            f"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: {len(msg)}\r\nconnection: close\r\n\r\n"
        )
        self._over = True
        self.transport.write(head.encode() + msg.encode())
        self.transport.write_eof()
        self._within(self.patience_s)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_headers, self._whole = True, False

    def on_headers_complete(self) -> None:
        self._cancel()
        self._in_headers, self._num_header_bytes = False, 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._whole, self._in_headers, self._num_header_bytes = True, True, 0
        if self.cycle is not None and self.cycle.response_complete:
            self._within(self.timeout_keep_alive)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._whole or self.transport.is_closing():
            self._within(self.patience_s)

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._within(self.patience_s)

    def shutdown(self) -> None:
        super().shutdown()
        if self.transport.is_closing():
            self._within(self.patience_s)

    def _within(self, seconds: float) -> None:
        """End the connection after some seconds, whatever it is at; what is still to be sent is lost then."""
        self._cancel()
        self._timer = self.loop.call_later(seconds, self._almost)

    def _almost(self) -> None:
        """Look once more what has come: on a busy machine it may lie there, while the time was over first."""
        self._timer = self.loop.call_later(LOOK_AGAIN_S, self._end)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        self._timer = None
        if self.transport.is_closing() or self._over:
            self.transport.abort()
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self._within(self.patience_s)  # an answer is under way, which has a limit of its own
            return
        if self.cycle is None:
            self.send_400_response("The request has not arrived.")
        else:
            self.transport.close()
        self._within(self.patience_s)


def bounded(patience_s: float) -> type[BoundedProtocol]:
    """The protocol with such a patience."""
    values: dict[str, Any] = {"patience_s": patience_s}
    return type("Bounded", (BoundedProtocol,), values)
