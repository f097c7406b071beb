"""How good is CIFAR-10 after one minute, ten minutes, an hour of a processor? Runs an entry of the board, and writes its page.

    python benchmarks/cpu_speed_board.py DATASETS --time 10m [--way resnets] [--seeds 5] [--threads 2]
    python benchmarks/cpu_speed_board.py --page

DATASETS holds cifar-10-batches-bin/. Every run is a process of its own, one after the other; nothing else may run, and how much
of the processors other programs took is a column. Each finished run is a line of cpu_speed_board.jsonl, and is not made again;
others add their lines there by a pull request. The page with the rules, cpu_speed_board.md, and its picture come of them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from verbs import busy, is_real, shares

import resnets
from resnets.data.machine import cpu_name
from resnets.draw import curves
from resnets.engine.run import RunDir
from resnets.engine.settings import parse_duration
from resnets.files import read_yaml

HERE = Path(__file__)
WAYS = {
    "resnets": "",  # what `--time` chooses
    "ResNet-20": "--model resnet20_cifar",
    "the usual recipe": "--model resnet20_cifar --recipe he2015",
}
FLIPS = "eval run cifar10 --tta --amp"  # after it
LATE = 1.05  # times the time that was asked for
BUSY = 0.05  # of the processors that others took
RULES = f"""# Processors against the clock: CIFAR-10

The accuracy on the 10,000 test pictures after a given time of a processor. No record on processors was published when this
board was opened (30 November 2026); on graphics cards 94 % takes two seconds.

![Test accuracy over time](cpu_speed_board.png)

## Rules

1. The clock runs from the start of the command until it has ended: imports, reading the data (which lie on the disk, not
   downloaded), compilation, training, validation and the answers to the test pictures. A run that takes more than {LATE} times
   its time does not count.
2. All 50,000 training pictures may be used, and nothing else: no other pictures, no trained weights. Their part that validates
   is the entry's choice.
3. The test pictures choose nothing: they are answered once, by the last weights or those that validation chose. Answers
   averaged over flips or shifts of a picture are fine.
4. Nothing else runs on the machine, whose processor, cores and instructions are named. A run beside which other programs took
   more than {BUSY:.0%} does not count.
5. Three seeds or more make an entry, five a record; one is listed as what it is. Mean and standard deviation over seeds.
6. Answers averaged over flips are a column of their own: `resnets {FLIPS}` after the run, whose seconds are in
   `seconds_flips` of the lines. They may take the time that a run may be late.
7. The command is given, and whoever runs it gets the network, the recipe and the accuracy.

To add an entry, run `python benchmarks/cpu_speed_board.py DATASETS --time 10m` and send the lines that it adds to
`cpu_speed_board.jsonl`; other software adds the same fields.

## Entries
"""


def run(datasets: Path, way: str, asked: str, seed: int, threads: int | None) -> dict[str, Any]:
    """One training, and what it cost; then its test pictures once more, with flips averaged."""
    words = ["train", "cifar10", *shlex.split(WAYS[way]), "--time", asked, "--seed", str(seed), "--data-dir", str(datasets)]
    words += ["--threads", str(threads)] if threads else []
    with tempfile.TemporaryDirectory(prefix="board-") as folder:
        out, before, began, cost = Path(folder, "run"), busy(), time.perf_counter(), os.times()
        done = subprocess.run(
            [sys.executable, "-m", "resnets", *words, "--out", str(out)], capture_output=True, text=True, check=False
        )
        seconds, other = time.perf_counter() - began, shares(before, busy())
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        spent, kept = os.times(), RunDir(out)
        told, recipe, last = kept.read_provenance(), read_yaml(kept.recipe), kept.read_metrics()[-1]
        began = time.perf_counter()
        flips = subprocess.run(
            [sys.executable, "-m", "resnets", *shlex.split(FLIPS), "--json", "--data-dir", str(datasets.resolve())],
            capture_output=True, text=True, check=True, cwd=folder,
        )  # fmt: skip
        more = time.perf_counter() - began
    return {
        "way": way,
        "command": shlex.join(["resnets", *words[:2], *shlex.split(WAYS[way]), "--time", asked]),
        "time": asked,
        "seed": seed,
        "accuracy": told["result"]["top1"],
        "accuracy_val": last["val_top1"],
        "accuracy_flips": json.loads(flips.stdout)["top1"],
        "seconds": round(seconds, 1),
        "seconds_flips": round(seconds + more, 1),
        "processor_seconds": round(spent.children_user + spent.children_system - cost.children_user - cost.children_system, 1),
        "others": round(sum(other.values()), 4),
        "network": recipe["model"] + (f", width {recipe['width']}" if recipe.get("width") else ""),
        "precision": recipe["precision"],
        "epochs": int(last["epoch"]),
        "machine": cpu_name(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "processors": threads or len(os.sched_getaffinity(0)),
        "versions": {"resnets": resnets.__version__, "torch": torch.__version__},
    }


def entries(rows: Iterable[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Runs that differ in the seed alone, by time and accuracy."""
    kinds = ("machine", "instructions", "precision", "processors", "way", "time")

    def kind(row: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(row[name] for name in kinds)

    groups = [list(group) for _, group in itertools.groupby(sorted(rows, key=kind), kind)]
    return sorted(groups, key=lambda group: (parse_duration(group[0]["time"]), -mean_of(group)))


def counts(row: dict[str, Any]) -> bool:
    """Whether a run is by the rules."""
    return row["seconds"] <= LATE * parse_duration(row["time"]) and row["others"] <= BUSY


def mean_of(group: list[dict[str, Any]], name: str = "accuracy") -> float:
    return 100 * statistics.mean(row[name] for row in group)


def spread_of(group: list[dict[str, Any]], name: str = "accuracy") -> float:
    return 100 * statistics.stdev(row[name] for row in group) if len(group) > 1 else 0.0


def figure(group: list[dict[str, Any]], name: str = "accuracy") -> str:
    """Mean and deviation, in percent."""
    return f"{mean_of(group, name):.1f}" + (f" ({spread_of(group, name):.1f})" if len(group) > 1 else "")


def page(rows: list[dict[str, Any]]) -> str:
    left_out = [
        f"- `{row['command']}`, seed {row['seed']}: {row['seconds']:.0f} s, others {row['others']:.1%}"
        for row in rows
        if not counts(row)
    ]
    names = ("time", "accuracy (%)", "flips averaged", "seeds", "network, epochs", "machine", "took, s (processors)")
    lines = [f"| {' | '.join((*names, 'others', 'command'))} |", "|--" * (len(names) + 2) + "|"]
    for group in entries(filter(counts, rows)):
        first, flips = group[0], all(row.get("seconds_flips", math.inf) <= LATE * parse_duration(row["time"]) for row in group)
        middle = {name: statistics.median(row[name] for row in group) for name in ("epochs", "seconds", "processor_seconds")}
        cells = (
            *(first["time"], figure(group), figure(group, "accuracy_flips") if flips else "", len(group)),
            f"{first['network']}, {middle['epochs']:.0f}",
            f"{first['processors']} cores of {first['machine']}, {first['instructions']}, {first['precision']}",
            f"{middle['seconds']:.0f} ({middle['processor_seconds']:.0f})",
            *(f"{max(row['others'] for row in group):.1%}", f"`{first['command']}`"),
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    more = ["", "Runs that do not count:", "", *left_out] if left_out else []
    return "\n".join([RULES, *lines, *more, ""])


def draw(rows: list[dict[str, Any]]) -> None:
    groups = entries(filter(counts, rows))
    curves.points(
        [statistics.median(row["seconds"] for row in group) / 60 for group in groups],
        [mean_of(group) for group in groups],
        [f"{group[0]['way']}, {group[0]['instructions']}" for group in groups],
        HERE.with_suffix(".png"),
        spreads=[spread_of(group) for group in groups],
        filled=[group[0]["way"] == "resnets" for group in groups],
        x_name="minutes",
        y_name="test accuracy of CIFAR-10 (%)",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", type=Path, nargs="?")
    parser.add_argument("--time", default="10m")
    parser.add_argument("--way", choices=list(WAYS), default="resnets")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, help="[the command's own choice]")
    parser.add_argument("--page", action="store_true", help="write the page of what is there, and run nothing")
    given = parser.parse_args()
    kept = HERE.with_suffix(".jsonl")
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    if not given.page and (given.datasets is None or not is_real(given.datasets)):
        parser.error("DATASETS: give a folder with CIFAR-10's official files, cifar-10-batches-bin/")
    own = {"machine": cpu_name(), "instructions": torch.backends.cpu.get_cpu_capability(), "way": given.way, "time": given.time}
    there = {row["seed"] for row in rows if own.items() <= row.items()}
    for seed in sorted(set(range(0 if given.page else given.seeds)) - there):
        rows.append(run(given.datasets, given.way, given.time, seed, given.threads))
        with kept.open("a") as file:
            file.write(json.dumps(rows[-1]) + "\n")
        print({name: rows[-1][name] for name in ("way", "time", "seed", "accuracy", "seconds", "epochs", "others")}, flush=True)
    HERE.with_suffix(".md").write_text(page(rows))
    draw(rows)


if __name__ == "__main__":
    main()
