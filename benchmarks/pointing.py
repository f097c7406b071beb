"""The pointing game on real boxes: does the greatest value of a tag's map lie in one of its objects?

    python benchmarks/pointing.py WEIGHTS FOLDER... [--num-train 200] [--num-test 100] [--least 8]

FOLDER has pictures with boxes. The labels of a picture are the classes of its boxes, those of at least `--least` pictures. A
linear probe (scikit-learn) learns them on the features of WEIGHTS, never seeing a box; then each true label of each test
picture has a map, by every method of one gradient. Beside it: how much of the input the objects fill (a random position), and
whether its middle is in one. Where there is no test or validation split, a third of the pictures is the test.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import StandardScaler

import resnets
from resnets.attribution.faithful import points_at
from resnets.attribution.methods import METHODS
from resnets.data.pictures.resize import fit_picture
from resnets.data.places import as_input, places_of
from resnets.data.sources import open_source
from resnets.data.types import Source, Split
from resnets.engine.values import Question
from resnets.models.answering import run_model
from resnets.models.model import Model
from resnets.verbs.explain_maps import quick_maps


def halves(source: Source, num_train: int, num_test: int) -> tuple[Split, Split]:
    """Pictures to learn from, and others."""
    train, test = source.splits["train"], source.splits.get("test") or source.splits.get("val")
    order = np.random.default_rng(0).permutation(len(train))
    if test is None:
        third = len(train) // 3
        train, test = train.subset(np.sort(order[third:])), train.subset(np.sort(order[:third]))
        return train, test
    some = np.random.default_rng(0).permutation(len(test))[:num_test]
    return train.subset(np.sort(order[:num_train])), test.subset(np.sort(some))


def tags(split: Split, num_labels: int) -> np.ndarray:
    """(N, num_labels) bool: the classes that a picture has boxes of."""
    found = np.zeros((len(split), num_labels), bool)
    for row, index in zip(found, range(len(split)), strict=True):
        target = split[index][1]
        row[target.labels[~target.ignore]] = True
    return found


def pixels_of(split: Split, network: Model) -> np.ndarray:
    return np.stack([fit_picture(split[index][0], network.preprocess) for index in range(len(split))])


def features(network: Model, pixels: np.ndarray) -> np.ndarray:
    """(N, num_features), pooled."""
    return np.concatenate([run_model(network, part) for part in np.array_split(pixels, -(-len(pixels) // 16))])


def probed(weights: str, train: np.ndarray, truth: np.ndarray, labels: list[str]) -> tuple[Model, Model]:
    """A network for tags, and its trunk alone."""
    trunk = resnets.load(weights).eval()
    network = resnets.create_model(trunk.spec, task="tag", labels=labels, preprocess=trunk.preprocess).eval()
    own = {name: value for name, value in trunk.state_dict().items() if not name.startswith("fc.")}
    assert set(network.load_state_dict(own, strict=False).missing_keys) == {"fc.weight", "fc.bias"}
    trunk.reset_classifier(0)
    scale = StandardScaler().fit(found := features(trunk, train))
    probe = OneVsRestClassifier(LogisticRegression(C=0.01, max_iter=500)).fit(scale.transform(found), truth.astype(int))
    weight = np.stack([each.coef_[0] for each in probe.estimators_]) / scale.scale_
    bias = np.array([each.intercept_[0] for each in probe.estimators_]) - weight @ scale.mean_
    with torch.no_grad():
        network.fc.weight.copy_(torch.from_numpy(weight))
        network.fc.bias.copy_(torch.from_numpy(bias))
    return network, trunk


def measured(weights: str, folder: str, asked: argparse.Namespace) -> None:
    source = open_source(folder, "boxes")
    train, test = halves(source, asked.num_train, asked.num_test)
    truth = tags(train, len(source.labels))
    often = np.flatnonzero(truth.sum(0) >= asked.least)
    labels = [source.labels[index] for index in often]
    preprocess = resnets.load(weights)
    network, trunk = probed(weights, pixels_of(train, preprocess), truth[:, often], labels)
    pixels, there = pixels_of(test, network), tags(test, len(source.labels))[:, often]
    outputs = features(trunk, pixels) @ network.fc.weight.detach().numpy().T + network.fc.bias.detach().numpy()
    known = there.any(0) & ~there.all(0)
    precision = average_precision_score(there[:, known], outputs[:, known], average="macro")
    print(f"{Path(folder).name}: {len(labels)} labels; {len(train)} + {len(test)} pictures; mAP of the tags {precision:.3f}")
    places = [(n, k, place_in(test, n, int(often[k]), network)) for n, k in zip(*np.nonzero(there), strict=True)]
    places = [(n, k, place) for n, k, place in places if place.any()]
    share = np.mean([place.mean() for *_, place in places])
    middle = np.mean([place[tuple(side // 2 for side in place.shape)] for *_, place in places])
    print(f"{len(places)} labels of pictures: by chance {share:.3f}, the middle {middle:.3f}", flush=True)
    rows = [n for n, *_ in places]
    for method in [name for name, row in METHODS.items() if row.batch is not None]:
        questions = [Question(labels[k]) for _, k, _ in places]
        maps = quick_maps(network, pixels[rows], questions, outputs=list(outputs[rows]), method=method)
        hits = [points_at(found.values, place) for found, (*_, place) in zip(maps, places, strict=True)]
        print(f"{method}: {np.mean(hits):.3f} ({sum(hits)} of {len(hits)})", flush=True)


def place_in(split: Split, index: int, label: int, network: Model) -> np.ndarray:
    """Where the objects of a label are in the input (H, W), those that are in sight."""
    picture, target = split[index]
    return as_input(places_of(target, label, picture.shape[:2]).any(0), network.preprocess)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights")
    parser.add_argument("folders", nargs="+")
    for name, default in (("train", 200), ("test", 100)):
        parser.add_argument(f"--num-{name}", type=int, default=default, help="pictures, where there is such a split")
    parser.add_argument("--least", type=int, default=8, help="pictures of a label")
    asked = parser.parse_args()
    for folder in asked.folders:
        measured(asked.weights, folder, asked)


if __name__ == "__main__":
    sys.exit(main())
