"""Series of the UCR and UEA archives by `resnet10_wang` and the default recipe, beside what is published for that network.

    python benchmarks/signals.py SETS [-o FILE] [--seeds 5] [--only NAME]

SETS is a folder with NAME_TRAIN.ts and NAME_TEST.ts; those of the five sets below come with the package `aeon` (datasets/data).
Each finished run is a line of FILE.jsonl, and is not made again. Each network trains on all training series; the last weights
count, so that the test split chooses nothing. A few of the training series stand for the validation split, which a run needs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import resnets
from resnets.data.series.rows import read_ts
from resnets.engine.run import RunDir

# Fawaz et al. 2019 (arXiv 1809.04356), tables of the appendix: mean and standard deviation over ten runs, in percent.
PUBLISHED = {
    "ItalyPowerDemand": (96.3, 0.4),
    "JapaneseVowels": (99.2, 0.3),
    "GunPoint": (99.1, 0.7),
    "ArrowHead": (84.5, 1.2),
    "OSULeaf": (97.9, 0.8),
}
# What is given to `resnets.train`: the last weights count, or those of the lowest training loss; the test split chooses none.
RECIPES: dict[str, dict[str, Any]] = {"default": {"select": "last"}, "fawaz2019": {"recipe": "fawaz2019"}}
EVERY = 8  # of the training series one stands for validation


def run(folder: Path, name: str, seed: int, recipe: str) -> dict[str, object]:
    """One training and its accuracy on the test split."""
    train, test = (read_ts(folder / f"{name}_{split}.ts") for split in ("TRAIN", "TEST"))
    few = list(range(0, len(train.values), EVERY))
    data = {
        "train": (train.values, train.labels),
        "val": ([train.values[at] for at in few], [train.labels[at] for at in few]),
        "test": (test.values, test.labels),
    }
    out, began = Path(tempfile.mkdtemp(prefix="signals-")), time.perf_counter()
    common: dict[str, Any] = {"dims": 1, "seed": seed, "device": "cpu", "workers": 0, "out": out / "run", "progress": False}
    try:
        done = resnets.train(data, **common, **RECIPES[recipe])
        last = RunDir(out / "run").read_metrics()[-1]
    finally:
        shutil.rmtree(out, ignore_errors=True)
    return {
        "set": name,
        "recipe": recipe,
        "seed": seed,
        "accuracy": done.result["top1"],
        "num_train": len(train.values),
        "num_test": len(test.values),
        "num_classes": len(set(train.labels)),
        "channels": len(train.values[0]),
        "length": max(series.shape[1] for series in train.values),
        "steps": int(last["step"]),
        "seconds": round(time.perf_counter() - began, 1),
        "versions": {"torch": torch.__version__, "resnets": resnets.__version__},
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The page."""
    lines = [
        "# Series of UCR and UEA",
        "",
        f"`python benchmarks/signals.py SETS`: {platform.machine()}, processors shared with other work (minutes say little),",
        f"torch {torch.__version__}, float32. `resnet10_wang`, trained on all series by the default recipe (AdamW,",
        "one cycle, labels smoothed, weights averaged, at least 1,500 steps; the last weights count) or `--recipe fawaz2019`",
        "(1,500 epochs; those of the lowest training loss), so that the test split chooses nothing. Published: Fawaz et al.",
        "2019 (arXiv 1809.04356), a residual network after 1,500 epochs, mean and standard deviation of ten runs.",
        "",
        "| set | train / test | classes | channels x length | recipe | steps | minutes | ours (%) | seeds | published (%)"
        " | apart |",
        "|--|--|--|--|--|--|--|--|--|--|--|",
    ]
    each = []
    for (name, (mean, deviation)), recipe in itertools.product(PUBLISHED.items(), RECIPES):
        own = [row for row in rows if (row["set"], row["recipe"]) == (name, recipe)]
        if not own:
            continue
        scores, first = 100 * np.array([row["accuracy"] for row in own], np.float64), own[0]
        spread = f" ({scores.std(ddof=1):.1f})" if len(own) > 1 else ""
        minutes = np.median([row["seconds"] for row in own]) / 60
        cells = (
            *(name, f"{first['num_train']} / {first['num_test']}", first["num_classes"]),
            *(f"{first['channels']} x {first['length']}", recipe, f"{first['steps']:,}", f"{minutes:.1f}"),
            *(f"{scores.mean():.1f}{spread}", len(own), f"{mean} ({deviation})", f"{scores.mean() - mean:+.1f}"),
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
        each.append(f"{name} ({recipe}) {', '.join(f'{score:.2f}' for score in scores)}")
    return "\n".join([*lines, "", f"Each run: {'; '.join(each)}.", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("sets", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("benchmarks/signals.md"))
    parser.add_argument("--kept", type=Path, help="where finished runs are kept, a line each  [OUT with .jsonl]")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", choices=list(PUBLISHED))
    parser.add_argument("--recipe", choices=list(RECIPES), default="default")
    parser.add_argument("--table", action="store_true", help="write the page of what is there, and run nothing")
    given = parser.parse_args()
    kept = given.kept or given.out.with_suffix(".jsonl")
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    done = {(row["set"], row["recipe"], row["seed"]) for row in rows}
    for seed in range(0 if given.table else given.seeds):
        for name in [given.only] if given.only else PUBLISHED:
            if (name, given.recipe, seed) not in done:
                rows.append(run(given.sets, name, seed, given.recipe))
                with kept.open("a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
                given.out.write_text(table(rows))
                print(rows[-1]["set"], seed, f"{rows[-1]['accuracy']:.4f}", rows[-1]["seconds"], flush=True)
    given.out.write_text(table(rows))


if __name__ == "__main__":
    main()
