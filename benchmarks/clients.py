"""Many clients of an HTTP server in one thread, which takes little of the processors that the server is measured on.

Each client has a connection of its own and sends the next request when the answer to the last one is there (a closed loop).
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException


@dataclass
class Seen:
    """Of one answered request: its HTTP status (0: it ended without an answer), and seconds from the first byte sent to the
    last one received. `number` is that of the request, `body` the answer's."""

    number: int
    status: int
    seconds: float
    at: float
    body: bytes = b""


@dataclass
class _Client:
    connection: socket.socket
    number: int = -1
    to_send: memoryview = field(default_factory=lambda: memoryview(b""))
    received: bytearray = field(default_factory=bytearray)
    began: float = 0.0


def request(path: str, body: bytes, *, port: int, kind: str = "image/jpeg") -> bytes:
    """A whole POST."""
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + body


def form(content: bytes, name: str) -> tuple[bytes, str]:
    """A multipart body with one file under `name`, and its content type."""
    edge = "a-line-that-no-picture-has"
    head = f'--{edge}\r\nContent-Disposition: form-data; name="{name}"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    return head.encode() + content + f"\r\n--{edge}--\r\n".encode(), f"multipart/form-data; boundary={edge}"


def closed_loop(
    port: int, make: Callable[[int], bytes], *, num_clients: int, seconds: float, keep: bool = False, again: bool = False
) -> Iterator[Seen]:
    """What `num_clients` clients saw within `seconds`, and until the last answer. `make` gives the request of a number.

    Args:
        keep: the answers' bodies too.
        again: a client whose connection ends goes on with another one.
    """
    selector, end, numbers = selectors.DefaultSelector(), time.perf_counter() + seconds, iter(range(1 << 60))

    def begin(client: _Client | None = None) -> None:
        """Send the next request, on a new connection where there is none."""
        number = next(numbers)
        content = make(number)
        if client is None:
            client = _Client(socket.create_connection(("127.0.0.1", port)))
            client.connection.setblocking(False)
            client.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(client.connection, selectors.EVENT_READ, client)
        client.number, client.began = number, time.perf_counter()
        client.to_send, client.received = memoryview(content), bytearray()
        _send(client)
        if client.to_send:
            selector.modify(client.connection, selectors.EVENT_READ | selectors.EVENT_WRITE, client)

    for _ in range(num_clients):
        begin()
    while selector.get_map():
        for key, events in selector.select(timeout=60):
            client = key.data
            if events & selectors.EVENT_WRITE:
                _send(client)
                if not client.to_send:
                    selector.modify(client.connection, selectors.EVENT_READ, client)
            if not events & selectors.EVENT_READ or (status := _receive(client)) is None:
                continue
            now = time.perf_counter()
            body = bytes(client.received).partition(b"\r\n\r\n")[2] if keep else b""
            yield Seen(client.number, status, now - client.began, now, body)
            if status and now < end and not _closes(client):
                begin(client)
                continue
            selector.unregister(client.connection)
            client.connection.close()
            if now < end and (again or status):
                begin()


def _closes(client: _Client) -> bool:
    """Whether the server ends the connection after this answer, or has had less than the whole request."""
    return bool(client.to_send) or b"connection: close" in bytes(client.received[:1000]).lower()


def _send(client: _Client) -> None:
    try:
        client.to_send = client.to_send[client.connection.send(client.to_send) :]
    except BlockingIOError:
        pass
    except OSError:
        client.to_send = memoryview(b"")  # the answer, or the end, is seen by receiving


def _receive(client: _Client) -> int | None:
    """The status once the whole answer is there; 0 where the connection has ended before."""
    try:
        part = client.connection.recv(1 << 18)
    except BlockingIOError:
        return None
    except OSError:
        return 0
    if not part:
        return 0
    client.received += part
    head, end, _ = client.received.partition(b"\r\n\r\n")
    if not end:
        return None
    lower = bytes(head).lower()
    at = lower.find(b"content-length:")
    length = int(lower[at + 15 :].split(b"\r\n")[0]) if at >= 0 else 0
    return int(head[9:12]) if len(client.received) >= len(head) + 4 + length else None


def until_ready(port: int, path: str, seconds: float = 300) -> None:
    """Wait until GET `path` is answered by 200."""
    end = time.monotonic() + seconds
    while True:
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return
        except (OSError, HTTPException):
            pass
        if time.monotonic() > end:
            raise SystemExit(f"no server at port {port} after {seconds:g} s")
        time.sleep(0.2)
