"""Downloads from a server of our own: whole, broken off and resumed, wrong, missing."""

import contextlib
import hashlib
import itertools
import re
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from resnets.data.readers import download
from resnets.data.readers.download import fetch
from resnets.errors import InputError

CONTENT = bytes(range(256)) * 2000
MD5 = "md5:" + hashlib.md5(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT. `script`: what to do with each request in turn, afterwards "ok"; `ranges`: the Range of each request."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script, self.ranges, self.knows_ranges = [], [], True
        self.url = f"http://127.0.0.1:{self.server_address[1]}/file.bin"


class Handler(BaseHTTPRequestHandler):
    timeout = 5

    def log_message(self, *_):
        pass

    def do_GET(self):
        server = self.server
        server.ranges.append(self.headers.get("Range"))
        action = server.script.pop(0) if server.script else "ok"
        if isinstance(action, int):
            return self.send_error(action)
        start = 0
        if server.ranges[-1] and server.knows_ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", server.ranges[-1])[1])
            if start >= len(CONTENT):
                return self.send_error(416)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        else:
            self.send_response(200)
        body = CONTENT[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if action == "break" else body)
        return None


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "BACKOFF_SECONDS", 0.0)
    monkeypatch.setattr(download, "TIMEOUT_SECONDS", 5)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(5)


def only(path):
    """The content of `path`, beside which nothing is left."""
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    return path.read_bytes()


def test_whole(server, tmp_path):
    calls = []
    path = fetch(server.url, tmp_path / "new/file.bin", checksum=MD5, progress=lambda done, total: calls.append((done, total)))
    assert only(path) == CONTENT and server.ranges == [None]
    assert calls[-1] == (len(CONTENT), len(CONTENT)) and len(calls) >= 2 and calls == sorted(calls)


def test_a_file_that_is_there_is_kept_and_another_is_replaced(server, tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(CONTENT)
    fetch(server.url, path, checksum="sha256:" + hashlib.sha256(CONTENT).hexdigest())
    assert server.ranges == []
    path.write_bytes(b"old")
    fetch(server.url, path, checksum=MD5)
    assert only(path) == CONTENT


def test_broken_off_and_resumed(server, tmp_path):
    server.script = ["break"]
    path = fetch(server.url, tmp_path / "file.bin", checksum=MD5)
    assert only(path) == CONTENT
    assert server.ranges == [None, f"bytes={len(CONTENT) // 2}-"]


def test_resumed_by_a_later_call(server, tmp_path):
    server.script = ["break"] + [503] * (download.NUM_ATTEMPTS - 1)
    with pytest.raises(InputError, match="503"):
        fetch(server.url, tmp_path / "file.bin", checksum=MD5)
    assert (tmp_path / "file.bin.part").read_bytes() == CONTENT[: len(CONTENT) // 2]
    assert only(fetch(server.url, tmp_path / "file.bin", checksum=MD5)) == CONTENT
    assert server.ranges[-1] == f"bytes={len(CONTENT) // 2}-"


def test_a_server_without_ranges_starts_anew(server, tmp_path):
    server.knows_ranges = False
    server.script = ["break"]
    assert only(fetch(server.url, tmp_path / "file.bin", checksum=MD5)) == CONTENT
    assert len(server.ranges) == 2 and server.ranges[1] is not None


@pytest.mark.parametrize(("part", "requests"), [(CONTENT, 1), (CONTENT + b"too long", 2)])
def test_range_beyond_the_end(server, tmp_path, part, requests):
    (tmp_path / "file.bin.part").write_bytes(part)
    assert only(fetch(server.url, tmp_path / "file.bin", checksum=MD5)) == CONTENT
    assert len(server.ranges) == requests


def test_wrong_checksum(server, tmp_path):
    with pytest.raises(InputError, match="not the expected one"):
        fetch(server.url, tmp_path / "file.bin", checksum="md5:" + "0" * 32)
    assert list(tmp_path.iterdir()) == []


def test_a_part_of_another_file_is_found_out(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(b"something else")
    with pytest.raises(InputError, match="not the expected one"):
        fetch(server.url, tmp_path / "file.bin", checksum=MD5)
    assert only(fetch(server.url, tmp_path / "file.bin", checksum=MD5)) == CONTENT


def test_missing_is_not_asked_for_twice(server, tmp_path):
    server.script = [404, 404]
    with pytest.raises(
        InputError, match=rf"cannot download {server.url} \(404 .*by hand and put it at {tmp_path / 'file.bin'}"
    ):
        fetch(server.url, tmp_path / "file.bin", checksum=MD5)
    assert len(server.ranges) == 1 and list(tmp_path.iterdir()) == []


def test_a_busy_server_is_asked_again(server, tmp_path):
    server.script = [503, 429]
    assert only(fetch(server.url, tmp_path / "file.bin", checksum=MD5)) == CONTENT
    assert len(server.ranges) == 3


def test_offline(server, tmp_path):
    server.shutdown()
    server.server_close()
    with pytest.raises(InputError, match=r"refused.*; download it by hand and put it at .*file\.bin"):
        fetch(server.url, tmp_path / "file.bin", checksum=MD5)


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://example.org/x", "x.tar.gz"])
def test_other_schemes_are_refused(tmp_path, url):
    with pytest.raises(InputError, match="only http and https"):
        fetch(url, tmp_path / "x", checksum=MD5)


def test_a_folder_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write"):
        fetch(server.url, tmp_path / "file/x.bin", checksum=MD5)


# --- servers that do harm ---


@pytest.fixture
def answering(monkeypatch):
    """A function: (parts, seconds between them) -> the URL of a server that answers with these bytes, maybe without end."""
    monkeypatch.setenv("no_proxy", "*")
    for name, value in (("BACKOFF_SECONDS", 0.0), ("TIMEOUT_SECONDS", 2), ("NUM_ATTEMPTS", 2), ("SLOW_SECONDS", 0.2)):
        monkeypatch.setattr(download, name, value)
    servers = []

    def serve(server, parts, seconds):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                with contextlib.suppress(OSError), connection:
                    connection.recv(65536)
                    for part in parts():
                        connection.sendall(part)
                        time.sleep(seconds)

    def start(parts, seconds=0.0):
        servers.append(socket.create_server(("127.0.0.1", 0)))
        threading.Thread(target=serve, args=(servers[-1], parts, seconds), daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].getsockname()[1]}/file.bin"

    yield start
    for server in servers:
        server.close()


OK = b"HTTP/1.1 200 OK\r\n"
ENDLESS = {
    "body": itertools.chain([OK + b"\r\n"], itertools.repeat(bytes(65536))),
    "chunks": itertools.chain(
        [OK + b"Transfer-Encoding: chunked\r\n\r\n"], itertools.repeat(b"10000\r\n" + bytes(65536) + b"\r\n")
    ),
    "continue": itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_a_server_that_never_ends_is_cut_off(answering, tmp_path, kind):
    with pytest.raises(InputError, match="sends more than the 1,000,000 bytes that are expected; download it by hand"):
        fetch(answering(lambda: ENDLESS[kind]), tmp_path / "file.bin", checksum=MD5, most=1_000_000)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("start", [b"", OK, OK + b"\r\n", OK + b"Transfer-Encoding: chunked\r\n\r\n"], ids=range(4))
def test_a_server_that_drips_is_given_up(answering, tmp_path, start):
    """In the headers, the body, or the line before a chunk."""
    url = answering(lambda: itertools.chain([start], itertools.repeat(b"0")), seconds=0.02)
    with pytest.raises(InputError, match=r"cannot download .* \(it sent [0-9]+ bytes in 0 s|broke off: it sent"):
        fetch(url, tmp_path / "file.bin", checksum=MD5)


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: abc", b"Content-Length: -5", b"Content-Length: " + b"9" * 5000, b"Content-Length: 7, 8",
        b"Content-Range: bytes " + b"9" * 5000 + b"-", b"Transfer-Encoding: chunked", b"X: " + b"y" * 100_000, b"\xff: \x00",
    ],
    ids=range(8),
)  # fmt: skip
def test_headers_that_are_no_numbers(answering, tmp_path, head):
    (tmp_path / "file.bin.part").write_bytes(b"x")
    with pytest.raises(InputError, match=r"cannot download|is not the expected one") as raised:
        fetch(answering(lambda: [OK + head + b"\r\n\r\n" + b"zz\r\nxx"]), tmp_path / "file.bin", checksum=MD5)
    assert len(str(raised.value)) < 700


@pytest.mark.parametrize("where", ["http://[::1", "ftp://127.0.0.1/a", "file:///etc/passwd", "//\ud7ff", "http://a" * 1000, ""])
def test_redirects_that_lead_nowhere(answering, tmp_path, where):
    head = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + where.encode() + b"\r\n\r\n"
    with pytest.raises(InputError, match="cannot download") as raised:
        fetch(answering(lambda: [head]), tmp_path / "file.bin", checksum=MD5)
    assert len(str(raised.value)) < 700
