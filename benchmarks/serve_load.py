"""A server at more than it can do, with hostile requests among the others; then killed, and started again, under load.

    python benchmarks/serve_load.py MODEL PICTURES [--seconds 600] [--clients 48] [--hostile 0.2] [--serve FLAGS] [--out FILE]

Clients ask without a pause, in a closed loop of more clients than the server has room for, so that it must refuse some; a part
of the requests is hostile: truncated pictures, bombs, other types, bodies too large, wrong lengths, slow senders, half-open
connections. Each answer is compared with that of `resnets predict` to the same picture. Reported, where a fault ends with 1:
wrong answers; requests without an answer; a 500; p50 and p99 of the accepted; memory of the server at first and at last.

Then the server is killed by SIGKILL while clients ask, and started again; the time until it answers, and whether it is right.
"""

from __future__ import annotations

import argparse
import json
import random
import shlex
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import clients
import psutil

PORT = 8141
MAX_BYTES = 4_000_000  # of the server in this trial


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def bomb(side: int) -> bytes:
    """A PNG of so many pixels a side in a few kilobytes."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    rows = zlib.compress(bytes(1 << 22), 9)
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


BOMBS = [bomb(12_000), bomb(65_000)]
NONSENSE = random.Random(1).randbytes(200)
BUSY = {429, 503}  # right answers to any request
HOSTILE: list[Callable[[bytes], tuple[bytes, set[int]]]] = [  # a picture -> a whole request, and what else is right for it
    lambda picture: (post("/predict", picture[: len(picture) // 2]), {422}),
    lambda picture: (post("/predict", picture[:20] + NONSENSE + picture[220:]), {200, 422}),
    lambda picture: (post("/predict", BOMBS[0]), {422}),
    lambda picture: (post("/predict", BOMBS[1]), {422}),
    lambda picture: (post("/predict", NONSENSE), {422}),
    lambda picture: (post("/predict", b"{}", "application/json"), {415}),
    lambda picture: (post("/predict", b"x", "multipart/form-data; boundary=y"), {400}),
    lambda picture: (post("/predict?topk=none", picture), {400}),
    lambda picture: (post("/predict", bytes(MAX_BYTES + 1)), {413}),
    lambda picture: (post("/v2/models/m/infer", NONSENSE), {400}),
    lambda picture: (post("/v2/models/none/infer", b"{}"), {404}),
    lambda picture: (post("/predict", picture).replace(b"Content-Length: ", b"Content-Length: 1x"), {400}),
]


def post(path: str, body: bytes, kind: str = "image/jpeg") -> bytes:
    return clients.request(path, body, port=PORT, kind=kind)


def hang(stop: threading.Event, seed: int) -> None:
    """Connections that send a little and then nothing, or a byte now and then, until the server ends them."""
    rng = random.Random(seed)
    start = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    while not stop.is_set():
        try:
            with socket.create_connection(("127.0.0.1", PORT), timeout=30) as connection:
                connection.sendall(rng.choice([b"", start, start + b"Content-Length: 100000\r\n\r\nabc"]))
                for _ in range(rng.choice([0, 40])):
                    time.sleep(0.3)
                    connection.sendall(b"x")
                while connection.recv(1 << 16):
                    pass
        except OSError:
            time.sleep(0.1)


def expected_of(model: str, files: list[Path]) -> list[dict[str, Any]]:
    """The rows of `resnets predict`."""
    command = [sys.executable, "-m", "resnets", "predict", model, *map(str, files), "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def is_same(found: Any, expected: Any) -> bool:
    """Whether rows are the same but for names, and for numbers in their last places."""
    if isinstance(found, float):
        return isinstance(expected, float) and abs(found - expected) < 2e-3
    if isinstance(found, dict):
        return found.keys() == expected.keys() and all(is_same(found[key], expected[key]) for key in found if key != "path")
    if isinstance(found, list):
        return len(found) == len(expected) and all(map(is_same, found, expected))
    return found == expected


class Memory(threading.Thread):
    """Resident bytes of a process, twice a second."""

    def __init__(self, process: psutil.Process) -> None:
        super().__init__(daemon=True)
        self.process, self.found, self.over = process, [], threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.5):
            self.found.append(self.process.memory_info().rss)


def started(model: str, flags: list[str]) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "resnets",
        "serve",
        f"m={model}",
        "--port",
        str(PORT),
        "--max-bytes",
        str(MAX_BYTES),
        *flags,
    ]
    process = subprocess.Popen(command)
    clients.until_ready(PORT, "/v2/health/ready")
    return process


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--clients", type=int, default=48)
    parser.add_argument("--hostile", type=float, default=0.2)
    parser.add_argument("--serve", default="--queue 16 --max-pictures 16 --timeout-s 5", help="flags of resnets serve")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    files = sorted(given.pictures.glob("*.jp*g"))[:50]
    contents, expected = [file.read_bytes() for file in files], expected_of(given.model, files)
    rng, sent = random.Random(0), {}

    def make(number: int) -> bytes:
        which = rng.randrange(len(files))
        if rng.random() < given.hostile:
            body, right = rng.choice(HOSTILE)(contents[which])
            sent[number] = right | BUSY
            return body
        sent[number] = which
        return clients.request("/predict", contents[which], port=PORT)

    server = started(given.model, shlex.split(given.serve))
    memory, stop = Memory(psutil.Process(server.pid)), threading.Event()
    memory.start()
    for seed in range(4):
        threading.Thread(target=hang, args=(stop, seed), daemon=True).start()
    began, faults, statuses, accepted = time.perf_counter(), Counter[str](), Counter[int](), []
    for seen in clients.closed_loop(PORT, make, num_clients=given.clients, seconds=given.seconds, keep=True, again=True):
        what = sent.pop(seen.number)
        statuses[seen.status] += 1
        if isinstance(what, set):
            faults[f"hostile: {seen.status}"] += seen.status not in what
        elif seen.status == 200:
            accepted.append(seen.seconds)
            faults["wrong answer"] += not is_same(json.loads(seen.body)["rows"][0], expected[what])
        else:
            faults[f"good picture: {seen.status}"] += seen.status not in (429, 503)
    took = time.perf_counter() - began
    stop.set()
    memory.over.set()
    memory.join()
    tenth = max(1, len(memory.found) // 10)
    first, last = (sum(part) / len(part) / 1e6 for part in (memory.found[tenth : 2 * tenth], memory.found[-tenth:]))
    accepted.sort()
    result = {
        "seconds": round(took, 1),
        "requests": sum(statuses.values()),
        "statuses": {str(status): num for status, num in sorted(statuses.items())},
        "answered_per_second": round(len(accepted) / took, 1),
        "accepted_p50_ms": round(1000 * accepted[len(accepted) // 2]),
        "accepted_p99_ms": round(1000 * accepted[int(0.99 * len(accepted))]),
        "memory_mb": {"second tenth": round(first), "last tenth": round(last), "most": round(max(memory.found) / 1e6)},
        "faults": {name: num for name, num in faults.items() if num},
        "kill_and_restart": kill_and_restart(server, given.model, shlex.split(given.serve), contents[0], expected[0]),
    }
    print(json.dumps(result, indent=1))
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 1 if result["faults"] or not result["kill_and_restart"]["right"] else 0


def kill_and_restart(
    server: subprocess.Popen[bytes], model: str, flags: list[str], content: bytes, expected: dict[str, Any]
) -> dict[str, Any]:
    """Kill the server while clients ask, start another, and ask it."""
    request = clients.request("/predict", content, port=PORT)
    asking = threading.Thread(
        target=lambda: list(clients.closed_loop(PORT, lambda number: request, num_clients=8, seconds=60)), daemon=True
    )
    asking.start()
    time.sleep(1)
    server.kill()
    server.wait()
    asking.join(60)
    began = time.perf_counter()
    again = started(model, flags)
    took = time.perf_counter() - began
    (seen,) = list(clients.closed_loop(PORT, lambda number: request, num_clients=1, seconds=0, keep=True))
    again.terminate()
    right = seen.status == 200 and is_same(json.loads(seen.body)["rows"][0], expected)
    return {"ready_after_s": round(took, 1), "right": right, "ended_with": again.wait(60)}


if __name__ == "__main__":
    sys.exit(main())
