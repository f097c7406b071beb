"""`--engine ray` on this machine: the rows of one process with any number of workers, also where one is killed midway; what the
engine costs a picture; and a training that is killed and ends with the same bits.

    python benchmarks/ray_kill.py predict DIR --num 20000 --workers 1 2      some minutes; DIR: for pictures and results, kept
    python benchmarks/ray_kill.py train DIR                                  some minutes

Prints a JSON object. Needs psutil beside `resnets[ray]`. Pictures are random, 32 x 32; one in a thousand is none.
"""

import argparse
import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from pyarrow import parquet
from safetensors.numpy import load_file

TRAIN = ["--model", "resnet20_cifar", "--epochs", "3", "--batch-size", "64", "--save-every", "2", "--workers", "0"]
CLOCKS = ("images_per_second", "data_wait", "seconds")


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "resnets", *map(str, words)]


def make_pictures(folder: Path, num: int) -> None:
    random = np.random.default_rng(0)
    for number in range(num):
        path = folder / f"{number // 1000:03d}" / f"{number:06d}.png"
        pixels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if number % 1000 == 123:
            path.write_bytes(b"no picture")
        else:
            Image.fromarray(pixels).save(path)


def timed(words: list[str], killing=None) -> tuple[float, str]:
    """Seconds that a command took, and what it said on stderr; `killing` is called with its process at the beginning."""
    began = time.perf_counter()
    process = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    if killing:
        killing(process)
    _, said = process.communicate()
    seconds = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"{' '.join(words)}: exit code {process.returncode}\n{said}")
    return seconds, said


def kill_worker(process: subprocess.Popen, name: str, ready) -> int:
    """Kill a worker of Ray, in whose title `name` is, once `ready()`; its process id."""
    while not ready():
        if process.poll() is not None:
            raise SystemExit(f"ended before a worker could be killed:\n{process.communicate()[1]}")
        time.sleep(0.05)
    while process.poll() is None:
        for each in psutil.Process(process.pid).children(recursive=True):
            try:
                title = each.cmdline()
            except psutil.Error:
                continue
            if title and title[0].startswith("ray::") and name in title[0]:
                os.kill(each.pid, signal.SIGKILL)
                return each.pid
        time.sleep(0.05)
    raise SystemExit("there was no worker to kill")


def rows_of(folder: Path) -> list[str]:
    return [row for path in sorted(folder.glob("part-*.parquet")) for row in parquet.read_table(path)["row"].to_pylist()]


def computing(folder: Path) -> dict[str, float]:
    """Of a folder of parts, seconds from the first part to the last, and pictures a second in between: without the start."""
    times = sorted(path.stat().st_mtime for path in folder.glob("part-*.parquet"))
    num = sum(parquet.read_metadata(path).num_rows for path in sorted(folder.glob("part-*.parquet"))[1:])
    seconds = times[-1] - times[0]
    return {"seconds_between": round(seconds, 1), "pictures_per_second": round(num / max(seconds, 1e-9), 1)}


def predict(place: Path, num: int, workers: list[int], block: int, model: str, batch: int) -> dict:
    pictures = place / f"pictures{num}"
    make_pictures(pictures, num)
    words = ["predict", model, pictures, "--batch-size", batch]
    found: dict = {"pictures": num, "block_size": block, "model": model}

    one = place / "one.jsonl"
    one.unlink(missing_ok=True)
    seconds, _ = timed(command(*words, "--out", one))
    found["one process"] = {"seconds": round(seconds, 1)}
    wanted = one.read_text().splitlines()

    def by_engine(name: str, *more: object, killing=None) -> None:
        out = place / name
        subprocess.run(["rm", "-rf", str(out)], check=True)
        seconds, said = timed(command(*words, "--block-size", block, "-o", out, *more), killing and killing(out))
        lost = [line for line in said.splitlines() if line.startswith("lost")]
        found[name] = {"seconds": round(seconds, 1), **computing(out), "rows_equal": rows_of(out) == wanted, "lost": lost}

    by_engine("local", "--engine", "local")
    for count in workers:
        by_engine(f"ray{count}", "--engine", "ray", "--num-workers", count)
    half = -(-num // block) // 2

    def killing(out: Path):
        ready = lambda: len(list(out.glob("part-*.parquet"))) >= max(1, half)  # noqa: E731
        return lambda process: kill_worker(process, "call", ready)

    by_engine("killed", "--engine", "ray", "--num-workers", max(workers), killing=killing)
    return found


def metrics(run: Path) -> list[dict]:
    with (run / "metrics.csv").open() as file:
        return [{name: value for name, value in row.items() if name not in CLOCKS} for row in csv.DictReader(file)]


def train(place: Path, data: str) -> dict:
    words = ["train", data, *TRAIN, "--engine", "ray", "--num-workers", "2"]
    found: dict = {}
    for name in ("whole", "killed"):
        run = place / f"train_{name}"
        subprocess.run(["rm", "-rf", str(run)], check=True)

        def killing(process: subprocess.Popen, run: Path = run) -> None:
            kill_worker(process, "TrainWorker", (run / "resume.safetensors").exists)

        seconds, said = timed(command(*words, "--out", run), killing if name == "killed" else None)
        found[name] = {"seconds": round(seconds, 1), "lost": [line for line in said.splitlines() if line.startswith("lost")]}
    whole, killed = place / "train_whole", place / "train_killed"
    for name in ("best", "last"):
        one, other = (load_file(run / f"{name}.safetensors") for run in (whole, killed))
        found[f"{name}_bits_equal"] = one.keys() == other.keys() and all(
            one[key].tobytes() == other[key].tobytes() for key in one
        )
    found["metrics_equal"] = metrics(whole) == metrics(killed)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["predict", "train"])
    parser.add_argument("place", type=Path)
    parser.add_argument("--num", type=int, default=20_000)
    parser.add_argument("--block", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--model", default="resnet20_cifar10")
    parser.add_argument("--data", default="digits")
    asked = parser.parse_args()
    os.environ["RAY_ADDRESS"] = "local"  # a cluster of its own, whose workers are below the command's process
    asked.place.mkdir(parents=True, exist_ok=True)
    if asked.what == "predict":
        found = predict(asked.place, asked.num, asked.workers, asked.block, asked.model, asked.batch)
    else:
        found = train(asked.place, asked.data)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
