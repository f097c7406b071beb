"""How good search by picture is: precision@k on real sets, beside colour histograms and beside chance.

    python benchmarks/search.py FOLDER --imagenet imagenet_500 --resnet50 r50.safetensors --data-dir DIR --draw docs/search.png

Each image is searched for among the others of its set, by cosine distance. An answer is right if it is of the same class. Sets:
CIFAR-10's official test split, whole and its first 1,000 images; and photographs of 500 classes of ImageNet, one a class, so
that there right is the same group of animals (`GROUPS`), photographs of other things being in the way. A colour histogram has
8 x 8 x 8 bins; the square roots of its shares are compared (Bhattacharyya). What was embedded is not embedded again.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from PIL import Image

import resnets
from resnets.measures.neighbours import nearest

KS = (1, 5, 10)
# Indices of ImageNet's classes, which are in the order of WordNet: what these animals are.
GROUPS = {
    "fish": [(0, 6)],
    "birds": [(7, 24), (80, 100), (127, 146)],
    "amphibians": [(25, 32)],
    "reptiles": [(33, 68)],
    "arachnids": [(70, 78)],
    "dogs": [(151, 268)],
    "wolves and foxes": [(269, 280)],
    "cats": [(281, 293)],
    "bears": [(294, 297)],
    "insects": [(300, 326)],
    "primates": [(365, 384)],
}


def precision(vectors: np.ndarray, labels: np.ndarray, queries: np.ndarray) -> dict[int, float]:
    """The mean part of right answers among the nearest k, the image itself left out."""
    found = nearest(vectors[queries], vectors, max(KS), without=queries).positions
    right = labels[found] == labels[queries][:, None]
    return {k: float(right[:, :k].mean()) for k in KS}


def chance(labels: np.ndarray, queries: np.ndarray) -> dict[int, float]:
    """The same of answers drawn at random from the others."""
    counts = np.array([(labels == label).sum() - 1 for label in labels[queries]])
    return dict.fromkeys(KS, float((counts / (len(labels) - 1)).mean()))


def histogram(pixels: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) -> (512,) the square roots of the shares of 8 x 8 x 8 colours."""
    bins = (pixels.reshape(-1, 3) // 32).astype(int) @ (64, 8, 1)
    return np.sqrt(np.bincount(bins, minlength=512) / len(bins)).astype(np.float32)


def embedded(folder: Path, name: str, model: str, data: object, **options: object) -> tuple[resnets.Index, float | None]:
    """The index, and the images a second that it took; None where it was there."""
    path = folder / f"{name}.npz"
    rate = None
    if not path.exists():
        began = time.perf_counter()
        result = resnets.embed(model, data, path, resume=True, workers=2, **options)
        rate = result["num_images"] / (time.perf_counter() - began)
    return resnets.Index(path), rate


def row(data: str, way: str, num: int, queries: int, scores: dict[int, float]) -> dict:
    return {"data": data, "way": way, "num": num, "queries": queries, **{f"p@{k}": round(scores[k], 4) for k in KS}}


def cifar(folder: Path, data_dir: Path, resnet50: Path) -> tuple[list[dict], resnets.Index]:
    index, _ = embedded(folder, "cifar_56", "resnet56_cifar10", "cifar10", split="test", data_dir=data_dir)
    vectors, labels = np.asarray(index.vectors.vectors), np.asarray(index.vectors.labels)
    test = test_pixels(data_dir)
    names, codes = np.unique(labels, return_inverse=True)
    first = (test[:1000], np.array([name.decode() for name in names])[codes[:1000]])
    large, _ = embedded(folder, "cifar_50", str(resnet50), {"test": first})
    colours = np.stack([histogram(pixels) for pixels in test])
    found = []
    for num in (len(labels), 1000):
        queries, own = np.arange(num), labels[:num]
        ways = {"ResNet-56, CIFAR-10": vectors[:num], "colour histograms": colours[:num]}
        if num == 1000:
            ways = {"ResNet-50, ImageNet": np.asarray(large.vectors.vectors)} | ways
        found += [row("CIFAR-10 test", way, num, num, precision(values, own, queries)) for way, values in ways.items()]
        found.append(row("CIFAR-10 test", "chance", num, num, chance(own, queries)))
    return found, index


def test_pixels(data_dir: Path) -> np.ndarray:
    """CIFAR-10's test images, uint8 (10000, 32, 32, 3)."""
    from resnets.data.sources import in_words

    return np.stack(list(in_words("cifar10", data_dir=data_dir)[0]["test"].images))


def imagenet(folder: Path, photographs: Path, resnet50: Path) -> list[dict]:
    index, rate = embedded(folder, "imagenet_50", str(resnet50), photographs)
    if rate:
        print(f"ResNet-50 embeds {rate:.1f} photographs a second")
    small, _ = embedded(folder, "imagenet_56", "resnet56_cifar10", photographs)
    wnids = (photographs / "wnids.txt").read_text().split()
    numbers = np.array([wnids.index(label.decode()) for label in index.vectors.labels])
    labels = np.array([next((name for name in GROUPS if within(number, name)), f"other {number}") for number in numbers])
    queries = np.flatnonzero(np.char.find(labels, "other ") < 0)
    paths = [path.decode() for path in index.vectors.paths]
    colours = np.stack([histogram(np.asarray(Image.open(path).convert("RGB"))) for path in paths])
    ways = {"ResNet-50, ImageNet": np.asarray(index.vectors.vectors), "ResNet-56, CIFAR-10": np.asarray(small.vectors.vectors)}
    ways["colour histograms"] = colours
    found = [
        row("ImageNet, 500", way, len(labels), len(queries), precision(each, labels, queries)) for way, each in ways.items()
    ]
    return [*found, row("ImageNet, 500", "chance", len(labels), len(queries), chance(labels, queries))]


def within(number: int, group: str) -> bool:
    return any(first <= number <= last for first, last in GROUPS[group])


def draw(index: resnets.Index, pixels: np.ndarray, path: Path, topk: int = 9) -> None:
    """One query of each class, the first of each, and what is nearest."""
    from resnets.draw.gallery import gallery

    labels = np.asarray(index.vectors.labels)
    queries = np.array([np.flatnonzero(labels == name)[0] for name in np.unique(labels)])
    vectors = np.asarray(index.vectors.vectors)
    found = nearest(vectors[queries], vectors, topk, without=queries)
    cells = []
    for query, positions, distances in zip(queries, found.positions, found.distances, strict=True):
        cells.append((pixels[query], f"query: {labels[query].decode()}"))
        for place, distance in zip(positions, distances, strict=True):
            cells.append((pixels[place], f"{labels[place].decode()}\n{distance:.3f}"))
    gallery(
        *zip(*cells, strict=True), path, columns=topk + 1, title="Ten pictures of CIFAR-10's test split, and what is nearest"
    )
    Image.open(path).convert("P", palette=Image.Palette.ADAPTIVE, colors=128).save(path, optimize=True)


def table(rows: list[dict]) -> str:
    lines = ["| images | way | images | queries | precision@1 | @5 | @10 |", "|--|--|--|--|--|--|--|"]
    lines += [
        f"| {each['data']} | {each['way']} | {each['num']:,} | {each['queries']:,} | "
        + " | ".join(f"{each[f'p@{k}']:.1%}" for k in KS)
        + " |"
        for each in rows
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--imagenet", type=Path, required=True)
    parser.add_argument("--resnet50", type=Path, required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--draw", type=Path)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    rows, index = cifar(asked.folder, asked.data_dir, asked.resnet50)
    rows += imagenet(asked.folder, asked.imagenet, asked.resnet50)
    print(table(rows))
    if asked.draw:
        draw(index, test_pixels(asked.data_dir), asked.draw)
    if asked.out:
        asked.out.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
