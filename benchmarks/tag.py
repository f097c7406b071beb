"""Several labels per picture, on real sets: our training beside a linear probe by scikit-learn on the same network's features.

    python benchmarks/tag.py FOLDER... [--weights resnet20_cifar10] [--seeds 3] [--out FILE.md]

A FOLDER has one of two sets. COCO photographs with boxes: the labels are the categories that at least `--least` of them have; a
third of the photographs, drawn by the seed, is the test split. Or Fashion-MNIST's four idx files, as Debian's package
dataset-fashion-mnist has them: each picture is a collage of 2 x 2 of them, 56 pixels wide, and the labels are the kinds that
are in it; collages to learn from are made of the training pictures, those of the test split of the official test pictures.

Of what is learnt from, `resnets train` cuts its validation split; the probe chooses its penalty there. All start from the same
weights, at the same size of input. The score is mAP on the test split, once for each run. Finished runs are not run again.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import resnets
from resnets import tasks
from resnets.data import splits
from resnets.data.loader import Loader
from resnets.data.sources import open_source
from resnets.data.transforms import replace_size
from resnets.data.types import Split
from resnets.data.workers import BadImages
from resnets.models.answering import run_model

KINDS = ("t-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
PENALTIES = (1e-3, 1e-2, 0.1, 1.0, 10.0)
VAL_FRACTION = 0.2
SIZES = {"coco": 64, "collages": 56}  # of the input, pixels
WAYS = {"`--probe`": ["--probe"], "fine-tuned, BCE": [], "fine-tuned, ASL": ["--loss", "asl"]}


def written(path: Path, rows: Iterator[tuple[Path, list[str], str]]) -> Path:
    """A list of pictures: absolute path, labels, split."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "labels", "split"))
        writer.writerows((picture.resolve(), "|".join(labels), split) for picture, labels, split in rows)
    return path


def photographs(folder: Path, least: int, seed: int) -> Iterator[tuple[Path, list[str], str]]:
    """Of a COCO folder: the categories that `least` photographs have; a third of the photographs for the test split."""
    source = open_source(folder, "tags")
    train = source.splits["train"]
    there = train.targets.values > 0
    often = np.flatnonzero(there.sum(0) >= least)
    is_test = np.random.default_rng(seed).permutation(len(there)) < len(there) / 3
    for index, test in enumerate(is_test.tolist()):
        labels = [source.labels[label] for label in often if there[index, label]]
        yield train.images.path(index), labels, "test" if test else "train"


def collages(folder: Path, num: dict[str, int], seed: int, out: Path) -> Iterator[tuple[Path, list[str], str]]:
    """So many collages of each split, written as PNG."""
    for split, prefix in (("train", "train"), ("test", "t10k")):
        with gzip.open(folder / f"{prefix}-images-idx3-ubyte.gz") as file:
            pictures = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
        with gzip.open(folder / f"{prefix}-labels-idx1-ubyte.gz") as file:
            kinds = np.frombuffer(file.read(), np.uint8, offset=8)
        random = np.random.default_rng([seed, len(split)])
        (out / split).mkdir(parents=True, exist_ok=True)
        for number in range(num[split]):
            # One to four kinds: two cells may hold the same.
            some = random.choice(10, random.integers(1, 5), replace=False)
            cells = [random.choice(np.flatnonzero(kinds == kind)) for kind in random.choice(some, 4)]
            path = out / split / f"{number}.png"
            rows = [np.hstack([pictures[cell] for cell in pair]) for pair in (cells[:2], cells[2:])]
            Image.fromarray(np.vstack(rows)).save(path)
            yield path, sorted({KINDS[kinds[cell]] for cell in cells}), split


def trained(words: list[str], out: Path) -> tuple[float, float]:
    """mAP on the test split, and seconds, of a run that is made unless it is there."""
    if not (out / "report.html").exists():
        words = [*words, "--out", str(out), *(["--resume"] if (out / "recipe.yaml").exists() else [])]
        done = subprocess.run([sys.executable, "-m", "resnets", "train", *words], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
    told = json.loads((out / "provenance.json").read_text())
    return told["result"]["map"], told["seconds"]


def features(model: resnets.models.model.Model, split: Split, size: int) -> np.ndarray:
    """(N, num_features), pooled, as evaluation fits the pictures."""
    preprocess = replace_size(model.preprocess, (size, size))
    samples = tasks.get("tag").samples(split, preprocess, 0)
    batches = Loader(samples=samples, batch_size=64, bad=BadImages(0)).epoch(0)
    return np.concatenate([run_model(model, batch.images.numpy()) for batch in batches])


def probed(data: Path, weights: str, size: int, seed: int) -> tuple[float, float]:
    """mAP on the test split of scikit-learn's logistic regression, a label each, on the features of `weights`; and seconds."""
    began = time.perf_counter()
    source = splits.cut_val(open_source(data, "tags"), VAL_FRACTION, seed)
    model = resnets.load(weights)
    model.reset_classifier(0)
    found = {name: (features(model, split, size), split.targets.values) for name, split in source.splits.items()}
    best = (-1.0, -1.0)
    for penalty in PENALTIES:
        each = OneVsRestClassifier(LogisticRegression(C=penalty, max_iter=1000))
        fitted = make_pipeline(StandardScaler(), each).fit(*found["train"])
        best = max(best, tuple(precision(fitted.predict_proba(found[name][0]), found[name][1]) for name in ("val", "test")))
    return best[1], time.perf_counter() - began


def precision(scores: np.ndarray, targets: np.ndarray) -> float:
    """The mean over labels of the average precision, without those that all or none of the pictures have."""
    known = (targets.sum(0) > 0) & (targets.sum(0) < len(targets))
    return float(average_precision_score(targets[:, known], scores[:, known], average="macro"))


def measured(folder: Path, options: argparse.Namespace) -> Iterator[str]:
    """The lines of the table of one set."""
    name = "coco" if (folder / "annotations").is_dir() else "collages"
    found: dict[str, list[tuple[float, float]]] = {}
    for seed in range(options.seeds):
        runs = options.runs / f"{name}_{seed}"
        if name == "coco":
            data = written(runs / "list.csv", photographs(folder, options.least, seed))
        else:
            num = {"train": options.num_train, "test": options.num_test}
            data = written(runs / "list.csv", collages(folder, num, seed, runs))
        source = open_source(data, "tags")
        chance = float(np.mean(source.splits["test"].targets.values.mean(0)))
        row = {"share of the pictures with a label (chance)": (chance, 0.0)}
        row["linear probe (scikit-learn)"] = probed(data, options.weights, SIZES[name], seed)
        for number, (way, words) in enumerate(WAYS.items()):
            more = [*words, "--task", "tag", "--weights", options.weights, "--img-size", str(SIZES[name]), "--seed", str(seed)]
            more += ["--val-fraction", str(VAL_FRACTION), *([] if "--probe" in words else ["--steps", str(options.steps)])]
            row[way] = trained([str(data), *more], runs / f"run{number}")
        for way, (score, seconds) in row.items():
            print(f"{name}, seed {seed}, {way}: mAP {score:.4f}, {seconds:.0f} s", flush=True)
            found.setdefault(way, []).append((score, seconds))
    sizes = ", ".join(f"{len(split):,} {part}" for part, split in source.splits.items())
    yield f"{name}: {len(source.labels)} labels; {sizes}; {options.seeds} seeds, {options.weights} at {SIZES[name]} pixels"
    yield from (
        "",
        "| test mAP, % | " + " | ".join(f"seed {seed}" for seed in range(options.seeds)) + " | mean ± deviation | seconds |",
    )
    yield "|" + "--|" * (options.seeds + 3)
    for way, each in found.items():
        scores, seconds = ([pair[i] for pair in each] for i in (0, 1))
        deviation = statistics.stdev(scores) if len(scores) > 1 else float("nan")
        cells = [*(f"{100 * score:.2f}" for score in scores), f"{100 * statistics.mean(scores):.2f} ± {100 * deviation:.2f}"]
        yield f"| {way} | {' | '.join(cells)} | {statistics.median(seconds):.0f} |"
    yield ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--weights", default="resnet20_cifar10")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=250, help="of each training")
    parser.add_argument("--least", type=int, default=6, help="photographs of a category")
    parser.add_argument("--num-train", type=int, default=2000, help="collages to learn from")
    parser.add_argument("--num-test", type=int, default=1000, help="collages of the test split")
    parser.add_argument("--runs", type=Path, default=Path("runs/tag_benchmark"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    text = "\n".join(line for folder in options.folders for line in measured(folder, options))
    print(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
