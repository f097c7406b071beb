"""Volumes as classes: a network of random weights beside one whose kernels were inflated from pictures, by AUC over folds.

    python benchmarks/volumes_as_classes.py HIPPOCAMPUS -o DIR [--classes size|side] [--starts random,resnet20_cifar10]

HIPPOCAMPUS is the folder of task 4 of the Medical Segmentation Decathlon (imagesTr, labelsTr). Of its crops two questions are
made:

    size   whether the labelled hippocampus is larger than the median of all. A crop's number of voxels tells some of that, and
           its AUC is printed too; so inputs are cut to a size that every crop has.
    side   left or right: half of the volumes are mirrored along the axis from left to right (the set's are mostly of one side).

DIR gets the list, the mirrored volumes, a run directory for each start and fold, and results.json; what is there already is not
run again. A start is "random", a bundled name or a file of weights (of pictures), or probe:WEIGHTS for its features alone.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from resnets.data.pictures.volume import library
from resnets.verbs.train import train

SIZE = "26,40,31"  # depth, height and width, which every crop has
SHOWN = ("auc", "sensitivity", "specificity", "top1")


def cases(root: Path) -> list[tuple[Path, int, int]]:
    """Each image, the voxels that are labelled, and all of them."""
    found = []
    for path in sorted((root / "imagesTr").glob("*.nii*")):
        labels = np.asarray(library().load(root / "labelsTr" / path.name).dataobj)
        found.append((path, int((labels > 0).sum()), labels.size))
    return found


def listed(root: Path, classes: str, out: Path) -> Path:
    """The list of the question `classes`, written to `out`."""
    every = cases(root)
    counts = np.array([[labelled, whole] for _, labelled, whole in every])
    if classes == "size":
        large = counts[:, 0] > np.median(counts[:, 0])
        print(f"AUC of the crop's number of voxels alone: {roc_auc_score(large, counts[:, 1]):.3f}", flush=True)
        rows = [(path.resolve(), ("small", "large")[int(one)]) for (path, *_), one in zip(every, large, strict=True)]
    else:
        mirrored = np.random.default_rng(0).permutation(len(every)) % 2 == 1
        rows = [
            (flipped(path, out / "mirrored") if one else path.resolve(), ("left", "right")[int(one)])
            for (path, *_), one in zip(every, mirrored, strict=True)
        ]
    file = out / f"{classes}.csv"
    file.write_text("path,label\n" + "".join(f"{path},{label}\n" for path, label in rows))
    return file


def flipped(path: Path, folder: Path) -> Path:
    """The volume with left and right exchanged, as a new file; its place in space stays."""
    target = folder / path.name
    if not target.exists():
        image = library().load(path)
        assert "".join(library().aff2axcodes(image.affine)) == "RAS", path
        folder.mkdir(parents=True, exist_ok=True)
        library().Nifti1Image(np.asarray(image.dataobj)[::-1].copy(), image.affine).to_filename(target)
    return target.resolve()


def scored(data: Path, start: str, fold: int, out: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The result of one training, on the fold that it did not see; the last weights count, so that the fold chooses nothing."""
    settings: dict[str, Any] = {
        "folds": options.folds,
        "fold": fold,
        "volume_size": options.size,
        "resize": "pad",
        "select": "last",
    }
    if start == "random":
        settings |= {"model": options.model}
    else:
        settings |= {"weights": start.removeprefix("probe:"), "probe": start.startswith("probe:")}
    if options.epochs and not settings.get("probe"):
        settings["epochs"] = options.epochs
    began, again = time.perf_counter(), (out / "resume.json").exists()
    run = train(out=out, resume=True) if again else train(str(data), out=out, workers=0, positive=options.positive, **settings)
    result = run.result
    rows = {row["label"]: row for row in result["per_class"]}
    other = next(label for label in rows if label != options.positive)
    found = {"auc": result["auc"], "top1": result["top1"], "seconds": round(time.perf_counter() - began)}
    return found | {"sensitivity": rows[options.positive]["recall"], "specificity": rows[other]["recall"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--classes", choices=("size", "side"), default="size")
    parser.add_argument("--starts", default="random,resnet20_cifar10")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--epochs", type=int, help="default: the recipe's")
    parser.add_argument("--model", default="auto", help="of random weights")
    parser.add_argument("--size", default=SIZE)
    options = parser.parse_args()
    options.positive = {"size": "large", "side": "right"}[options.classes]
    options.out.mkdir(parents=True, exist_ok=True)
    data, file = listed(options.root, options.classes, options.out), options.out / "results.json"
    results: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    starts = options.starts.split(",")
    for fold in range(1, options.folds + 1):  # all starts of a fold first, so that a part of it all compares
        for start in starts:
            key = f"{options.classes}/{start}/{fold} of {options.folds}"
            if key not in results:
                name = f"{options.classes}-{Path(start).stem.replace(':', '-')}-fold{fold}"
                results[key] = scored(data, start, fold, options.out / name, options)
                file.write_text(json.dumps(results, indent=1))
            print(f"{key}: {results[key]}", flush=True)
    for start in starts:
        rows = [results[f"{options.classes}/{start}/{fold} of {options.folds}"] for fold in range(1, options.folds + 1)]
        figures = ", ".join(
            f"{name} {np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"
            for name in SHOWN
            if (values := [row[name] for row in rows])
        )
        seconds = np.mean([row["seconds"] for row in rows])
        print(f"{options.classes}, {start}: {figures} over {len(rows)} folds; {seconds:.0f} s each")


if __name__ == "__main__":
    main()
