"""People that were not trained on: verification, identification and the open set, by networks trained and not trained for it.

    python benchmarks/faces.py FACES/ [--people 20] [--seeds 0,1,2] [--rows scratch,resnet20_cifar10] [-o faces.json]

FACES has a folder for each person; the first `--people` by name are for training (a fifth of them to validate and to choose
the threshold), the others are the test. One JSON object a run is appended to the output; what is there is not run again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from resnets import tasks
from resnets.measures import identification
from resnets.measures import verification as verifying
from resnets.ship import hub
from resnets.verbs import evaluate
from resnets.verbs.train import train

SMALL = {"img_size": 48, "model": "resnet20_cifar", "epochs": 40}
# A row: settings of training; None: as it is. {"weights": NAME} may be any name or file that `--weights` takes.
ROWS: dict[str, dict[str, Any]] = {
    "scratch": {"train": SMALL},
    "resnet20_cifar10": {"train": {"weights": "resnet20_cifar10", "epochs": 40}},
    "resnet20_cifar10, as it is": {"as_it_is": "resnet20_cifar10"},
    "dlib/face": {"train": {"weights": "dlib/face", "epochs": 10}},
    "dlib/face, as it is": {"as_it_is": "dlib/face"},
    "dlib/face, published threshold": {"as_it_is": "dlib/face", "threshold": 0.6},
}
ENROLLED = 5  # people of the open set
COLUMNS = {
    "accuracy": "10-fold accuracy",
    "tar": "TAR at FAR 1e-2",
    "eer": "EER",
    "rank_1": "rank-1",
    "fnir": "missed at 10 % false alarms",
    "far_at": "false accepts",
    "frr_at": "false rejects",
}


def divided(faces: Path, num: int, folder: Path) -> Path:
    """Copies of the first `num` people as train/, of the others as test/."""
    people = sorted(path for path in faces.iterdir() if path.is_dir())
    for place, person in enumerate(people):
        shutil.copytree(person, folder / ("train" if place < num else "test") / person.name)
    return folder


def model_of(row: dict[str, Any], data: Path, seed: int, folder: Path) -> Any:
    """The network of a row, trained with this seed where it is trained."""
    if "train" in row:
        run = train(str(data), task="embed", seed=seed, out=folder / "run", device="cpu", workers=0, **row["train"])
        return run.model
    file = folder / "network.safetensors"
    hub.convert(row["as_it_is"], file, task="embed")
    return hub.load(file)


def measured(model: Any, data: Path, row: dict[str, Any]) -> dict[str, Any]:
    """All figures of the test people; the threshold is that of the file, of the row, or the training people's."""
    task = tasks.get("embed")
    source = task.open_for(model.header, str(data), {}, data_dir=None)
    judged = evaluate.judge(model, source, "test", workers=0)
    kept, kind, pairs = judged.meter.kept, judged.meter.distance, judged.meter.pairs
    threshold = row.get("threshold") or model.decision.get("threshold")
    if threshold is None:
        known = evaluate.judge(model, source, "train", workers=0).meter
        threshold = verifying.threshold_at(known.pairs, 0.01)
    curve, folds = verifying.rates(pairs.distance, pairs.same), verifying.fold_accuracy(pairs, kept.targets)
    open_set = identification.open_set(kept.answers, kept.targets, kind, ENROLLED)
    count = verifying.counted(pairs, threshold)
    rank_1 = identification.closed_set(kept.answers, kept.targets, kind)[0]
    return {
        "accuracy": folds and folds.accuracy,
        "num_folds": folds and len(folds.thresholds),
        "tar": curve.tar_at(1e-2),
        "eer": curve.eer,
        "rank_1": float(np.nanmean(rank_1)),
        "fnir": open_set and open_set.fnir_at(0.1),
        "threshold": threshold,
        "far_at": count.far,
        "far_bound": count.far_bound,
        "frr_at": count.frr,
        "num_pairs": [count.num_genuine, count.num_impostor],
    }


def table(lines: list[dict[str, Any]]) -> str:
    """Mean and standard deviation over the seeds of each row, in percent."""
    rows = [["", "seeds", *COLUMNS.values()]]
    for name in dict.fromkeys(line["row"] for line in lines):
        own = [line for line in lines if line["row"] == name]
        cells = [name, str(len(own))]
        for key in COLUMNS:
            values = [100 * line[key] for line in own if line[key] is not None]
            spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.1f}{spread}" if values else "-")
        rows.append(cells)
    return "\n".join("| " + " | ".join(row) + " |" + ("\n|" + "--|" * len(row)) * (not place) for place, row in enumerate(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument(
        "--rows", default="scratch;resnet20_cifar10;resnet20_cifar10, as it is", help="names, with ; between them"
    )
    parser.add_argument("-o", "--out", type=Path, default=Path("faces.json"))
    given = parser.parse_args()
    lines = [json.loads(line) for line in given.out.read_text().splitlines()] if given.out.exists() else []
    for seed in map(int, given.seeds.split(",")):
        for name in given.rows.split(";"):
            row = ROWS[name]
            if any((line["row"], line["seed"]) == (name, seed) for line in lines) or (seed and "train" not in row):
                continue
            with tempfile.TemporaryDirectory() as folder:
                data = divided(given.faces, given.people, Path(folder, "faces"))
                began, processor = time.perf_counter(), time.process_time()
                model = model_of(row, data, seed, Path(folder))
                taken = {"seconds": time.perf_counter() - began, "processor_seconds": time.process_time() - processor}
                line = {"row": name, "seed": seed, **measured(model, data, row), **taken}
            lines.append(line)
            with given.out.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)
    print(table(lines))


if __name__ == "__main__":
    main()
