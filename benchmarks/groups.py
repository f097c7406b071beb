"""What a random split promises, and what a grouped one finds: the same pictures, split both ways, over several seeds.

    python benchmarks/groups.py --faces FOLDER --camvid FOLDER [--seeds 5] [--epochs N] [--every 1] [--out FILE.md]

Faces (a folder a person, as ORL's) get a class that means nothing: of each seed, half of the people are "a", drawn at random.
What is right more often than half of the time about people never seen has been told who they are. CamVid ({train,val}/{images,
masks}, names that begin with the sequence) is cut into squares of 120 pixels that are to be told by their commonest class. Each
is validated on a third of the pictures, in three folds, as by `resnets train --folds 3` with and without `--group-by`.

The head alone is fitted (`--probe`, one penalty, so that nothing is chosen on validation) on the bundled resnet20_cifar10;
with `--epochs` all of the network is fine-tuned. The table has the mean and the standard deviation over the seeds of the
accuracy of a seed, that of its three folds together, and what `resnets data check` says of the split of the first fold.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

import resnets
from resnets.data.check import check
from resnets.data.groups import grouped
from resnets.data.sources import open_source
from resnets.data.splits import cut_fold

SIDE, MOSTLY = 120, 0.5  # of a square, in pixels; the share of it that its commonest class has at least
LEAST = 10  # squares of a class in each sequence
FOLDS = 3
WEIGHTS = "resnet20_cifar10"


class Case(NamedTuple):
    """Data for a seed, and the ways to split it: in words, and as `group_by`."""

    name: str
    make: Callable[[int], Path]  # (seed) -> the path of the data
    ways: tuple[tuple[str, str | None], ...]


def faces(folder: Path, work: Path, seed: int) -> Path:
    """A list of the pictures of all people, half of whom, drawn by the seed, are "a"."""
    people = sorted(path.name for path in folder.iterdir() if path.is_dir())
    first = set(np.random.default_rng(seed).permutation(people)[: len(people) // 2])
    rows = [
        (path.resolve(), "a" if person in first else "b", person)
        for person in people
        for path in sorted((folder / person).iterdir())
    ]
    return written(work / f"faces{seed}.csv", ("path", "label", "person"), rows)


def squares(folder: Path, work: Path, every: int) -> Path:
    """A list of squares of every so-many-th scene, of the classes that all sequences have."""
    found = []
    for split in ("train", "val"):
        for path in sorted((folder / split / "masks").glob("*.png"))[::every]:
            found += list(cut(folder / split / "images" / f"{path.stem}.jpg", path, work / "squares"))
    sequences = {path.name.partition("_")[0] for path, _ in found}
    counts: dict[tuple[str, int], int] = {}
    for path, kind in found:
        key = path.name.partition("_")[0], kind
        counts[key] = counts.get(key, 0) + 1
    kept = [(path, kind) for path, kind in found if all(counts.get((name, kind), 0) >= LEAST for name in sequences)]
    return written(work / "squares.csv", ("path", "label"), [(path.resolve(), f"class {kind}") for path, kind in kept])


def cut(picture: Path, mask: Path, out: Path) -> Iterator[tuple[Path, int]]:
    """Write the squares of a scene; each with its commonest class."""
    out.mkdir(parents=True, exist_ok=True)
    values = np.asarray(Image.open(mask))
    with Image.open(picture) as image:
        for top in range(0, values.shape[0] - SIDE + 1, SIDE):
            for left in range(0, values.shape[1] - SIDE + 1, SIDE):
                kinds, counts = np.unique(values[top : top + SIDE, left : left + SIDE], return_counts=True)
                if counts.max() >= MOSTLY * SIDE**2:
                    path = out / f"{mask.stem}_{top}_{left}.png"
                    image.crop((left, top, left + SIDE, top + SIDE)).save(path)
                    yield path, int(kinds[counts.argmax()])


def written(path: Path, head: tuple[str, ...], rows: list[tuple[object, ...]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *rows])
    return path


def accuracy(data: Path, by: str | None, seed: int, epochs: int | None, work: Path) -> float:
    """Of all pictures, each answered by the fold that was not trained on it."""
    how: dict[str, Any] = {"probe": True, "probe_c": 0.1} if epochs is None else {"epochs": epochs}
    hits = total = 0.0
    for fold in range(1, FOLDS + 1):
        with tempfile.TemporaryDirectory(dir=work) as folder:
            result = resnets.train(
                str(data), out=Path(folder) / "run", weights=WEIGHTS, folds=FOLDS, fold=fold, group_by=by, seed=seed,
                select="last", **how,
            ).result  # fmt: skip
        hits, total = hits + result["top1"] * result["num_images"], total + result["num_images"]
    return hits / total


def said(data: Path, by: str | None) -> str:
    """What `resnets data check` finds wrong with the split of the first fold, which is then taken as given."""
    source = cut_fold(grouped(open_source(data), by), FOLDS, 1)
    given = {name: dataclasses.replace(split, groups=None) for name, split in source.splits.items()}
    findings = [one for one in check(dataclasses.replace(source, splits=given)).findings if "group" in one.text]
    told = [f"{one.level} `{one.kind}`: {' '.join(one.text.split(';')[0].split(',')[0].split())}" for one in findings]
    return "; ".join(told) or "nothing"


def commonest(data: Path) -> float:
    codes = open_source(data).splits["train"].targets.codes()
    return float(np.bincount(codes).max() / len(codes))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path)
    parser.add_argument("--camvid", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, help="fine-tune all of the network  [the head alone]")
    parser.add_argument("--every", type=int, default=1, help="take every so-many-th scene  [1]")
    parser.add_argument("--out", type=Path, help="write the table here too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        cases = []
        if given.faces:
            ways = (("at random", None), ("by person", "person"))
            cases.append(Case("faces, a random class a person", lambda seed: faces(given.faces, work, seed), ways))
        if given.camvid:
            data = squares(given.camvid, work, given.every)
            ways = (("at random", None), ("by scene", "{sequence}_{scene}_*"), ("by sequence", "{sequence}_*"))
            cases.append(Case("CamVid's squares, their commonest class", lambda seed: data, ways))
        lines = [
            "| data | split | accuracy, % | commonest class, % | `data check` of the split |",
            "|--|--|--|--|--|",
        ]
        print("\n".join(lines), flush=True)
        for case in cases:
            for words, by in case.ways:
                scores = [100 * accuracy(case.make(seed), by, seed, given.epochs, work) for seed in range(given.seeds)]
                deviation = f" ± {statistics.stdev(scores):.1f}" if len(scores) > 1 else ""
                first = case.make(0)
                lines.append(
                    f"| {case.name} | {words} | {statistics.mean(scores):.1f}{deviation} ({given.seeds} seeds) "
                    f"| {100 * commonest(first):.1f} | {said(first, by)} |"
                )
                print(lines[-1], flush=True)
    if given.out:
        given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
