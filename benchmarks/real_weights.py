"""What real ImageNet weights give on real photographs: 8 bits, transfer to few pictures, defects with boxes, COCO.

    python benchmarks/real_weights.py WEIGHTS DATA [--parts PART...] [--runs DIR] [--out FILE.md] [--threads 2] [--tiny]

WEIGHTS is any file that `resnets convert` reads. DATA holds the sets, and each PART uses one:

    eval         imagenet_500/val/<WordNet id>: accuracy as it is
    int8         the same pictures: every fifth calibrates, the others judge 32 and 8 bits in ONNX Runtime and OpenVINO
    hymenoptera  ants and bees: probe, fine-tuned and from scratch, 5 folds x 3 seeds, on the pictures left out
    neu_det      six kinds of defects in steel: kinds by probe, boxes by a detector, from ImageNet, CIFAR-10 and nothing
    coco126      a detector from file to figures, beside pycocotools on the same answers

Folds are judged by the last epoch (`last_val_top1`), and detectors keep the last one (`--select last`): nothing is chosen on
what judges. The probe's penalty is fixed for the same reason. Finished commands are not run again; one that was broken off goes
on. The lengths of all trainings are options; `--tiny` is two steps of each, on two folds and seeds, to try the script.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from resnets.data import splits
from resnets.data.sources import open_source
from resnets.data.types import Source
from resnets.data.workers import BadImages
from resnets.ship import hub
from resnets.tasks.detect.objects import Objects
from resnets.verbs.evaluate import judge
from resnets.verbs.features import Features, feature_session, of_split
from resnets.verbs.probe import fitted

PENALTY = 0.01  # of the probe's logistic regression on standardised features (scikit-learn's C)
EXPORTS = {"ONNX Runtime": ("onnx", ".onnx"), "OpenVINO": ("openvino", ".xml")}
CIFAR = "resnet56_cifar10"  # bundled
Lines = Iterator[str]


class Place:
    """The folder of all runs, the weights as a file of this package, and how commands are run."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.runs, self.data = options, options.runs, options.data
        self.runs.mkdir(parents=True, exist_ok=True)
        self.weights = self.runs / "weights.safetensors"
        if not self.weights.exists():
            hub.convert(options.weights, self.weights)

    def said(self, name: str, words: list[object], out: Path | None = None) -> dict[str, Any]:
        """What `resnets ... --json` says; kept as NAME.json, and taken from there if it is. A training goes on in `out`."""
        path = self.runs / f"{name}.json"
        if not path.exists():
            resumed = out is not None and any((out / file).exists() for file in ("recipe.yaml", "seeds.json", "folds.json"))
            own = [str(word) for word in words] + (["--out", str(out)] if out else []) + ["--resume"] * resumed
            began, env = time.perf_counter(), os.environ | {"OMP_NUM_THREADS": str(self.options.threads)}
            command = [sys.executable, "-m", "resnets", *own, "--json"]
            done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
            if done.returncode:
                raise RuntimeError(f"resnets {' '.join(own)}\n{done.stderr[-3000:]}")
            path.write_text(json.dumps(json.loads(done.stdout) | {"command_seconds": time.perf_counter() - began}))
        return json.loads(path.read_text())

    def length(self, name: str) -> list[object]:
        """The length of a training: `--NAME` of this script, or two steps."""
        return ["--steps", 2] if self.options.tiny else ["--epochs", getattr(self.options, name)]


def spread(values: list[float]) -> str:
    each = [100 * value for value in values]
    return f"{statistics.mean(each):.2f} ± {statistics.stdev(each) if len(each) > 1 else 0:.2f}"


# --- imagenet_500 -----------------------------------------------------------------------------------------------------------


def evaluated(place: Place) -> Lines:
    result = place.said("eval", ["eval", place.weights, place.data / "imagenet_500"])
    low, high = (100 * end for end in result["top1_interval"])
    yield "| pictures | top-1 | 95 % interval | top-5 |"
    yield "|--|--|--|--|"
    yield f"| {result['num_images']} | {100 * result['top1']:.2f} % | {low:.2f} to {high:.2f} | {100 * result['top5']:.2f} % |"


def quantised(place: Place) -> Lines:
    pictures = sorted((place.data / "imagenet_500").rglob("*.jpg"))
    pictures = pictures[:20] if place.options.tiny else pictures
    listed = place.runs / f"imagenet{'_tiny' * place.options.tiny}.csv"
    with listed.open("w", newline="", encoding="utf-8") as file:
        rows = [(path.resolve(), path.parent.name, "val" if index % 5 else "train") for index, path in enumerate(pictures)]
        csv.writer(file).writerows([("path", "label", "split"), *rows])
    yield "| runtime | file | top-1, 32 bits | 8 bits | equal answers | 1 picture, ms | 32 pictures, ms | refused, in doubt |"
    yield "|--|--|--|--|--|--|--|--|"
    for name, (form, suffix) in EXPORTS.items():
        out = place.runs / f"int8{'_tiny' * place.options.tiny}{suffix}"
        words = ["export", place.weights, "--format", form, "--int8", listed, "-o", out, "--force"]
        result = place.said(out.stem + "_" + form, words)
        before, after = result["before"], result["after"]
        size = sum(file.stat().st_size for file in (out, out.with_suffix(".bin")) if file.exists()) / 1e6
        times = [f"{1000 * before['seconds'][n]:.1f} to {1000 * after['seconds'][n]:.1f}" for n in ("1", "32")]
        cells = [
            f"{size:.1f} MB",
            *(f"{100 * each['score']:.2f} %" for each in (before, after)),
            f"{100 * result['equal']:.1f} %",
        ]
        yield f"| {name} | {' | '.join([*cells, *times])} | {'; '.join(result['faults'] + result['doubts']) or 'no'} |"


# --- ants and bees ----------------------------------------------------------------------------------------------------------


def features(place: Place, name: str, source: Source) -> tuple[Features, Features]:
    """The trunk's features of all pictures of the training split, and of the mirrored ones; computed once, and kept."""
    path = place.runs / f"{name}_features.npz"
    if not path.exists():
        session, split = feature_session(place.weights), source.splits["train"]
        bad = BadImages.allowing(None, split)
        plain, mirrored = (of_split(session, split, bad=bad, batch_size=32, mirrored=turn) for turn in (False, True))
        np.savez(path, plain.values, plain.targets, mirrored.values, plain.positions)
    values, targets, mirrored, positions = np.load(path).values()
    return tuple(Features(each.astype(np.float64), targets, positions) for each in (values, mirrored))


def names(source: Source, split: str) -> list[str]:
    part = source.splits[split]
    return [part.images.name(index) for index in range(len(part))]


def probed(place: Place, source: Source, folds: int, seeds: int) -> list[float]:
    """Accuracies of a probe on each fold of each seed, by the features that `features` keeps."""
    plain, mirrored = features(place, "hymenoptera", source)
    index_of = {name: index for index, name in enumerate(names(source, "train"))}
    found = []
    for seed in range(seeds):
        for fold in range(1, folds + 1):
            cut = splits.cut_fold(source, folds, fold, seed)
            train, val = (np.array([index_of[name] for name in names(cut, part)]) for part in ("train", "val"))
            both = [np.concatenate([one[train], two[train]]) for one, two in zip(plain, mirrored, strict=True)]
            head = fitted(Features(*both), PENALTY, len(source.labels))
            found.append(float((head.logits(plain.values[val]).argmax(1) == plain.targets[val]).mean()))
    return found


def ants_and_bees(place: Place) -> Lines:
    options, data = place.options, place.data / "hymenoptera"
    folds, seeds = (2, 2) if options.tiny else (5, 3)
    several = ["--folds", folds, "--seeds", ",".join(map(str, range(seeds)))]
    began = time.perf_counter()
    rows = {"probe, 224 pixels": (probed(place, open_source(data), folds, seeds), time.perf_counter() - began)}
    ways = {
        f"fine-tuned, {options.size} pixels, stages 1 to 3 frozen, {options.tune_epochs} epochs": [
            *("--weights", place.weights, "--img-size", options.size, "--freeze", 3, "--batch-size", 16),
            *place.length("tune_epochs"),
        ],
        f"from scratch: resnet18, 64 pixels, {options.scratch_epochs} epochs": [
            *("--model", "resnet18", "--img-size", 64, "--batch-size", 32),
            *place.length("scratch_epochs"),
        ],
    }
    for number, (name, words) in enumerate(ways.items()):
        out = place.runs / f"hymenoptera{number}{'_tiny' * options.tiny}"
        result = place.said(out.name, ["train", data, *words, *several, "--select", "last"], out)
        rows[name] = ([run["last_val_top1"] for run in result["runs"]], result["command_seconds"])
    yield f"| {folds} folds x {seeds} seeds | accuracy, %: mean ± deviation | lowest | seconds in all |"
    yield "|--|--|--|--|"
    for name, (scores, seconds) in rows.items():
        yield f"| {name} | {spread(scores)} | {100 * min(scores):.2f} | {seconds:.0f} |"


# --- defects in steel -------------------------------------------------------------------------------------------------------


def defects(place: Place) -> Lines:
    options, data, tiny = place.options, place.data / "neu_det", "_tiny" * place.options.tiny
    listed = place.runs / "neu_kinds.csv"
    with listed.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "split"))
        for split in ("train", "val"):
            for stem in (data / "ImageSets" / "Main" / f"{split}.txt").read_text(encoding="utf-8").split():
                picture = next((data / "JPEGImages").glob(f"{stem}.*"))
                writer.writerow((picture.resolve(), stem.rpartition("_")[0], split))
    starts: dict[str, list[object]] = {
        "ImageNet, ResNet-50": ["--weights", place.weights],
        "CIFAR-10, ResNet-56": ["--weights", CIFAR],
        "nothing, ResNet-50": ["--model", "resnet50"],
    }
    length = f"{options.boxes_size} pixels, {options.boxes_epochs} epochs"
    yield f"| from | kinds, probe: accuracy | boxes ({length}): mAP at IoU .5 | mAP | seconds |"
    yield "|--|--|--|--|--|"
    for number, (name, start) in enumerate(starts.items()):
        kinds = "-"
        if "--weights" in start:
            # The pictures have 200 pixels a side; the probe has the size of the weights.
            out = place.runs / f"neu_kinds{number}"
            words = ["train", listed, *start, "--probe", "--probe-c", PENALTY]
            kinds = f"{100 * place.said(out.name, words, out)['top1']:.2f} %"
        out = place.runs / f"neu_boxes{number}{tiny}"
        shape = ["--img-size", options.boxes_size, "--batch-size", 8]
        words = ["train", data, "--task", "detect", *start, *shape, "--select", "last", *place.length("boxes_epochs")]
        result = place.said(out.name, words, out)
        score = [f"{100 * result[name]:.1f}" for name in ("map50", "map")]
        yield f"| {name} | {kinds} | {' | '.join(score)} | {result['command_seconds']:.0f} |"


# --- COCO -------------------------------------------------------------------------------------------------------------------


def coco(place: Place) -> Lines:
    from pycocotools.coco import COCO

    data, out = place.data / "coco126", place.runs / f"coco126{'_tiny' * place.options.tiny}"
    size = 96 if place.options.tiny else 256
    words = ["train", data, "--task", "detect", "--weights", place.weights, "--img-size", size, "--batch-size", 4]
    place.said(out.name, [*words, "--select", "last", *place.length("coco_epochs")], out)
    model = hub.load(out)
    source = model.task.open_for(model.header, str(data), {}, data_dir=None)
    truth = COCO(next((data / "annotations").glob("*.json")))
    yield "| answers | split | pictures | measure | resnets | pycocotools | difference |"
    yield "|--|--|--|--|--|--|--|"
    for split in ("train", "val"):
        judged = judge(model, source, split, workers=0)
        files = [judged.part.images.path(index).name for index in range(len(judged.part))]
        collected = judged.meter.collected
        for words_of, pictures in (("the detector", collected.pictures), ("truth, changed", disturbed(collected.pictures))):
            collected.pictures = pictures
            ours, theirs = collected.result(), by_pycocotools(truth, pictures, files, model.labels, collected.most)
            for name, other in theirs.items():
                figures = f"{ours[name]:.6f} | {other:.6f} | {abs(ours[name] - other):.1e}"
                yield f"| {words_of} | {split} | {judged.num_images} | {name} | {figures} |"


def disturbed(pictures: dict[int, Any]) -> dict[int, Any]:
    """Answers of a detector that is neither good nor bad: true boxes that are moved, one of five left out, one of ten with
    another class, and as many again where nothing is."""
    random, found = np.random.default_rng(0), {}
    for index, (_, truth) in pictures.items():
        kept = random.random(len(truth.labels)) < 0.8
        boxes, labels = np.tile(truth.xyxy[kept], (2, 1)), np.tile(truth.labels[kept], 2)
        sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
        far = np.repeat([0.1, 2.0], kept.sum())[:, None]
        boxes = np.sort((boxes + far * sides * random.normal(size=boxes.shape)).reshape(-1, 2, 2), 1).reshape(-1, 4)
        labels = np.where(random.random(len(labels)) < 0.1, random.permutation(labels), labels)
        scores = random.random(len(labels)) * np.repeat([1.0, 0.5], kept.sum())
        found[index] = (Objects(boxes, labels, scores, np.zeros(len(labels), bool), None), truth)
    return found


def by_pycocotools(
    truth: Any, pictures: dict[int, Any], files: list[str], labels: tuple[str, ...], most: int
) -> dict[str, float]:
    """COCO's own program on the same answers, with as many for a picture."""
    from pycocotools.cocoeval import COCOeval

    picture_of = {entry["file_name"]: entry["id"] for entry in truth.dataset["images"]}
    class_of = {entry["name"]: entry["id"] for entry in truth.dataset["categories"]}
    rows = [
        {
            "image_id": picture_of[files[index]],
            "category_id": class_of[labels[label]],
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "score": score,
        }
        for index, (found, _) in pictures.items()
        for (x0, y0, x1, y1), label, score in zip(
            found.xyxy.tolist(), found.labels.tolist(), found.scores.tolist(), strict=True
        )
    ]
    evaluation = COCOeval(truth, truth.loadRes(rows), "bbox")
    evaluation.params.imgIds = sorted(picture_of[file] for file in files)
    evaluation.params.maxDets = [1, 10, most]
    evaluation.evaluate()
    evaluation.accumulate()
    # -1 where a class has no object: (IoU, recall, class), and (IoU, class), of all sizes and with `most` boxes.
    precision, recall = evaluation.eval["precision"][..., 0, -1], evaluation.eval["recall"][..., 0, -1]
    each = {"map": precision, "map50": precision[0], "map75": precision[5], f"ar{most}": recall}
    return {name: float(values[values > -1].mean()) for name, values in each.items()}


PARTS: dict[str, tuple[str, Callable[[Place], Lines]]] = {
    "eval": ("ImageNet: photographs by WordNet id", evaluated),
    "int8": ("8 bits: every fifth photograph calibrates, the others judge", quantised),
    "hymenoptera": ("Ants and bees, 244 photographs", ants_and_bees),
    "neu_det": ("Defects in steel (NEU-DET), 1,200 and 240 pictures", defects),
    "coco126": ("COCO, 126 photographs: one answer, two programs that judge", coco),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--runs", type=Path, default=Path("runs/real_weights"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--size", type=int, default=160, help="side of inputs in fine-tuning on hymenoptera")
    parser.add_argument("--tune-epochs", type=int, default=6, help="of each fine-tuning on hymenoptera")
    parser.add_argument("--scratch-epochs", type=int, default=20, help="of each training from scratch there")
    parser.add_argument("--boxes-size", type=int, default=128, help="longer side of inputs of each detector of defects")
    parser.add_argument("--boxes-epochs", type=int, default=2, help="of each detector of defects")
    parser.add_argument("--coco-epochs", type=int, default=3, help="of the detector of COCO")
    parser.add_argument("--tiny", action="store_true", help="two steps of each training, to try this script")
    options = parser.parse_args()
    place, text = Place(options), ""
    for name in options.parts:
        title, part = PARTS[name]
        text += "\n".join([f"## {title}", "", *part(place), "", ""])
        print(text.rpartition("## ")[2], flush=True)
        if options.out:
            options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
