"""How much of a runtime's speed a server keeps: pictures a second of servers over those of `resnets predict` on the same files.

    python benchmarks/serve.py RESNET50.xml RESNET50.onnx PICTURES [--seconds 20] [--rounds 3] [--clients 16] [--out FILE]

The files are one network in 8 bits, exported by `resnets export --format openvino|onnx --int8`. A closed loop: each client
sends the next picture when it has the answer to the last. Clients and server share the processors. All rows in turn, each in
processes of its own; medians over rounds. Nothing else should run meanwhile. Writes FILE.json and FILE.md. Rows whose package
(litserve, fastapi) is missing are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import clients

HERE = Path(__file__).parent
PORT = 8140
PREDICT = """
import json, sys, time
from resnets.ship.sessions import open_session
from resnets.verbs.predict import predict
files, seconds = json.load(sys.stdin)
session = open_session(sys.argv[1])
rows = predict(session, files * 200)
for number, row in zip(range(32), rows):  # files are looked for before the first answer
    pass
began = time.perf_counter()
num = 0
for row in rows:
    num += 1
    if time.perf_counter() - began > seconds:
        break
print(num / (time.perf_counter() - began))
"""


class Row(NamedTuple):
    """A way to the answers. `ready`: an address that answers 200 once it serves, "": no server; `field`: the name of the file
    in a form, "": the body is the picture."""

    command: list[str]
    ready: str = ""
    field: str = ""
    needs: str = "resnets"


def rows(xml: str, onnx: str) -> dict[str, Row]:
    peers = [sys.executable, str(HERE / "serve_peers.py")]
    return {
        "resnets predict": Row([sys.executable, "-c", PREDICT, xml]),
        "resnets serve": Row([sys.executable, "-m", "resnets", "serve", xml, "--port", str(PORT)], "/v2/health/ready"),
        "resnets serve, form": Row(
            [sys.executable, "-m", "resnets", "serve", xml, "--port", str(PORT)], "/v2/health/ready", "file"
        ),
        "LitServe, OpenVINO": Row(
            [sys.executable, str(HERE / "serve_litserve.py"), xml, str(PORT)], "/health", "content", "litserve"
        ),
        "FastAPI, ONNX Runtime": Row([*peers, "fastapi", onnx, str(PORT)], "/health", "file", "fastapi"),
        "OpenVINO alone, its asynchronous queue": Row([*peers, "openvino", xml, "0"], needs="openvino"),
    }


def measured(row: Row, files: list[str], seconds: float, num_clients: int) -> dict[str, float]:
    """Pictures a second; of servers also milliseconds p50 and p99, and requests that were not answered by 200."""
    if not row.ready:
        given = json.dumps([files, seconds])
        done = subprocess.run(row.command, input=given, capture_output=True, text=True, check=True)
        return {"pictures_per_second": float(done.stdout)}
    contents = [Path(file).read_bytes() for file in files]
    bodies = [clients.form(content, row.field) if row.field else (content, "image/jpeg") for content in contents]
    requests = [clients.request("/predict", body, port=PORT, kind=kind) for body, kind in bodies]

    def make(number: int) -> bytes:
        return requests[number % len(requests)]

    with running(row.command):
        clients.until_ready(PORT, row.ready)
        list(clients.closed_loop(PORT, make, num_clients=num_clients, seconds=2))
        began = time.perf_counter()
        seen = list(clients.closed_loop(PORT, make, num_clients=num_clients, seconds=seconds))
    good = sorted(each.seconds for each in seen if each.status == 200)
    took = max(each.at for each in seen) - began
    p50, p99 = (1000 * good[min(len(good) - 1, int(part * len(good)))] for part in (0.5, 0.99))
    return {"pictures_per_second": len(good) / took, "p50_ms": p50, "p99_ms": p99, "bad": len(seen) - len(good)}


@contextlib.contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A server, which is ended with all that it has started."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("xml")
    parser.add_argument("onnx")
    parser.add_argument("pictures")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    files = sorted(str(path) for path in Path(given.pictures).glob("*.jp*g"))
    todo = {name: row for name, row in rows(given.xml, given.onnx).items() if importlib.util.find_spec(row.needs)}
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in todo}
    for number in range(given.rounds):
        for name, row in todo.items():
            runs[name].append(measured(row, files, given.seconds, given.clients))
            print(number + 1, name, {key: round(value, 1) for key, value in runs[name][-1].items()}, flush=True)
    table = summarised(runs)
    print("\n".join(table))
    if given.out:
        about = conditions(given, len(files), sorted({row.needs for row in todo.values()}))
        given.out.with_suffix(".json").write_text(json.dumps({**about, "rows": runs}, indent=1) + "\n", encoding="utf-8")
        told = [f"- {key}: {value}" for key, value in about.items()]
        given.out.with_suffix(".md").write_text("\n".join([*told, "", *table]) + "\n", encoding="utf-8")


def summarised(runs: dict[str, list[dict[str, float]]]) -> list[str]:
    """The table: medians over rounds, and the median of each round's ratio to `resnets predict`."""
    lines = [
        "| row | pictures/s | of resnets predict | ms p50 | ms p99 | not answered |",
        "| :-- | --: | --: | --: | --: | --: |",
    ]
    base = [each["pictures_per_second"] for each in runs["resnets predict"]]
    for name, found in runs.items():
        speeds = [each["pictures_per_second"] for each in found]
        ratio = statistics.median(speed / own for speed, own in zip(speeds, base, strict=True))
        cells = [f"{statistics.median(speeds):.1f}", f"{ratio:.2f}"]
        for key in ("p50_ms", "p99_ms", "bad"):
            values = [each[key] for each in found if key in each]
            cells.append(f"{statistics.median(values):.0f}" if values else "-")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def conditions(given: argparse.Namespace, num_files: int, packages: list[str]) -> dict[str, Any]:
    named = {name: version(name) for name in packages if name != "resnets"}
    return {
        "command": f"python benchmarks/serve.py ... --seconds {given.seconds:g} --rounds {given.rounds}",
        "clients": given.clients,
        "pictures": num_files,
        "processors": len(os.sched_getaffinity(0)),
        "machine": platform.platform(),
        "versions": {"python": platform.python_version(), **named},
        "load": os.getloadavg()[0],
    }


if __name__ == "__main__":
    main()
