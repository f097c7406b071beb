"""Cross-validation: every picture is validated once, each fold is an ordinary run, and what is finished is not done again."""

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner

from resnets.cli.main import cli
from resnets.errors import InputError
from resnets.verbs import evaluate as evaluation
from resnets.verbs import folds
from resnets.verbs import train as training
from resnets.verbs.folds import cross_validate

TINY = {
    "model": "resnet20_cifar", "depths": "1,1", "width": 4, "epochs": 2, "batch_size": 8, "lr": 0.05, "workers": 0,
    "device": "cpu", "precision": "float32",
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    random, found = np.random.default_rng(0), {}
    for split, num in (("train", 31), ("val", 8), ("test", 6)):
        found |= {f"{split}_images": random.integers(0, 256, (num, 8, 8), np.uint8), f"{split}_labels": np.arange(num) % 3}
    path = tmp_path_factory.mktemp("data") / "d.npz"
    np.savez(path, **found)
    return str(path)


@pytest.fixture(scope="module")
def three(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("folds") / "cv"
    return cross_validate(data, folds=3, out=out, **TINY)


def test_the_summary_is_that_of_the_runs(three):
    found = json.loads((three.path / "folds.json").read_text())
    assert found == three.to_json() and found["folds"] == 3
    for number, row in enumerate(found["runs"], start=1):
        run = three.path / f"fold{number}"
        with (run / "metrics.csv").open() as file:
            scores = [float(line["val_top1"]) for line in csv.DictReader(file)]
        assert (row["run"], row["val_top1"], row["last_val_top1"]) == (f"fold{number}", max(scores), scores[-1])
        assert row["test_top1"] == json.loads((run / "evaluation.json").read_text())["top1"]
        assert (run / "report.html").exists()
    values = [row["val_top1"] for row in found["runs"]]
    assert found["scores"]["val_top1"] == {"mean": np.mean(values), "deviation": pytest.approx(np.std(values, ddof=1))}


def test_a_fold_is_validated_again_on_its_own_part(three, data):
    for row in three.rows:
        found = evaluation.evaluate(three.path / row["run"], data, split="val")
        assert (found["num_images"], found["top1"]) == (13, pytest.approx(row["val_top1"], abs=1e-6))


def test_finished_folds_are_not_run_again(three, monkeypatch):
    (three.path / "folds.json").unlink()
    monkeypatch.setattr(training, "train", None)
    again = cross_validate(out=three.path, resume=True)
    assert again.rows == three.rows and (three.path / "folds.json").exists()
    with pytest.raises(InputError, match=r"lr was 0.05, not 0.1"):
        cross_validate(out=three.path, resume=True, lr=0.1)


def test_an_unfinished_fold_is_gone_on_with(three, data, tmp_path, monkeypatch):
    fit, calls = training.fit, []

    def failing(job, resume):
        calls.append((job.run.path.name, resume))
        if len(calls) == 2:
            raise InputError("a power cut")
        return fit(job, resume=resume)

    monkeypatch.setattr(training, "fit", failing)
    with pytest.raises(InputError, match="a power cut"):
        cross_validate(data, folds=3, out=tmp_path / "cv", **TINY)
    again = cross_validate(out=tmp_path / "cv", resume=True)
    assert calls == [("fold1", False), ("fold2", False), ("fold2", True), ("fold3", False)]
    assert again.rows == three.rows


def test_on_the_command_line(three):
    done = CliRunner().invoke(cli, ["train", "--resume", "--out", str(three.path)])
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["fold", "val_top1", "val_loss", "last_val_top1", "test_top1"]
    assert [line.split()[0] for line in lines[1:6]] == ["1", "2", "3", "mean", "deviation"]
    done = CliRunner().invoke(cli, ["train", "--resume", "--out", str(three.path), "--json"])
    assert json.loads(done.stdout)["runs"] == three.rows


def test_a_single_fold_is_an_ordinary_run(three, data, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "finish", lambda job, source, best_epoch: job)
    job = training.train(recipe=str(three.path / "fold2/recipe.yaml"), out=tmp_path / "run")
    assert job.run.read_metrics()[-1]["val_top1"] == three.rows[1]["last_val_top1"]
    assert not folds.asked({"recipe": str(three.path / "fold2/recipe.yaml")}, None, resume=False)
    assert folds.asked({"recipe": str(three.path / "recipe.yaml")}, None, resume=False)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"folds": 3}, "folds=3, fold=None: a single run is one fold, such as fold=1 of folds=5"),
        ({"fold": 3}, "folds=None, fold=3: a single run is one fold"),
        ({"folds": 3, "fold": 4}, "folds=3, fold=4: a single run is one fold"),
        ({"folds": 50, "fold": 4}, "folds=50, and there are 39 images; give fewer folds"),
        ({"folds": 1}, "folds=1: give at least 2"),
    ],
    ids=str,
)
def test_refused(settings, said, data, tmp_path):
    with pytest.raises(InputError, match=said):
        training.train(data, out=tmp_path / "run", **TINY, **settings)
    assert not (tmp_path / "run").exists()


def test_several_processes_and_no_number_are_refused(data, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="there is no number of folds; give one, such as folds=5"):
        cross_validate(data, out=tmp_path / "cv")
    with pytest.raises(InputError, match=r"no recipe\.yaml here, so there are no folds to go on with"):
        cross_validate(data, out=tmp_path / "cv", resume=True)
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "0"), ("LOCAL_RANK", "0"), ("MASTER_ADDR", "x"), ("MASTER_PORT", "1")):
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="start without torchrun"):
        cross_validate(data, folds=3, out=tmp_path / "cv")
