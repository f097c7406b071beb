"""Does label repair find labels that are wrong? Labels are exchanged at random, and it is counted how many of them come first.

    python benchmarks/repair.py DATA CIFAR --weights MODEL -o repair.json [--cache FOLDER]

DATA is a folder with hymenoptera/train/CLASS/*.jpg and neu_det/JPEGImages/KIND_*.jpg, CIFAR one with cifar-10-batches-bin,
MODEL a network that has seen none of their labels (ResNet-50 of ImageNet). With --cifar-labels it looks for errors in
CIFAR-10's own training labels instead, and draws the 24 surest. Features are computed once, and kept in --cache.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import time
from pathlib import Path

import numpy as np

from resnets.data.pictures.stored import FileImages
from resnets.data.sources import open_source
from resnets.data.types import Source, Split
from resnets.data.workers import BadImages
from resnets.draw.gallery import gallery
from resnets.measures.mislabelled import doubts
from resnets.verbs.features import Features, feature_session, of_split
from resnets.verbs.issues import Pool
from resnets.verbs.probe import fitted
from resnets.verbs.repair import out_of_fold

SEEDS = (0, 1, 2)
SHARE = 0.05
SIZES = {"hymenoptera": 128, "neu_det": 64, "cifar10": 112}
CIFAR_IMAGES = 5_000
NUM_CIFAR = 50_000
MANY, COMPONENTS = 4_000, 256
SPLITS, TESTED = 5, 80  # of the check by training: random splits, and pictures that are tested on


def hymenoptera(data: Path) -> Split:
    return open_source(data / "hymenoptera").splits["train"]


def neu_det(data: Path) -> Split:
    """Every second of the steel surfaces, as classes: the kind stands in the name."""
    paths = sorted((data / "neu_det/JPEGImages").glob("*.jpg"))[::2]
    kinds = [path.name.rpartition("_")[0] for path in paths]
    return Split(FileImages(paths, 3), np.unique(kinds, return_inverse=True)[1].astype(np.int64))


def cifar(folder: Path, num: int) -> Split:
    """So many training pictures, drawn by seed 0."""
    train = open_source(folder / "cifar-10-batches-bin").splits["train"]
    return train.subset(np.random.default_rng(0).permutation(NUM_CIFAR)[:num])


def features_of(split: Split, weights: str, size: int, cache: Path) -> np.ndarray:
    """(N, num_features) float32 of all pictures, in order."""
    if not cache.exists():
        session = feature_session(weights, runtime="openvino")
        preprocess = dataclasses.replace(session.header.preprocess, size=(size, size), crop_pct=1.0)
        session = feature_session(resized(weights, preprocess), runtime="openvino")
        began = time.perf_counter()

        def say(done: int, num: int) -> None:
            print(f"{cache.stem}: {done} of {num}, {done / (time.perf_counter() - began):.1f}/s", flush=True)

        found = of_split(session, Split(split.images, np.zeros(len(split), np.int64)), bad=BadImages(0), say=say)
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.save(cache, found.values)
    return np.load(cache)


def resized(weights: str, preprocess: object) -> object:
    from resnets import load

    model = load(weights)
    model.preprocess = preprocess
    return model


def reduced(values: np.ndarray) -> np.ndarray:
    """The features, or of many pictures their first principal components, for the time that a fit takes."""
    from sklearn.decomposition import PCA

    return values if len(values) < MANY else PCA(COMPONENTS, random_state=0).fit_transform(values)


def pool_of(values: np.ndarray, targets: np.ndarray) -> Pool:
    labels = tuple(str(code) for code in range(int(targets.max()) + 1))
    source = Source("set", labels, {"train": Split(np.zeros((len(targets), 1, 1, 1), np.uint8), targets)}, 3)
    places = np.stack([np.zeros(len(targets), np.int64), np.arange(len(targets))], 1)
    return Pool(source, places, [labels[code] for code in targets], values, targets, None)


def flipped(targets: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Targets of which a share is another class, drawn at random; and which (N,) bool."""
    random = np.random.default_rng(seed)
    num_classes, num = int(targets.max()) + 1, round(share * len(targets))
    wrong = np.zeros(len(targets), bool)
    wrong[random.choice(len(targets), num, replace=False)] = True
    other = (targets + random.integers(1, num_classes, len(targets))) % num_classes
    return np.where(wrong, other, targets), wrong


def rankings(probabilities: np.ndarray, given: np.ndarray) -> dict[str, np.ndarray]:
    """Positions, the likeliest errors first, by several rules."""
    found = doubts(probabilities, given)
    rows = np.arange(len(given))
    others = probabilities.copy()
    others[rows, given] = -1
    orders = {
        "confidence in the label (ours)": np.argsort(found.confidence, kind="stable"),
        "margin to the likeliest other": np.argsort(found.confidence - others.max(1), kind="stable"),
        "believed otherwise first": np.lexsort((found.confidence, ~found.likely)),
    }
    try:
        from cleanlab.filter import find_label_issues
    except ImportError:
        return orders
    first = find_label_issues(given, probabilities, return_indices_ranked_by="self_confidence")
    rest = [at for at in orders["confidence in the label (ours)"].tolist() if at not in set(first.tolist())]
    return orders | {"cleanlab, as it comes": np.array([*first.tolist(), *rest])}


def judged(values: np.ndarray, targets: np.ndarray, seed: int) -> dict[str, object]:
    """What is found of labels that are exchanged."""
    given, wrong = flipped(targets, SHARE, seed)
    num = int(wrong.sum())
    pool = pool_of(values, given)
    began = time.perf_counter()
    penalty, probabilities = out_of_fold(pool, np.arange(len(pool)), seed)
    seconds = time.perf_counter() - began
    found = doubts(probabilities, given)
    table = {
        name: {word: float(wrong[order[:first]].mean()) for word, first in (("half", num // 2), ("n", num), ("twice", 2 * num))}
        for name, order in rankings(probabilities, given).items()
    }
    return {
        "seed": seed, "num": num, "num_images": len(given), "penalty": penalty, "seconds": round(seconds, 1),
        "accuracy": float((probabilities.argmax(1) == targets).mean()), "num_likely": int(found.likely.sum()),
        "likely_precision": float(wrong[found.likely].mean()), "likely_recall": float(found.likely[wrong].mean()),
        "suggested_right": float((found.suggested[wrong & found.likely] == targets[wrong & found.likely]).mean()),
        "rankings": table,
    }  # fmt: skip


def trained(values: np.ndarray, targets: np.ndarray, share: float) -> dict[str, list[float]]:
    """Test accuracy of a probe fitted to right labels, to labels of which a share is exchanged, to these as repaired by the
    suggestions, and as repaired by a person who looks at the first 2 n."""
    found: dict[str, list[float]] = {name: [] for name in ("right", "exchanged", "suggestions taken", "looked through")}
    for seed in range(SPLITS):
        order = np.random.default_rng(seed).permutation(len(targets))
        test, train = order[:TESTED], order[TESTED:]
        given, wrong = flipped(targets[train], share, seed)
        pool = pool_of(values[train], given)
        penalty, probabilities = out_of_fold(pool, np.arange(len(pool)), seed)
        doubted = doubts(probabilities, given)
        seen = np.zeros(len(given), bool)
        seen[np.argsort(doubted.confidence)[: 2 * int(wrong.sum())]] = True
        labels = {
            "right": targets[train],
            "exchanged": given,
            "suggestions taken": np.where(doubted.likely, doubted.suggested, given),
            "looked through": np.where(seen, targets[train], given),
        }
        for name, each in labels.items():
            head = fitted(Features(values[train], each, train), penalty, int(targets.max()) + 1)
            found[name].append(float((head.logits(values[test]).argmax(1) == targets[test]).mean()))
    return found


def cifar_labels(folder: Path, weights: str, cache: Path, out: Path, size: int) -> dict[str, object]:
    """The surest errors among CIFAR-10's own training labels, drawn."""
    path = cache / f"cifar10_{NUM_CIFAR}_{size}.npy"
    split = cifar(folder, NUM_CIFAR)
    values = features_of(split, weights, size, path)
    split = split.subset(np.arange(len(values)))
    labels = open_source(folder / "cifar-10-batches-bin").labels
    targets = np.asarray(split.targets.values)
    penalty, probabilities = out_of_fold(pool_of(reduced(values), targets), np.arange(len(values)), 0)
    found = doubts(probabilities, targets)
    order = np.argsort(found.confidence, kind="stable")
    order = order[found.likely[order]][:24].tolist()
    captions = [f"{labels[targets[at]]}\n{labels[found.suggested[at]]}?" for at in order]
    title = "CIFAR-10's training labels that are doubted most: the label, and beneath it what is believed"
    gallery([split.images[at] for at in order], captions, out, columns=8, title=title)
    rows = [
        {"image": split.images.name(at), "label": labels[targets[at]], "believed": labels[found.suggested[at]],
         "p_label": float(found.confidence[at])} for at in order
    ]  # fmt: skip
    accuracy = float((probabilities.argmax(1) == targets).mean())
    likely = int(found.likely.sum())
    return {"num_images": len(values), "penalty": penalty, "accuracy": accuracy, "num_likely": likely, "surest": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("cifar", type=Path)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--cache", type=Path, default=Path("features"))
    parser.add_argument("--cifar-labels", type=Path, metavar="PNG", help="look for CIFAR-10's own errors, and draw them there")
    parser.add_argument("--size", type=int, default=64, help="side of the input for --cifar-labels")
    parser.add_argument("--only", nargs="+", default=[*SIZES, "trained"], help="these parts, of: %(default)s")
    parser.add_argument("-o", "--out", type=Path, required=True)
    args = parser.parse_args()
    if args.cifar_labels:
        found = cifar_labels(args.cifar, args.weights, args.cache, args.cifar_labels, args.size)
        args.out.write_text(json.dumps(found, indent=1))
        return
    splits = {"hymenoptera": hymenoptera(args.data), "neu_det": neu_det(args.data), "cifar10": cifar(args.cifar, CIFAR_IMAGES)}
    whole: dict[str, object] = {"python": platform.python_version(), "weights": Path(args.weights).name, "sizes": SIZES}
    for name, split in splits.items():
        targets = np.asarray(split.targets.values)
        if name in args.only:
            values = reduced(features_of(split, args.weights, SIZES[name], args.cache / f"{name}_{SIZES[name]}.npy"))
            whole[name] = [judged(values, targets, seed) for seed in SEEDS]
            print(name, json.dumps(whole[name]), flush=True)
    if "trained" in args.only:
        split, size = splits["hymenoptera"], SIZES["hymenoptera"]
        values = features_of(split, args.weights, size, args.cache / f"hymenoptera_{size}.npy")
        whole["trained"] = {str(share): trained(values, np.asarray(split.targets.values), share) for share in (SHARE, 0.2)}
    args.out.write_text(json.dumps(whole, indent=1))


if __name__ == "__main__":
    main()
