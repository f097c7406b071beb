"""What a GPU makes of resnets: the clock of CIFAR-10, a step of ResNet-50 beside the peak, and ResNet-20 of the paper.

    python benchmarks/gpu.py DATASETS [--rows "CIFAR-10, 96 %" ...] [--tiny] [--out gpu]

DATASETS holds cifar-10-batches-bin/. Every row is a command of `resnets`, in a process of its own, one after the other; what
ended is a line of OUT.jsonl, and OUT.md is written after each, so that little is lost where a machine is lent for minutes.
`--tiny` runs every row for a few steps, on any device: it shows that they run, and its figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import resnets
from resnets import tasks
from resnets.engine import device as devices
from resnets.engine.run import RunDir
from resnets.models import zoo


def trained(words: list[str], datasets: Path, folder: Path) -> dict[str, Any]:
    """The test accuracy of a run, and the seconds of its steps with validation, beside those of the process."""
    run = RunDir(folder / "run")
    resnet(["train", "cifar10", *words, "--data-dir", str(datasets), "--out", str(run.path)])
    seconds = run.read_metrics()[-1]["seconds"]  # since the start of the training
    return {"accuracy": run.read_provenance()["result"]["top1"], "training_seconds": seconds}


def stepped(words: list[str], datasets: Path, folder: Path) -> dict[str, Any]:
    """Pictures a second of each row of `resnets bench train`, and which part of the peak of matrix products ours is."""
    table = folder / "bench.json"
    resnet(["bench", "train", "--data", "synthetic", *words, "--out", str(table)])
    told = json.loads(table.read_text())
    rates = {row["row"]: row["pictures_per_second"] for row in told["rows"]}
    spec = zoo.get(words[words.index("--model") + 1])
    flops = 6 * spec.num_macs(spec.img_size) * rates["resnets"]  # backward costs twice as much as forward
    return {"rates": rates, "tflops": flops / 1e12, "of_peak": flops / devices.peak_flops(used())}


def used() -> devices.Device:
    """The device that `resnets train` chooses here, with its precision."""
    return devices.choose(tasks.settings(tasks.DEFAULT)())


def repeated(words: list[str], datasets: Path, folder: Path) -> dict[str, Any]:
    """The errors of an item of `resnets paper`."""
    resnet(["paper", "table6", *words, "--data-dir", str(datasets), "--out", str(folder)])
    (file,) = folder.glob("items/*/table6/result.json")
    return {"tables": json.loads(file.read_text())["tables"]}


@dataclass(frozen=True)
class Row:
    """A command, what it is to reach, and the same in a few steps."""

    measure: Callable[[list[str], Path, Path], dict[str, Any]]
    words: str
    aim: str
    tiny: str


ROWS = {
    "CIFAR-10, 96 %": Row(
        trained,
        "--model resnet18 --stem small --epochs 30",
        "0.96 in 180 s",
        "--model resnet18 --stem small --width 8 --steps 4 --img-size 8",
    ),
    "CIFAR-10, 94 %": Row(
        trained,
        "--model resnet8_cifar --epochs 10",
        "0.94 in 10 s of training",
        "--model resnet8_cifar --width 8 --steps 4 --img-size 8",
    ),
    "CIFAR-10, a minute": Row(
        trained, "--time 1m", "the best of a minute", "--model resnet8_cifar --width 8 --img-size 8 --time 1m"
    ),
    "ResNet-50 at 224": Row(
        stepped,
        "--model resnet50 --steps 40 --rows convolutions-alone,torchvision-bf16,timm-bf16,resnets",
        "0.5 of the peak",
        "--model resnet50 --steps 1 --rounds 1 --rows resnets",
    ),
    "table 6": Row(repeated, "--scale full --seeds 1 --depths 20", "8.75 % error", "--scale tiny --depths 20"),
}


def resnet(words: list[str]) -> None:
    print(f"$ resnets {shlex.join(words)}", flush=True)
    subprocess.run([sys.executable, "-m", "resnets", *words], check=True)


def measured(name: str, datasets: Path, tiny: bool) -> dict[str, Any]:
    row = ROWS[name]
    words = shlex.split(row.tiny if tiny else row.words)
    with tempfile.TemporaryDirectory(prefix="gpu-") as folder:
        began = time.perf_counter()
        found = row.measure(words, datasets, Path(folder))
        seconds = time.perf_counter() - began
    versions = {"resnets": resnets.__version__, "torch": torch.__version__}
    return {"row": name, "aim": row.aim, "words": shlex.join(words), "seconds": round(seconds, 1), **found} | {
        "machine": used().name,
        "tiny": tiny,
        "versions": versions,
    }


def page(rows: list[dict[str, Any]]) -> str:
    lines = ["| row | aim | found | seconds of the process | machine | settings |", "|--|--|--|--:|--|--|"]
    known = ("row", "aim", "words", "seconds", "machine", "tiny", "versions")
    for row in rows:
        found = "; ".join(f"{name} {told(value)}" for name, value in row.items() if name not in known)
        name = f"{row['row']} (tiny: means nothing)" if row["tiny"] else row["row"]
        lines.append(f"| {name} | {row['aim']} | {found} | {row['seconds']} | {row['machine']} | `{row['words']}` |")
    return "\n".join([*lines, ""])


def told(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {told(each)}" for name, each in value.items())
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", type=Path)
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(""))
    given = parser.parse_args()
    kept = given.out.with_suffix(".jsonl")
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    failed = []
    for name in given.rows:
        try:
            rows.append(measured(name, given.datasets, given.tiny))
        except subprocess.CalledProcessError as error:  # the other rows are worth having
            failed.append(f"{name}: {error}")
            continue
        with kept.open("a") as file:
            file.write(json.dumps(rows[-1]) + "\n")
        given.out.with_suffix(".md").write_text(page(rows))
    sys.exit("\n".join(failed) or None)


if __name__ == "__main__":
    main()
