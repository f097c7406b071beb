"""A folder of very many pictures, some broken, in little memory: `resnets predict`, killed halfway, gone on with.

    python benchmarks/stream.py MODEL FOLDER [--num 20000] [--broken 0.01] [--ceiling 1.5] [--format csv] [--out FILE.md]

The pictures in FOLDER are linked under other names until there are enough; the broken ones are cut off, empty, noise, a page of
HTML and a link to nothing. The system refuses the command more than the ceiling (RLIMIT_DATA: heap, stacks and private maps).
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from resnets.engine.device import cpu_name
from resnets.engine.run import now
from resnets.files import write_text
from resnets.verbs.bench.predict import find_pictures


def lay_out(sources: list[str], folder: Path, num: int, broken: float) -> set[str]:
    """Fill `folder` with `num` pictures; the paths of those that are broken."""
    bad = set(np.random.default_rng(0).choice(num, round(num * broken), replace=False).tolist())
    kinds = itertools.cycle(["cut off", "empty", "noise", "page", "link"])
    names = set()
    for number, source in zip(range(num), itertools.cycle(sources), strict=False):
        path = folder / f"{number // 1000:03}" / f"{number:06}{Path(source).suffix}"
        path.parent.mkdir(exist_ok=True)
        if number not in bad:
            path.symlink_to(source)
            continue
        names.add(str(path))
        content = {
            "cut off": Path(source).read_bytes()[:5000],
            "empty": b"",
            "noise": np.random.default_rng(number).bytes(5000),
            "page": b"<!doctype html><title>404</title>",
        }
        kind = next(kinds)
        path.symlink_to(folder / "nothing") if kind == "link" else path.write_bytes(content[kind])
    return names


def run(command: list[str], ceiling: int, until: int | None, out: Path) -> tuple[float, list[int]]:
    """Run a command, or kill it when `out` has `until` lines; seconds, and bytes resident at each second."""
    began, sizes = time.perf_counter(), []
    process = subprocess.Popen(command)
    watched = psutil.Process(process.pid)
    watched.rlimit(psutil.RLIMIT_DATA, (ceiling, ceiling))
    while process.poll() is None:
        try:
            sizes.append(watched.memory_info().rss)
        except psutil.NoSuchProcess:
            break
        if until is not None and out.exists() and sum(1 for _ in out.open("rb")) >= until:
            process.kill()
        time.sleep(1)
    if process.wait() and until is None:
        sys.exit(f"{' '.join(command)}: ended with {process.returncode}")
    return time.perf_counter() - began, sizes


def read(out: Path) -> list[tuple[str, str]]:
    """(path, error) of each row."""
    with out.open(newline="", encoding="utf-8") as file:
        if out.suffix == ".csv":
            return [(row["path"], row["error"]) for row in csv.DictReader(file)]
        return [(row["path"], row.get("error", "")) for row in map(json.loads, file)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("folder")
    parser.add_argument("--num", type=int, default=20_000)
    parser.add_argument("--broken", type=float, default=0.01, help="share of the pictures")
    parser.add_argument("--ceiling", type=float, default=1.5, help="GB")
    parser.add_argument("--format", choices=["csv", "json"], default="csv")
    parser.add_argument("--out", help="write what is found to this file, too")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder, out = Path(place, "pictures"), Path(place, f"rows.{args.format}")
        folder.mkdir()
        broken = lay_out(find_pictures(args.folder, args.num), folder, args.num, args.broken)
        command = [sys.executable, "-m", "resnets", "predict", args.model, str(folder), "--out", str(out)]
        seconds, sizes = [], []
        for until, flags in ((args.num // 2, []), (None, ["--resume"])):
            taken, seen = run([*command, *flags], round(args.ceiling * 1e9), until, out)
            seconds.append(taken)
            sizes.append(seen)
        rows = read(out)
    paths, errors = [path for path, _ in rows], {path for path, error in rows if error}
    settled = [seen[len(seen) // 10 :] for seen in sizes]
    lines = [
        f"- {cpu_name()}, {os.cpu_count()} processors; {now()}; {Path(args.model).name}, no more than {args.ceiling} GB",
        f"- {args.num:,} pictures, {len(broken)} of them broken; killed (SIGKILL) halfway, then `--resume`",
        f"- rows: {len(rows):,}, of {len(set(paths)):,} different paths",
        f"- errors: {len(errors)}, those of the broken ones and no others: {errors == broken}",
        f"- {args.num / sum(seconds):.0f} pictures a second, starting twice included",
        f"- resident memory: at most {max(map(max, sizes)) / 1e6:.0f} MB; in the second half of each run at most "
        + " and ".join(f"{max(seen[len(seen) // 2 :]) / max(seen[: len(seen) // 2 + 1]):.2f}" for seen in settled)
        + " times the first half's",
    ]
    print("\n".join(lines))
    if args.out:
        write_text(args.out, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
