"""Several seeds and folds: every picture is validated once, each run is an ordinary one, what is finished is not done again."""

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner

from resnets.cli.main import cli
from resnets.engine.run import RunDir
from resnets.errors import InputError
from resnets.verbs import evaluate as evaluation
from resnets.verbs import repeats
from resnets.verbs import train as training
from resnets.verbs.repeats import repeat

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
    return repeat(data, folds=3, out=out, **TINY)


@pytest.mark.slow
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


def test_what_a_notebook_shows(three):
    assert list(three.histories) == ["fold1", "fold2", "fold3"]
    assert max(three.histories["fold2"]["val_top1"]) == three.rows[1]["val_top1"]
    mean, deviation = (f"{three.scores['test_top1'][name]:.4f}" for name in ("mean", "deviation"))
    assert repr(three).startswith(f"Repeats({three.path}: 3 runs; val_top1 ") and f"test_top1 {mean} ± {deviation})" in repr(
        three
    )
    table = three._repr_html_()
    assert table.count("<tr>") == 1 + 3 + 1 and f"<td>{mean} ± {deviation}</td>" in table and "<th>fold3</th>" in table


def test_answers_out_of_fold(three, data):
    """Of each picture of the training and validation splits one, from the fold that was not trained on it."""
    with (three.path / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    val = [row for row in rows if row["split"] == "val"]
    assert len({row["path"] for row in val}) == len(val) == 39 and {row["split"] for row in rows} == {"val", "test"}
    for row in three.rows:
        own = [line for line in val if line["fold"] == str(row["fold"])]
        assert np.mean([line["truth"] == line["answer"] for line in own]) == pytest.approx(row["val_top1"], abs=1e-6)


def test_a_page_of_all(three):
    page = (three.path / "report.html").read_text()
    mean, deviation = (three.scores["test_top1"][name] for name in ("mean", "deviation"))
    assert f"{100 * mean:.1f} %" in page and f"standard deviation {100 * deviation:.2f} %" in page and "3 folds" in page
    assert all(f'href="fold{number}/report.html"' in page for number in (1, 2, 3)) and "data:image/png;base64," in page


def test_a_fold_is_validated_again_on_its_own_part(three, data):
    for row in three.rows:
        found = evaluation.evaluate(three.path / row["run"], data, split="val")
        assert (found["num_images"], found["top1"]) == (13, pytest.approx(row["val_top1"], abs=1e-6))


def test_finished_folds_are_not_run_again(three, monkeypatch):
    (three.path / "folds.json").unlink()
    monkeypatch.setattr(training, "train", None)
    again = repeat(out=three.path, resume=True)
    assert again.rows == three.rows and (three.path / "folds.json").exists()
    with pytest.raises(InputError, match=r"lr was 0.05, not 0.1"):
        repeat(out=three.path, resume=True, lr=0.1)


@pytest.mark.slow
def test_an_unfinished_fold_is_gone_on_with(three, data, tmp_path, monkeypatch):
    fit, calls = training.fit, []

    def failing(job, resume):
        calls.append((job.run.path.name, resume))
        if len(calls) == 2:
            raise InputError("a power cut")
        return fit(job, resume=resume)

    monkeypatch.setattr(training, "fit", failing)
    with pytest.raises(InputError, match="a power cut"):
        repeat(data, folds=3, out=tmp_path / "cv", **TINY)
    again = repeat(out=tmp_path / "cv", resume=True)
    assert calls == [("fold1", False), ("fold2", False), ("fold2", True), ("fold3", False)]
    assert again.rows == three.rows


@pytest.fixture(scope="module")
def both(data, tmp_path_factory):
    return repeat(data, seeds="3,1", folds=2, out=tmp_path_factory.mktemp("both") / "all", **TINY | {"epochs": 1})


def test_seeds_and_folds(both, data, tmp_path):
    assert [row["run"] for row in both.rows] == ["seed3-fold1", "seed3-fold2", "seed1-fold1", "seed1-fold2"]
    assert {key: both.to_json()[key] for key in ("seeds", "folds")} == {"seeds": 2, "folds": 2}
    assert json.loads((both.path / "seeds.json").read_text()) == both.to_json()
    alone = training.train(data, seed=1, folds=2, fold=2, out=tmp_path / "run", **TINY | {"epochs": 1})
    assert RunDir(alone.path).read_metrics()[-1]["val_loss"] == both.rows[3]["val_loss"]


@pytest.mark.slow
def test_a_number_of_seeds_counts_from_0(data, tmp_path):
    found = repeat(data, seeds=2, out=tmp_path / "all", **TINY | {"epochs": 1})
    assert [row["run"] for row in found.rows] == ["seed0", "seed1"] and "folds" not in found.to_json()
    assert found.rows[0]["val_loss"] != found.rows[1]["val_loss"]
    again = repeat(out=tmp_path / "all", resume=True)
    assert again.rows == found.rows


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"seeds": 1}, "seeds=1: give their number, such as 3, or at least two, such as 0,1,2"),
        ({"seeds": "4,4"}, "seeds=4,4: give"),
        ({"seeds": "0,-1"}, "seeds=0,-1: give"),
        ({"seeds": "many"}, "seeds='many': give a list"),
        ({"seeds": 2, "seed": 5}, "seed=5 and seeds=2 exclude each other"),
    ],
    ids=str,
)
def test_seeds_that_mean_nothing(settings, said, data, tmp_path):
    with pytest.raises(InputError, match=said):
        repeat(data, out=tmp_path / "all", **TINY, **settings)
    assert not (tmp_path / "all").exists()


def test_on_the_command_line(three):
    done = CliRunner().invoke(cli, ["train", "--resume", "--out", str(three.path)])
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["run", "val_top1", "val_loss", "last_val_top1", "test_top1"]
    assert [line.split()[0] for line in lines[1:6]] == ["fold1", "fold2", "fold3", "mean", "deviation"]
    done = CliRunner().invoke(cli, ["train", "--resume", "--out", str(three.path), "--json"])
    assert json.loads(done.stdout)["runs"] == three.rows


@pytest.mark.slow
def test_a_single_fold_is_an_ordinary_run(three, data, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "finish", lambda job, source, best_epoch: job)
    job = training.train(recipe=str(three.path / "fold2/recipe.yaml"), out=tmp_path / "run")
    assert job.run.read_metrics()[-1]["val_top1"] == three.rows[1]["last_val_top1"]
    assert not repeats.asked({"recipe": str(three.path / "fold2/recipe.yaml")}, None, resume=False)
    assert repeats.asked({"recipe": str(three.path / "recipe.yaml")}, None, resume=False)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"folds": 3}, "folds=3, fold=None: a single run is one fold, such as fold=1 of folds=5"),
        ({"fold": 3}, "folds=None, fold=3: a single run is one fold"),
        ({"folds": 3, "fold": 4}, "folds=3, fold=4: a single run is one fold"),
        ({"folds": 50, "fold": 4}, "folds=50, and there are 39 images; give fewer folds"),
        ({"folds": 1}, "folds=1: give at least 2"),
        ({"seeds": 3}, "seeds=3: a single run has one seed, such as seed=0"),
    ],
    ids=str,
)
def test_refused(settings, said, data, tmp_path):
    with pytest.raises(InputError, match=said):
        training.train(data, out=tmp_path / "run", **TINY, **settings)
    assert not (tmp_path / "run").exists()


def test_several_processes_and_no_number_are_refused(data, tmp_path, monkeypatch):
    for resume in (False, True):  # with the data given and nothing there, to resume is to begin
        with pytest.raises(InputError, match="there is no number of folds or seeds; give one, such as folds=5 or seeds=3"):
            repeat(data, out=tmp_path / "cv", resume=resume)
    with pytest.raises(InputError, match=r"no recipe\.yaml here, so there are no runs to go on with"):
        repeat(out=tmp_path / "cv", resume=True)
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "0"), ("LOCAL_RANK", "0"), ("MASTER_ADDR", "x"), ("MASTER_PORT", "1")):
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="start without torchrun"):
        repeat(data, folds=3, out=tmp_path / "cv")


def test_runs_without_validation_loss_or_with_an_epoch_that_cannot_be_scored(tmp_path):
    run = RunDir(tmp_path)
    run.recipe.write_text("task: segment\n")
    run.write_metrics([{"epoch": 1, "val_miou": float("nan")}, {"epoch": 2, "val_miou": 0.5}, {"epoch": 3, "val_miou": 0.25}])
    run.update_provenance(selected="best", result={"split": "val", "miou": 0.5})
    assert repeats.scores_of(run) == {"val_miou": 0.5, "last_val_miou": 0.25}


@pytest.mark.parametrize("content", [None, b"path,truth\na.png\n", b"path,truth\n\xff,cat\n", b'path,truth\n"a.png,cat\n'])
def test_answers_that_are_gone_or_damaged_are_named(tmp_path, content):
    run = RunDir(tmp_path)
    if content is not None:
        run.predictions.write_bytes(content)
    with pytest.raises(InputError, match=r"predictions\.csv: cannot be read .*; remove the folder of this run"):
        list(repeats.answers_of(run))


@pytest.mark.slow
def test_finished_runs_are_made_longer(data, tmp_path):
    repeat(data, folds=2, out=tmp_path / "cv", **TINY | {"epochs": 1})
    for length in ({"epochs": 2}, {}):
        repeat(out=tmp_path / "cv", resume=True, **length)
        runs = [RunDir(tmp_path / "cv" / name) for name in ("fold1", "fold2")]
        assert [len(run.read_metrics()) for run in runs] == [2, 2]
        assert [len(run.read_provenance()["lengthened"]) for run in runs] == [1, 1]
