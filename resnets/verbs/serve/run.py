"""`serve`: open models, listen, answer until told to stop, and then finish what is in."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import ipaddress
import logging
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

import uvicorn

from resnets.draw.text import printable
from resnets.errors import InputError
from resnets.models.header import terms
from resnets.verbs.serve.app import App
from resnets.verbs.serve.bounds import bounded
from resnets.verbs.serve.limits import MAX_CONNECTIONS, Limits
from resnets.verbs.serve.served import Opening, Served, indexes_of, named
from resnets.verbs.serve.service import Service

GRACE_S = 0.5  # after a signal to stop, in which late requests are refused in words
LAST_S = 0.2  # after that, in which what is connected already is accepted and refused too
ATTACH_FILTER = 26  # Linux' SO_ATTACH_FILTER, which Python does not name
KEEP_ALIVE_S = 75  # of a connection between two requests: longer than proxies keep theirs (nginx: 60)
BACKLOG = 256  # connections that the system keeps until they are accepted


def serve(
    models: Sequence[str],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    opening: Opening | None = None,
    indexes: Sequence[str] = (),
    limits: Limits | None = None,
    access_log: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> int:
    """Serve models over HTTP until SIGTERM or Ctrl-C; returns the number of that signal.

    Args:
        models: MODEL or NAME=MODEL.
        host: the address to listen on.
        port: 0: any that is free; the line that is said has it.
        token: what requests must bring.
        indexes: FILE of `resnets index` for the first model, or NAME=FILE.
        say: told what is served, and where, once it is ready.

    Raises:
        InputError: where a model cannot be opened, or the address cannot be listened on.
    """
    with listen(host, port) as listener:
        paths, opening = named(models), opening or Opening()
        beside = indexes_of(indexes, list(paths))
        served = [Served(name, path, dataclasses.replace(opening, index=beside.get(name))) for name, path in paths.items()]
        service = Service(served, limits or Limits())
        app = App(service, token=token, local=is_local(host), access_log=access_log)
        shown = f"[{host}]" if ":" in host else host
        where = f"http://{shown}:{listener.getsockname()[1]}"
        server = Server(app, lambda: say_ready(say, served, where, open_to_all=token is None and not is_local(host)))
        more_files()
        server.run(sockets=[listener])
    return server.stopped_by


def say_ready(say: Callable[[str], None], served: Sequence[Served], where: str, *, open_to_all: bool) -> None:
    for model in served:
        opened = model.opened
        num = len(opened.header.labels)
        classes = f", {num} class{'es' * (num != 1)}" if num else ""
        say(f"model    {model.name}: {opened.task.name}{classes}, by {opened.session.runtime}")
        if told := terms(opened.header):
            say(f"weights  {told}")
    if open_to_all:
        say("note     anyone who reaches this address may ask: give --token, or put it behind a proxy that asks who it is")
    say(f"serving  {where}  (page, /predict, /v2, /docs, /metrics); Ctrl-C stops it")


class Server(uvicorn.Server):
    """uvicorn's, which is told when it is ready, and on a signal finishes what is in.

    For `GRACE_S` after the signal it still accepts, and refuses in words; then it listens no more, waits for the answers that
    are under way, and ends. A second signal ends it at once.
    """

    def __init__(self, app: App, on_ready: Callable[[], None] = lambda: None) -> None:
        self.service, self.on_ready = app.service, on_ready
        self.stopped_by, self.stop_at, self.closing = 0, float("inf"), False
        timeout_s = self.service.limits.timeout_s
        config = uvicorn.Config(
            app.asgi(),
            http=bounded(timeout_s),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_S,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=int(2 * timeout_s) + 1,
        )
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.listeners = sockets or []
        await super().startup(sockets)
        self.on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, but the signal is not raised again at the end: `stopped_by` says which it was."""
        if threading.current_thread() is not threading.main_thread():  # which alone gets signals
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.service.draining:
            self.should_exit = self.force_exit = True
            return
        self.stopped_by, self.service.draining = sig, True
        self.stop_at = time.monotonic() + GRACE_S

    async def on_tick(self, counter: int) -> bool:
        now = time.monotonic()
        if now >= self.stop_at and not self.closing:
            self.closing = True
            for listener in self.listeners:
                drop_new(listener)
        return await super().on_tick(counter) or now >= self.stop_at + LAST_S


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises `InputError` where that is not possible."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
    except (OSError, OverflowError, UnicodeError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{host}:{port}: cannot listen there ({words}); choose another --port, or --host") from None
    return listener


def drop_new(listener: socket.socket) -> None:
    """From now on the system ignores who wants to connect. Where a listener is closed, Linux resets the connections that it has
    made and we have not accepted, without a word; those who are ignored try again, and are refused then.
    """
    if sys.platform != "linux":
        return
    drop_all = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))  # BPF: return 0, of each packet nothing is kept
    with contextlib.suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(drop_all)))


def is_local(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def more_files() -> None:
    """As many open files as the system lets us have, up to what connections need."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * MAX_CONNECTIONS
    most = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


class Lines(logging.Formatter):
    """Lines of the log, with the time, in characters that any terminal takes."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def log_to_stderr() -> None:
    """Write the log of the server there."""
    handler = logging.StreamHandler()
    handler.setFormatter(Lines("%(asctime)s %(levelname)s %(message)s"))
    levels = {"resnets.serve": logging.INFO, "uvicorn.error": logging.CRITICAL, "python_multipart": logging.CRITICAL}
    for name, level in levels.items():  # the others tell what is wrong with requests, which their answers do
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(level)
        logger.propagate = False
