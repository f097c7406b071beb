"""What is too large, too slow, too much or not meant for the server: each is refused in words, and costs little."""

import gzip
import io
import socket
import struct
import threading
import time
import zlib

import pytest

from resnets.errors import InputError
from resnets.verbs.serve.limits import MAX_HEADER_BYTES, Limits
from tests.verbs.serve.made import encoded, form, serving

SMALL = Limits(max_bytes=20_000, max_pictures=3, max_pixels=1_000, queue=8, timeout_s=1)


@pytest.fixture(scope="module")
def narrow(saved):
    with serving({"tiny": saved}, SMALL) as running:
        yield running


def png_of(width, height):
    """A PNG whose header says so many pixels, of a few bytes: a bomb."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


def bomb():
    return gzip.compress(bytes(10_000_000))


JSON = {"Content-Type": "application/json"}
REFUSED = {  # (address, body, headers): status, words
    "large": (("/predict", bytes(20_001), {}), 413, "20,000 bytes"),
    "packed large": (("/predict", bomb(), {"Content-Encoding": "gzip"}), 413, "20,000 bytes"),
    "packed badly": (("/predict", b"no gzip", {"Content-Encoding": "gzip"}), 400, "unpacked"),
    "packed, cut off": (("/predict", gzip.compress(encoded())[:-9], {"Content-Encoding": "gzip"}), 400, "truncated"),
    "packed strangely": (("/predict", b"x", {"Content-Encoding": "br"}), 415, "gzip"),
    "nothing": (("/predict", b"", {}), 400, "empty"),
    "json": (("/predict", b"{}", JSON), 415, "infer"),
    "many": (("/predict", *form(*[("a", b"x")] * 4)), 413, "3"),
    "no files": (("/predict", *form()), 400, "no file"),
    "a broken form": (("/predict", form(("a", b"x"))[0], {"Content-Type": "multipart/form-data"}), 400, "form"),
    "topk": (("/predict?topk=0", b"x", {}), 400, "topk"),
    "topk of words": (("/predict?topk=many", b"x", {}), 400, "topk"),
    "threshold": (("/predict?threshold=nan", b"x", {}), 400, "threshold"),
    "format": (("/predict?format=xml", b"x", {}), 400, "json or csv"),
    "other site": (("/predict", encoded(), {"Sec-Fetch-Site": "cross-site"}), 403, "other sites"),
    "other host": (("/predict", encoded(), {"Host": "evil.example:80"}), 403, "evil.example"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused(narrow, what):
    request, status, words = REFUSED[what]
    answer = narrow.ask("POST", *request)
    assert (answer.status, words in answer.json["error"]) == (status, True), answer.body


def test_more_pixels_than_are_read_are_seen_in_the_header(narrow):
    began = time.monotonic()
    for content in (png_of(30_000, 3_000), png_of(30_000, 30_000), encoded(size=(40, 30))):
        answer = narrow.ask("POST", "/predict", content)
        assert answer.status == 422 and "pixels" in answer.json["rows"][0]["error"]
    assert time.monotonic() - began < 10 and narrow.ask("POST", "/predict", encoded()).status == 200


def test_a_packed_body_is_the_same(narrow):
    for packed, kind in ((gzip.compress(encoded()), "gzip"), (zlib.compress(encoded()), "deflate")):
        plain = narrow.ask("POST", "/predict", encoded()).json
        assert narrow.ask("POST", "/predict", packed, {"Content-Encoding": kind}).json == plain


def sent(port, *parts, wait=0.0):
    """All that comes back on a connection on which these bytes are sent, until it is closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        for part in parts:
            connection.sendall(part)
            time.sleep(wait)
        found = b""
        while part := connection.recv(1 << 16):
            found += part
        return found


HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([], b"HTTP/1.1 400"),  # a connection on which nothing comes
        ([b"POST /pre"], b"HTTP/1.1 400"),
        ([HEAD], b"HTTP/1.1 400"),  # headers without an end
        ([HEAD + b"Content-Length: 500\r\n\r\nabc"], b"HTTP/1.1 408"),  # a body without an end
        ([HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n"], b"HTTP/1.1 408"),
        ([b"nonsense\r\n\r\n"], b"HTTP/1.1 400"),
        ([HEAD + b"X: " + b"x" * 2 * MAX_HEADER_BYTES], b"HTTP/1.1 400"),
        ([HEAD + b"Content-Length: 99999999999\r\n\r\n"], b"HTTP/1.1 413"),  # told at once, and closed in a while
        ([HEAD + b"Content-Length: -5\r\n\r\nabc"], b"HTTP/1.1 400"),
        ([HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"], b"HTTP/1.1 400"),
    ],
)
def test_half_of_a_request_is_answered_and_its_connection_closed(narrow, parts, expected):
    began = time.monotonic()
    assert sent(narrow.port, *parts).startswith(expected)
    assert time.monotonic() - began < 15
    assert not narrow.service.bodies.num_bytes and not narrow.service.bodies.num_coming


def test_a_large_body_gets_its_answer_though_it_was_refused_before_it_came(narrow):
    """And the connection goes on, once all of it has come."""
    body = bytes(300_000)
    head = HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode()
    after = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    found = sent(narrow.port, head, body[:100_000], body[100_000:], after, wait=0.1)
    assert found.startswith(b"HTTP/1.1 413") and b"HTTP/1.1 200" in found


def test_bytes_of_all_requests_together_are_bounded(saved, monkeypatch):
    from resnets.verbs.serve import limits

    monkeypatch.setattr(limits, "HELD_BODIES", 1)
    with serving({"tiny": saved}, SMALL) as server:
        head = HEAD + b"Content-Length: 15000\r\n\r\n"
        waiting = threading.Thread(target=sent, args=(server.port, head, bytes(14_000)))
        waiting.start()
        while server.service.bodies.num_bytes < 14_000:
            time.sleep(0.01)
        answer = server.ask("POST", "/predict", bytes(15_000))
        waiting.join()
        assert answer.status == 503 and answer.headers["Retry-After"] == "1"
        assert not server.service.bodies.num_bytes


def test_a_full_queue_is_told_with_the_time_after_which_to_ask_again(saved):
    """None is lost: each is answered or refused."""
    with serving({"tiny": saved}, Limits(queue=2, max_pictures=2, timeout_s=30)) as server:
        entry, go = server.service.entries["tiny"], threading.Event()
        plain = entry.batcher.answer
        entry.batcher.answer = lambda works: go.wait(30) and plain(works)
        answers = []
        asking = [threading.Thread(target=lambda: answers.append(server.ask("POST", "/predict", encoded()))) for _ in range(12)]
        for thread in asking:
            thread.start()
        while sum(answer.status == 429 for answer in answers) < 12 - 2 - len(entry.batcher.threads):
            time.sleep(0.01)
        go.set()
        for thread in asking:
            thread.join()
    statuses = [answer.status for answer in answers]
    assert set(statuses) == {200, 429} and len(statuses) == 12
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers if answer.status == 429)


def test_what_takes_too_long_is_told(saved):
    with serving({"tiny": saved}, Limits(timeout_s=0.3)) as server:
        go = threading.Event()
        plain = server.service.entries["tiny"].batcher.answer
        server.service.entries["tiny"].batcher.answer = lambda works: go.wait(30) and plain(works)
        late = server.ask("POST", "/predict", encoded())
        go.set()
        assert late.status == 503 and "0.3 s" in late.json["error"]
        assert server.ask("POST", "/predict", encoded()).status == 200


def test_a_model_that_fails_is_a_500_in_words_and_the_next_is_answered(saved, caplog):
    with serving({"tiny": saved}) as server:
        batcher = server.service.entries["tiny"].batcher
        plain, faults = batcher.answer, [RuntimeError("secret detail")]
        batcher.answer = lambda works: plain(works) if not faults else (_ for _ in ()).throw(faults.pop())
        failed = server.ask("POST", "/predict", encoded())
        assert failed.status == 500 and "secret" not in failed.json["error"] and "secret detail" in caplog.text
        assert server.ask("POST", "/predict", encoded()).status == 200


def test_a_token(saved):
    with serving({"tiny": saved}, token="let me in") as server:
        for given in ({}, {"Authorization": "Bearer no"}, {"Authorization": "Bearer let me in "[:-2]}):
            answer = server.ask("POST", "/predict", encoded(), given)
            assert answer.status == 401 and answer.headers["WWW-Authenticate"] == "Bearer"
        right = {"Authorization": "Bearer let me in"}
        assert server.ask("POST", "/predict", encoded(), right).status == 200
        assert [server.ask("GET", path).status for path in ("/metrics", "/models", "/v2/models/tiny")] == [401] * 3
        assert [server.ask("GET", path).status for path in ("/", "/docs", "/v2/health/ready", "/v2")] == [200] * 4


def test_other_hosts_are_served_where_it_listens_for_them(saved):
    with serving({"tiny": saved}, local=False) as server:
        assert server.ask("GET", "/models", headers={"Host": "pictures.example"}).status == 200


def test_unknown_addresses_and_methods(server):
    for method, path, status in (
        ("GET", "/nothing", 404),
        ("GET", "/predict", 405),
        ("POST", "/metrics", 405),
        ("GET", "/../x", 404),
    ):
        answer = server.ask(method, path)
        assert answer.status == status and "/docs" in answer.json["error"]


@pytest.mark.parametrize("wrong", [{"queue": 0}, {"max_delay_ms": -1}, {"timeout_s": 0}, {"max_pictures": 200, "queue": 100}])
def test_wrong_limits(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        Limits(**wrong)


def test_a_body_in_a_form_is_never_written_to_a_disk(server, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", lambda self: pytest.fail("written"))
    noise = io.BytesIO(encoded(size=(1200, 900), form="PNG")).getvalue()
    assert len(noise) > 1 << 20 and server.ask("POST", "/predict", *form(("a.png", noise))).status == 200
