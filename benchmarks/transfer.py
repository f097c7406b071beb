"""From few pictures a class: a network from scratch, a linear probe, and fine-tuning, over several draws of the pictures.

    python benchmarks/transfer.py FOLDER --weights MODEL [--shots 5] [--seeds 5] [--runs DIR] [--out FILE.md]

FOLDER holds a folder a class. Or it holds train/ and val/ with images/ and masks/ of scenes: then the pictures are squares of
48 pixels that are mostly of one class, and the task is to tell that class. For each seed so many `--shots` of a class are
drawn to learn from; the others (of scenes, those of val/), at most `--most` a class, are the test split, scored once at the end
of each run. Of what is learnt from, `resnets train` cuts its validation split. Scratch is the same network at the same size of
input, by the recipe that it would have without weights. Runs are processes of their own; finished ones are not run again.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from resnets.models.header import find
from resnets.models.weights import read_header

SIDE, MOSTLY = 48, 0.6  # of a square in pixels; the share of it that is of its class


def squares(scenes: Path) -> Iterator[tuple[Image.Image, int, str]]:
    """The squares of a split of scenes that are mostly of one class: each with that class and a name."""
    for path in sorted((scenes / "masks").glob("*.png")):
        mask = np.asarray(Image.open(path))
        with Image.open(next((scenes / "images").glob(f"{path.stem}.*"))) as picture:
            for top in range(0, mask.shape[0] - SIDE + 1, SIDE):
                for left in range(0, mask.shape[1] - SIDE + 1, SIDE):
                    classes, counts = np.unique(mask[top : top + SIDE, left : left + SIDE], return_counts=True)
                    if counts.max() > MOSTLY * SIDE**2:
                        square = picture.convert("RGB").crop((left, top, left + SIDE, top + SIDE))
                        yield square, int(classes[counts.argmax()]), f"{path.stem}_{top}_{left}.png"


def cut_squares(folder: Path, out: Path) -> None:
    """Write out/{train,val}/<class>/<name>.png of the scenes in `folder`."""
    for split in ("train", "val"):
        for square, kind, name in squares(folder / split):
            path = out / split / f"{kind:02}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            square.save(path)


def pictures(folder: Path, shots: int) -> dict[str, list[Path]]:
    """The pictures of each class that has more than `shots`."""
    found = {kind.name: sorted(kind.iterdir()) for kind in sorted(folder.iterdir()) if kind.is_dir()}
    return {kind: paths for kind, paths in found.items() if len(paths) > shots}


def draw(folder: Path, shots: int, most: int, seed: int, out: Path) -> Path:
    """A CSV list of `folder`: of each class `shots` pictures to learn from and at most `most` others for the test split."""
    random = np.random.default_rng(seed)
    apart = (folder / "val").is_dir()
    known = pictures(folder / "train" if apart else folder, shots)
    unseen = pictures(folder / "val", shots) if apart else known
    rows: list[tuple[object, ...]] = []
    for kind in sorted(known.keys() & unseen.keys()):
        mixed = random.permutation(np.array(known[kind], dtype=object))
        others = random.permutation(np.array(unseen[kind], dtype=object)) if apart else mixed[shots:]
        rows += [(path.resolve(), kind, "train") for path in mixed[:shots]]
        rows += [(path.resolve(), kind, "test") for path in others[:most]]
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "label", "split"), *rows])
    return out


def scored(words: list[str], out: Path) -> tuple[float, float]:
    """Test accuracy in per cent, and seconds of the whole command, of a run that is made unless it is there."""
    if not (out / "report.html").exists():
        words = [*words, "--out", str(out), *(["--resume"] if (out / "recipe.yaml").exists() else [])]
        done = subprocess.run([sys.executable, "-m", "resnets", "train", *words], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
    told = json.loads((out / "provenance.json").read_text())
    return 100 * told["result"]["top1"], told["seconds"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--shots", type=int, default=5)
    parser.add_argument("--most", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--runs", type=Path, default=Path("runs/transfer"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    runs = options.runs / options.folder.name
    folder = options.folder
    if (folder / "train" / "masks").is_dir():
        if not (runs / "squares").is_dir():
            cut_squares(folder, runs / "squares")
        folder = runs / "squares"
    header = read_header(find(options.weights))
    size = str(header.preprocess.size[0])
    ways = {
        "from scratch": ["--model", header.spec.name, "--img-size", size],
        "linear probe": ["--weights", options.weights, "--probe"],
        "fine-tuned": ["--weights", options.weights],
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for seed in range(options.seeds):
        data = draw(folder, options.shots, options.most, seed, runs / f"{options.shots}_{seed}.csv")
        for number, (name, words) in enumerate(ways.items()):
            out = runs / f"{options.shots}_{seed}_{number}"
            found[name].append(scored([str(data), *words, "--seed", str(seed)], out))
            print(f"seed {seed}, {name}: {found[name][-1][0]:.2f} %, {found[name][-1][1]:.0f} s", flush=True)
    lines = [
        f"{options.folder.name}: {options.shots} pictures a class to learn from, {options.seeds} draws; "
        f"{Path(options.weights).name} ({header.spec.name}, {size} x {size}); test accuracy, mean and deviation",
        "",
        "| | test accuracy | deviation | seconds |",
        "|--|--|--|--|",
    ]
    for name, each in found.items():
        scores, seconds = zip(*each, strict=True)
        lines.append(
            f"| {name} | {statistics.mean(scores):.2f} % | {statistics.stdev(scores):.2f} | {statistics.median(seconds):.0f} |"
        )
    text = "\n".join(lines) + "\n"
    print(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
