"""How many objects a picture has: `--task grade`, beside guessing and beside counting a detector's boxes.

    python benchmarks/grade.py FOLDER... [--seeds 3] [--time 45s] [--size 96] [--runs DIR] [--out FILE.md]

Each FOLDER has a training and a validation split with boxes (Pascal VOC) or instance masks (images/ and instances/). Its
validation split becomes the test split, which nothing is chosen on; `resnets train` cuts another one from the training split.
Both start from the same bundled weights and train for the same time: grading with `--target-scale log`, the detector at its own
size of inputs. Of the detector's boxes those are counted whose score is at least the threshold with the smallest error on its
validation split. Guesses are the mean and the median of the training split. Runs are processes of their own; finished ones are
not run again.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from resnets.tasks.grade.data import read

WEIGHTS, BOXES = "resnet20_cifar10", "counting a detector's boxes"


def with_test_split(folder: Path, out: Path) -> Path:
    """A folder of links to `folder`, in which its validation split is the test split."""
    lists, links = folder / "ImageSets" / "Main", {}
    if lists.is_dir():
        links = {name: folder / name for name in ("JPEGImages", "Annotations")}
        for split, name in (("train", "train"), ("val", "test")):
            target = out / "ImageSets" / "Main" / f"{name}.txt"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text((lists / f"{split}.txt").read_text(encoding="utf-8"), encoding="utf-8")
    else:
        links = {"train": folder / "train", "test": folder / "val"}
    out.mkdir(parents=True, exist_ok=True)
    for name, source in links.items():
        if not (out / name).exists():
            (out / name).symlink_to(source.resolve())
    return out


def trained(data: Path, task: str, seed: int, out: Path, words: list[str]) -> Path:
    """The run in `out`, made unless it is there."""
    if not (out / "report.html").exists():
        command = [sys.executable, "-m", "resnets", "train", str(data), "--task", task, "--seed", str(seed), "--out", str(out)]
        command += ["--weights", WEIGHTS, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return out


def truths(data: Path) -> dict[str, dict[str, float]]:
    """The number of objects of each picture, by split and path."""
    source = read(str(data), target=None, loss="auto", scale="linear", in_chans=3, labels=None, data_dir=None)
    return {
        name: {split.images.name(i): float(value) for i, value in enumerate(split.targets.values)}
        for name, split in source.splits.items()
    }


def scores(run: Path) -> dict[str, dict[str, list[float]]]:
    """The scores of the boxes that a detector found in each picture, by split and path."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with (run / "predictions.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            own = found[row["split"]][row["path"]]
            if row["answer"]:
                own.append(float(row["score"]))
    return found


def counting_error(found: dict[str, list[float]], known: dict[str, float], threshold: float) -> float:
    """The mean error of the number of boxes with at least this score."""
    return statistics.mean(abs(sum(score >= threshold for score in own) - known[path]) for path, own in found.items())


def measured(folder: Path, runs: Path, seeds: int, time: str, size: int) -> dict[str, list[float]]:
    """The mean error on the test split of every way to count, for each seed."""
    data = with_test_split(folder, runs / "data" / folder.name)
    known = truths(data)
    everyone = {path: count for split in known.values() for path, count in split.items()}
    train, test = (np.array(list(known[split].values())) for split in ("train", "test"))
    errors: dict[str, list[float]] = defaultdict(list)
    errors["guessing the training mean"] = [float(np.abs(test - train.mean()).mean())]
    errors["guessing the training median"] = [float(np.abs(test - np.median(train)).mean())]
    for seed in range(seeds):
        place = runs / folder.name / f"seed{seed}"
        words = ["--time", time]
        graded = trained(data, "grade", seed, place / "grade", [*words, "--target-scale", "log", "--img-size", str(size)])
        errors["grade"].append(json.loads((graded / "evaluation.json").read_text(encoding="utf-8"))["mae"])
        boxes = scores(trained(data, "detect", seed, place / "detect", words))
        steps = [number / 100 for number in range(1, 100)]
        best = min(steps, key=lambda threshold: counting_error(boxes["val"], everyone, threshold))
        errors[BOXES].append(counting_error(boxes["test"], everyone, best))
        told = f"grade {errors['grade'][-1]:.2f}, boxes with a score of {best:.2f} or more {errors[BOXES][-1]:.2f}"
        print(f"{folder.name} seed {seed}: {told}", flush=True)
    return errors


def table(rows: dict[str, dict[str, list[float]]]) -> str:
    """Markdown: a row for every way, a column for every folder; means and standard deviations over seeds."""
    ways = list(next(iter(rows.values())))
    lines = [f"| mean error on the test split | {' | '.join(rows)} |", f"|--|{'--:|' * len(rows)}"]
    for way in ways:
        cells = [
            f"{statistics.mean(own[way]):.2f}" + (f" ± {statistics.stdev(own[way]):.2f}" if len(own[way]) > 1 else "")
            for own in rows.values()
        ]
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--time", default="45s", help="of each training")
    parser.add_argument("--size", type=int, default=96, help="side of the input of grading")
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmark_grade"))
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    rows = {folder.name: measured(folder, asked.runs, asked.seeds, asked.time, asked.size) for folder in asked.folders}
    text = f"{asked.seeds} seeds, {asked.time} each, mean ± standard deviation\n\n{table(rows)}"
    print(text)
    if asked.out:
        asked.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
