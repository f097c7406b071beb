"""From few pictures a class: a network from scratch, a linear probe, and fine-tuning, over several draws of the pictures.

    python benchmarks/transfer.py FOLDER --weights MODEL [--shots 5] [--seeds 5] [--runs DIR] [--out FILE.md]

FOLDER holds a folder a class, or is a Pascal VOC set, whose boxes are then cut out as pictures (`--voc`). For each seed so many
`--shots` of a class are drawn to learn from; the others, at most `--most` a class, are the test split, scored once at the end
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
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from resnets.saved import find
from resnets.weights import read_header

LEAST = 16  # pixels of a box's shorter side


def cut_boxes(voc: Path, out: Path) -> Path:
    """The boxes of a Pascal VOC set as pictures, square with a margin of a tenth, in a folder for each name."""
    for file in sorted((voc / "Annotations").glob("*.xml")):
        with Image.open(voc / "JPEGImages" / f"{file.stem}.jpg") as whole:
            for number, found in enumerate(ElementTree.parse(file).iter("object")):
                left, top, right, bottom = (int(found.findtext(f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax"))
                if min(right - left, bottom - top) < LEAST:
                    continue
                half = 0.55 * max(right - left, bottom - top)
                x, y = (left + right) / 2, (top + bottom) / 2
                path = out / found.findtext("name") / f"{file.stem}_{number:03}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                whole.convert("RGB").crop(tuple(round(edge) for edge in (x - half, y - half, x + half, y + half))).save(path)
    return out


def draw(folder: Path, shots: int, most: int, seed: int, out: Path) -> Path:
    """A CSV list of `folder`: of each class `shots` pictures to learn from and at most `most` others for the test split."""
    random = np.random.default_rng(seed)
    rows = []
    for kind in sorted(path for path in folder.iterdir() if path.is_dir()):
        paths = sorted(path for path in kind.iterdir() if path.is_file())
        order = random.permutation(len(paths))[: shots + most]
        rows += [(paths[at].resolve(), kind.name, "train" if place < shots else "test") for place, at in enumerate(order)]
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
    parser.add_argument("--voc", action="store_true")
    parser.add_argument("--weights", required=True)
    parser.add_argument("--shots", type=int, default=5)
    parser.add_argument("--most", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--runs", type=Path, default=Path("runs/transfer"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    runs = options.runs / options.folder.name
    folder = cut_boxes(options.folder, runs / "boxes") if options.voc and not (runs / "boxes").is_dir() else options.folder
    folder = runs / "boxes" if options.voc else folder
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
