"""Kill a training run at random moments, resume it, and compare what it leaves with an uninterrupted run, bit for bit.

    python benchmarks/kill_and_resume.py [--kills 20] [--seed 0] [SETTING ...]

Each run is a process of its own, killed by SIGKILL at a moment drawn evenly from the time that an uninterrupted run takes, then
resumed until it is done (or begun again, where it was killed before there was anything to resume). Compared are the tensors of
last.safetensors and best.safetensors, the names of all files, and the columns of metrics.csv that are no clocks. All runs use
the same number of threads. Any other argument is a setting of `resnets train`, such as `--opt adamw`.
"""

from __future__ import annotations

import argparse
import csv
import importlib.metadata
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from safetensors import safe_open

CLOCKS = ("images_per_second", "data_wait", "seconds")
SETTINGS = "--epochs 4 --save-every 0.2"


def command(out: Path, settings: list[str]) -> list[str]:
    return [sys.executable, "-m", "resnets", "train", "digits", "--out", str(out), *settings]


def killed(words: list[str], after: float) -> bool:
    """Whether SIGKILL after so many seconds came before the end."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        if process.wait(timeout=after):
            sys.exit(f"failed by itself: {' '.join(words)}")
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    return False


def saved_step(run: Path) -> str:
    """The step of the state on disk, as resuming finds it."""
    path = run / "resume.safetensors"
    if not path.exists():
        return "none"
    with safe_open(str(path), "numpy") as file:
        return str(json.loads(file.metadata()["position"])["step"])


def differences(one: Path, two: Path) -> list[str]:
    """What is not the same in two finished runs."""
    names = [sorted(str(path.relative_to(run)) for path in run.rglob("*")) for run in (one, two)]
    found = [] if names[0] == names[1] else [f"files {set(names[0]) ^ set(names[1])}"]
    for name in ("last.safetensors", "best.safetensors"):
        with safe_open(str(one / name), "numpy") as a, safe_open(str(two / name), "numpy") as b:
            keys = [set(a.keys()), set(b.keys())]
            if keys[0] != keys[1] or any(a.get_tensor(key).tobytes() != b.get_tensor(key).tobytes() for key in keys[0]):
                found.append(name)
    return found + ([] if rows(one) == rows(two) else ["metrics.csv"])


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return [{key: value for key, value in row.items() if key not in CLOCKS} for row in csv.DictReader(file)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args, more = parser.parse_known_args()
    settings = [*SETTINGS.split(), *more]
    draw = random.Random(args.seed)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # one for all runs
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("resnets", "torch"))
    print(" ".join(command(Path("DIR"), settings)[1:]))
    print(f"{versions}, {platform.machine()}, {os.environ['OMP_NUM_THREADS']} threads")
    with tempfile.TemporaryDirectory() as folder:
        whole, began = Path(folder, "whole"), time.perf_counter()
        subprocess.run(command(whole, settings), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        duration = time.perf_counter() - began
        print(f"uninterrupted: {duration:.1f} s, {saved_step(whole)} steps")
        steps, identical = [], 0
        for number in range(1, args.kills + 1):
            parts, after = Path(folder, str(number)), draw.uniform(0, duration)
            if not killed(command(parts, settings), after):
                steps.append("end")
            else:
                steps.append(saved_step(parts))
                resume = ["--resume"] if (parts / "recipe.yaml").exists() else []
                subprocess.run(
                    command(parts, [*settings, *resume]), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
            found = differences(whole, parts)
            identical += not found
            print(f"{number:3}: after {after:5.1f} s, saved step {steps[-1]:>5}: {', '.join(found) or 'identical'}", flush=True)
        hit = len(steps) - steps.count("end")
        print(f"{identical} of {args.kills} identical, {hit} of them killed before the end; saved at step {', '.join(steps)}")
    sys.exit(identical != args.kills)


if __name__ == "__main__":
    main()
