"""Grading from settings to a saved file: what is found out from the data, what is refused, and a run of ordered grades."""

import csv

import numpy as np
import pytest

from resnets import tasks
from resnets.engine.plan import settle
from resnets.errors import InputError
from resnets.models import weights
from resnets.ship.sessions import open_session
from resnets.verbs import export
from resnets.verbs.evaluate import evaluate
from resnets.verbs.predict import predict
from resnets.verbs.train import train
from tests.data.made_dense import save
from tests.tasks.contract.made import NARROW, graded

TASK = tasks.get("grade")


def planned(data, **settings):
    return settle(TASK, {"flag": {"data": str(data), "task": "grade", **NARROW, **settings}}, None)


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    """A list of 20 pictures to learn from and 10 to validate on: 10, 12.5, ..."""
    return graded(tmp_path_factory.mktemp("numbers"), train=20, val=10)


@pytest.fixture(scope="module")
def eyes(tmp_path_factory):
    """Folders 0, 1 and 2, the brighter the higher the grade: 8 pictures each, and in val 4."""
    root = tmp_path_factory.mktemp("eyes")
    for split, num in {"train": 8, "val": 4}.items():
        for grade in range(3):
            for number in range(num):
                random = np.random.default_rng([grade, number, num])
                pixels = random.integers(70 * grade, 70 * grade + 60, (16, 16, 3)).astype(np.uint8)
                save(root / split / str(grade) / f"{number}.png", pixels)
    return root


# --- settings ---


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_mean_and_deviation_of_the_training_split_go_into_the_file(numbers, scale):
    plan = planned(numbers, target_scale=scale)
    values = plan.source.splits["train"].targets.values.astype(float)
    values = np.log1p(values) if scale == "log" else values
    assert plan.head_config == {
        "loss": "huber", "target": "brightness", "scale": scale,
        "mean": pytest.approx(values.mean()), "std": pytest.approx(values.std()),
    }  # fmt: skip
    assert plan.origins["target_mean"] == plan.origins["loss"] == "the data" and plan.labels == ("brightness",)
    assert planned(numbers, target_mean=0.0, target_std=2.0, loss="l1").head_config["std"] == 2


def test_they_are_those_of_what_is_left_to_train_on(numbers, tmp_path):
    lines = numbers.read_text().replace(",val", ",train")
    (numbers.parent / "whole.csv").write_text(lines)
    plan = planned(numbers.parent / "whole.csv")
    assert len(plan.source.splits["val"]) == 3
    assert plan.recipe.target_mean == pytest.approx(float(plan.source.splits["train"].targets.values.mean()))


def test_pictures_stay_whole(numbers):
    plan = planned(numbers)
    assert (plan.preprocess.resize, plan.preprocess.crop_pct, plan.recipe.crop) == ("squash", 1.0, "pad")
    with_weights = planned(numbers, weights="resnet20_cifar10", model="auto", depths=None, width=None)
    assert (with_weights.preprocess.resize, with_weights.preprocess.crop_pct) == ("squash", 1.0)
    assert with_weights.origins["resize"] == "the task" and planned(numbers, resize="pad").preprocess.resize == "pad"


def test_folders_of_grades_are_learnt_by_corn_unless_numbers_are_asked_for(eyes):
    plan = planned(eyes)
    assert plan.recipe.loss == "corn" and plan.labels == ("0", "1", "2") and plan.spec.num_classes == 3
    assert planned(eyes, loss="mse").labels == ("grade",)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"mixup": 0.2}, "mixup=0.2: the task grade has no such setting, only classify and tag"),
        ({"smoothing": 0.1}, "smoothing=0.1: the task grade has no such setting"),
        ({"balance": "loss"}, "balance=loss: the task grade has no such setting"),
    ],
)
def test_settings_of_classes_are_no_settings_of_numbers(settings, words):
    with pytest.raises(InputError, match=f"^{words}"):
        tasks.of({"task": "grade", **settings})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"num_classes": 4}, "num_classes=4"),
        ({"loss": "corn", "target_scale": "log"}, "brightness 12.5 is no grade"),
        ({"interval": 0.95}, "interval=0.95 needs at least 19 validation pictures, and there are 10"),
        ({"target_std": 0.0}, "target_std"),
    ],
)
def test_what_numbers_do_not_allow_is_refused_beforehand(numbers, settings, words):
    with pytest.raises(InputError, match=words):
        planned(numbers, **settings)


def test_what_grades_do_not_allow_is_refused_beforehand(eyes):
    with pytest.raises(InputError, match=r"target=age: .* has grades by its classes and no columns"):
        planned(eyes, target="age")
    with pytest.raises(InputError, match="target_scale=log is for numbers"):
        planned(eyes, loss="corn", target_scale="log")


def test_one_value_that_is_left_after_the_cut_is_refused(tmp_path):
    for number in range(4):
        save(tmp_path / f"{number}.png", np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "a.csv").write_text("path,target\n" + "".join(f"{n}.png,{max(0, n - 2)}\n" for n in range(4)))
    for seed in range(8):
        try:
            plan = planned(tmp_path / "a.csv", seed=seed)
        except InputError as error:
            assert "the same in all of the training split" in str(error)
            break
        assert plan.recipe.target_std > 0
    else:
        raise AssertionError("no seed puts the only other value into validation")


# --- a run ---


@pytest.fixture(scope="module")
def graded_run(eyes, tmp_path_factory):
    settings = NARROW | {"epochs": 6, "batch_size": 4}
    return train(str(eyes), task="grade", out=tmp_path_factory.mktemp("runs") / "run", **settings)


def test_a_run_of_grades_learns_and_says_how_sure_it_is(graded_run, eyes):
    result = graded_run.result
    assert result["kappa"] > 0.5 and result["labels"] == ["0", "1", "2"] and np.sum(result["confusion"]) == 12
    header = weights.read_header(graded_run.path / "best.safetensors")
    assert header.decision["coverage"] == 0.9 and header.decision["num_images"] == 12
    assert result["coverage"] >= 0.9 and header.head["loss"] == "corn"
    rows = list(predict(graded_run.path, [str(eyes / "val" / "2")], device="cpu"))
    assert len(rows) == 4 and all(row["low"] <= row["value"] <= row["high"] for row in rows)
    assert all(row["grade"] in (0, 1, 2) and sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-5) for row in rows)
    with (graded_run.path / "predictions.csv").open() as file:
        kept = {row["path"]: row for row in csv.DictReader(file)}
    assert all(kept[row["path"]]["answer"] == str(row["grade"]) for row in rows)
    again = evaluate(graded_run.path, str(eyes), workers=0, device="cpu")
    assert again["kappa"] == result["kappa"] and again["coverage"] == result["coverage"]


def test_an_exported_file_answers_alike_interval_included(graded_run, eyes, tmp_path):
    result = export.export(graded_run.path, format="onnx", data=str(eyes), out=tmp_path / "model.onnx")
    assert result["equal"] == 1 and result["after"]["score"] == pytest.approx(graded_run.result["r2"])
    header = open_session(tmp_path / "model.onnx").header
    assert header.decision == graded_run.model.decision and header.head == graded_run.model.head_config
    picture = str(eyes / "val" / "1" / "0.png")
    (one,), (two,) = (list(predict(model, [picture], device="cpu")) for model in (graded_run.path, tmp_path / "model.onnx"))
    assert two.keys() == one.keys() and [two[k] for k in ("value", "low", "high")] == pytest.approx(
        [one[k] for k in ("value", "low", "high")], abs=1e-3
    )


def test_a_model_of_numbers_takes_its_own_column(numbers, graded_run, tmp_path):
    header = graded_run.model.header
    (tmp_path / "other.csv").write_text("path,age\n" + f"{numbers.parent / 'val' / '0.png'},1\n")
    with pytest.raises(InputError, match=r"target=grade: .*other\.csv has no such column; it has 'age'"):
        TASK.open_for(header, str(tmp_path / "other.csv"), {}, data_dir=None)
