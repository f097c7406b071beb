"""Training with corrections: what is recorded, that resuming and evaluation keep to them, and that folds take them."""

import csv as csv_files
import json

import pytest

from resnets.errors import InputError, Interrupted
from resnets.verbs.evaluate import evaluate
from resnets.verbs.repeats import repeat
from resnets.verbs.train import train
from tests.cli.made import said
from tests.data.made_folders import csv
from tests.verbs.train.made import TINY, arrays, pictures


def truths(run):
    with (run.path / "predictions.csv").open() as file:
        return {row["path"].partition("/train/")[2] or row["path"]: row["truth"] for row in csv_files.DictReader(file)}


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    """Pictures, and a run with the list of corrections beside them."""
    root = tmp_path_factory.mktemp("pets")
    data = pictures(root / "data", num=20)
    for path in (root / "data/val").rglob("*.png"):
        path.unlink()
    for folder in (*(root / "data/val").iterdir(), root / "data/val"):
        folder.rmdir()
    return data, root


def test_a_run_its_record_its_validation_split_and_evaluation(pets, tmp_path, capsys):
    data, _ = pets
    plain = train(data, out=tmp_path / "plain", **TINY)
    first, second, *_ = truths(plain)
    before = truths(plain)
    other = {"a": "b", "b": "a"}
    file = csv(tmp_path / "fixed.csv", "path,given,action,label",
               f"train/{first},{before[first]},relabel,{other[before[first]]}", "train/a/4.png,a,drop,",
               f"train/{second},{before[second]},keep,")  # fmt: skip
    run = train(data, out=tmp_path / "run", corrections=str(file), **TINY)
    record = json.loads((run.path / "provenance.json").read_text())["data"]
    assert record["corrections"] | {"sha256": ""} == {
        "file": "fixed.csv", "sha256": "", "num_relabelled": 1, "num_dropped": 1, "num_lines": 3,
    }  # fmt: skip
    assert sum(record["num_images"].values()) == 19
    assert truths(run) == {name: truth for name, truth in before.items() if name != "a/4.png"} | {
        first: other[before[first]]
    }, "the same pictures are validated on, with the corrections"
    assert record["fingerprint"] == json.loads((plain.path / "provenance.json").read_text())["data"]["fingerprint"]

    raw = evaluate(run.path, data, split="val", workers=0)
    fixed = evaluate(run.path, data, split="val", workers=0, corrections=file)
    assert fixed["num_images"] == len(truths(run)) and raw["num_images"] == len(before)
    assert fixed["top1"] == pytest.approx(run.result["top1"])
    assert [note for note in fixed["data_notes"] if "1 labels, 1 left out" in note]
    out, _ = said(capsys, f"eval {run.path} {data} --split val --corrections {file} -j 0 --json")
    assert json.loads(out)["top1"] == fixed["top1"]
    out, _ = said(capsys, f"data check {data} --corrections {file} --json")
    assert json.loads(out)["num_images"] == 19


@pytest.mark.slow
def test_a_run_is_resumed_with_the_same_list_only(pets, tmp_path):
    data, _ = pets
    file = csv(tmp_path / "fixed.csv", "path,label", "train/a/0.png,b")
    own = TINY | {"corrections": str(file), "save_every": 0, "epochs": 3}
    whole = train(data, out=tmp_path / "whole", **own)

    class Stops:
        def say(self, text): ...
        def step(self, *of): ...
        def epoch(self, row, at, seconds):
            if row["epoch"] == 2:
                raise KeyboardInterrupt

    with pytest.raises((Interrupted, KeyboardInterrupt)):
        train(data, out=tmp_path / "run", reporter=Stops(), **own)
    text = file.read_text()
    file.write_text(f"{text}\ntrain/b/1.png,a")
    with pytest.raises(InputError, match=r"fixed\.csv: has changed since the run began"):
        train(out=tmp_path / "run", resume=True)
    file.write_text(text)
    with pytest.raises(InputError, match="corrections was"):
        train(out=tmp_path / "run", resume=True, corrections=str(tmp_path / "other.csv"))
    run = train(out=tmp_path / "run", resume=True)
    assert [row["train_loss"] for row in run_metrics(run)] == [row["train_loss"] for row in run_metrics(whole)]


def run_metrics(run):
    from resnets.engine.run import RunDir

    return RunDir(run.path).read_metrics()


@pytest.mark.slow
def test_folds_of_arrays(tmp_path):
    data = arrays(tmp_path / "d.npz", train=24, val=12)
    file = csv(tmp_path / "fixed.csv", "path,action,label", "train[0],relabel,11", "val[1],drop,")
    whole = repeat(data, folds=2, out=tmp_path / "folds", corrections=str(file), **TINY | {"epochs": 1})
    with (whole.path / "predictions.csv").open() as lines:
        rows = {row["path"]: row["truth"] for row in csv_files.DictReader(lines)}
    assert len(rows) == 35 and rows["train[0]"] == "11" and "val[1]" not in rows and rows["train[1]"] == "11"


def test_what_is_wrong_with_the_list_is_said_before_anything_is_trained(pets, tmp_path):
    with pytest.raises(InputError, match=r"fixed\.csv line 2: there is no image"):
        train(pets[0], out=tmp_path / "run", corrections=str(csv(tmp_path / "fixed.csv", "path,label", "x.png,a")), **TINY)
    assert not (tmp_path / "run").exists()
