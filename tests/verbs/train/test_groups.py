"""Training with groups: none is in two splits, the record says so, `eval` cuts the same split again, and intervals follow."""

import csv as csv_files
import json

import numpy as np
import pytest
from PIL import Image

from resnets.errors import InputError
from resnets.measures.intervals import of_share
from resnets.verbs.evaluate import evaluate
from resnets.verbs.train import train
from tests.data.made_folders import csv

TINY = {
    "model": "resnet20_cifar", "depths": "1,1", "width": 4, "epochs": 1, "batch_size": 16, "lr": 0.05, "workers": 0,
    "device": "cpu", "precision": "float32", "val_fraction": 0.4,
}  # fmt: skip


class Said:
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)

    def step(self, *of): ...
    def epoch(self, *of): ...


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    """60 noisy pictures of two classes and ten patients, which a list and the names say alike."""
    root, random = tmp_path_factory.mktemp("pets"), np.random.default_rng(0)
    rows = []
    for n in range(60):
        patient, label = f"p{n % 10}", ["cat", "dog"][n // 10 % 2]
        path = root / label / f"{patient}_{n}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 256, (8, 8), np.uint8)).save(path)
        rows.append(f"{label}/{path.name},{label},{patient}")
    csv(root / "list.csv", "path,label,patient", *rows)
    return root


def answers(path):
    with (path / "predictions.csv").open() as file:
        return list(csv_files.DictReader(file))


@pytest.mark.slow
def test_a_run_by_groups(pets, tmp_path):
    said, data, by = Said(), "list.csv", "patient"
    run = train(str(pets / data), out=tmp_path / "run", group_by=by, reporter=said, **TINY)
    rows = answers(run.path)
    in_val = {row["group"] for row in rows}
    assert len(in_val) == 4 and len(rows) == 24, "four of ten patients, with all of their pictures"
    assert f"groups by {by}: 6 train, 4 val" in next(line for line in said.lines if line.startswith("data "))
    record = json.loads((run.path / "provenance.json").read_text())["data"]
    assert record["group_by"] == by and record["num_groups"] == {"train": 6, "val": 4}

    right = np.array([row["truth"] == row["answer"] for row in rows])
    interval = of_share(right, np.array([row["group"] for row in rows]))
    assert run.result["top1_interval"] == pytest.approx(interval) and run.result["num_groups"] == 4
    found = evaluate(run.path, str(pets / data), split="val", out=tmp_path / "again")
    assert found["top1_interval"] == run.result["top1_interval"]
    assert [(row["path"], row["group"]) for row in answers(tmp_path / "again")] == [(row["path"], row["group"]) for row in rows]


@pytest.mark.slow
def test_eval_by_other_groups_and_on_data_without_them(pets, tmp_path):
    run = train(str(pets), out=tmp_path / "run", **TINY)
    assert "num_groups" not in run.result and "num_groups" not in (run.path / "provenance.json").read_text()
    found = evaluate(run.path, str(pets), split="train", group_by=r"_\d*(\d)\.")
    assert found["num_groups"] == 10
    with pytest.raises(InputError, match="no column of that name"):
        evaluate(run.path, str(pets), group_by="patient")


def test_given_splits_through_a_group_are_refused(pets, tmp_path):
    lines = (pets / "list.csv").read_text().splitlines()
    rows = [f"{pets}/{line},{'test' if n % 4 == 0 else 'train'}" for n, line in enumerate(lines[1:])]
    data = csv(tmp_path / "list.csv", f"{lines[0]},split", *rows)
    with pytest.raises(InputError, match=r"5 groups of group_by='patient' in more.*'p2' \(train 3, test 3\).*put each"):
        train(str(data), out=tmp_path / "run", group_by="patient", **TINY)
    assert not (tmp_path / "run").exists()


def test_identical_files_across_splits_are_told(pets, tmp_path):
    for split in "train", "val":
        for label in "cat", "dog":
            (tmp_path / "pets" / split / label).mkdir(parents=True)
            for path in sorted((pets / label).iterdir())[: 8 if split == "val" else None]:
                (tmp_path / "pets" / split / label / path.name).write_bytes(path.read_bytes())
    said = Said()
    train(str(tmp_path / "pets"), out=tmp_path / "run", reporter=said, **TINY)
    (line,) = [line for line in said.lines if line.startswith("leakage")]
    assert line.startswith("leakage  16 groups (32 pictures) of identical pictures in more than one split")
