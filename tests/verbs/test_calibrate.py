"""`resnets calibrate`, and what a calibrated model answers everywhere: in Python, the command, and exported files."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import resnets
from resnets.errors import InputError
from resnets.models import zoo
from resnets.models.weights import read_plain
from resnets.ship import hub
from tests.cli.made import SPEC, said

NUM = 120  # pictures of each colour
AT = 0.05  # wrong answers among those given


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model that tells colours in many shades, and a labelled split of them."""
    root = tmp_path_factory.mktemp("calibrate")
    random = np.random.default_rng(0)
    for split, num in (("train", 20), ("val", NUM), ("test", 10)):
        for index, name in enumerate(("blue", "green", "red")):
            for number in range(num):
                pixels = random.integers(0, 100, (8, 8, 3))
                pixels[..., 2 - index] += random.integers(0, 160)
                path = root / "colours" / split / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels.astype(np.uint8)).save(path)
    run = resnets.train(
        str(root / "colours"), out=root / "run", model="resnet20_cifar", depths=(1, 1, 1), width=4, epochs=4, batch_size=6,
        workers=0, device="cpu", hflip=0, crop="none",
    )  # fmt: skip
    hub.save(run.model, root / "trained.safetensors")
    run.model.decision = {}
    hub.save(run.model, root / "plain.safetensors")
    return root


@pytest.fixture(scope="module")
def calibrated(place):
    """The model with a decision, and what calibrate says of it."""
    out = place / "calibrated.safetensors"
    found = resnets.calibrate(place / "plain.safetensors", str(place / "colours"), out, workers=0, unknown_at="5%", sets=0.9)
    return out, found


@pytest.mark.slow
def test_a_training_ends_with_a_decision(place):
    trained = hub.load(place / "run")
    assert trained.decision["validation"]["num_images"] == 3 * NUM
    evaluation = json.loads((place / "run" / "evaluation.json").read_text())
    assert evaluation["temperature"] == trained.decision["temperature"] and "ece_before" in evaluation
    answers = [row["answer"] for row in csv.DictReader((place / "run" / "predictions.csv").open())]
    assert set(answers) <= {"blue", "green", "red", "unknown"} and len(answers) == 3 * NUM + 30


def test_the_file_has_the_decision_and_the_same_tensors(place, calibrated):
    out, found = calibrated
    before, after = read_plain(place / "plain.safetensors"), read_plain(out)
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert hub.load(out).decision == found["decision"] and hub.load(place / "plain.safetensors").decision == {}
    assert (found["split"], found["num_images"], found["unknown"] <= 0.05) == ("val", 3 * NUM, True)


def test_it_is_what_a_training_decides(place):
    out = place / "again.safetensors"
    found = resnets.calibrate(place / "plain.safetensors", str(place / "colours"), out, workers=0)
    assert found["decision"] == hub.load(place / "run").decision


def test_a_bundled_model_stays_in_16_bits(place, tmp_path):
    labels = ("cat", "dog")
    for name in labels:
        for number in range(2):
            path = tmp_path / "pets" / "val" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 32), (number * 90, 80, 80)).save(path)
    found = resnets.calibrate("resnet20_cifar10", str(tmp_path / "pets"), tmp_path / "own.safetensors", workers=0)
    tensors = read_plain(tmp_path / "own.safetensors")
    assert {tensor.dtype for name, tensor in tensors.items() if name.endswith("weight")} == {torch.float16}
    assert len(found["notes"]) == 2 and found["decision"]["temperature"] == 1


def test_a_training_whose_validation_supports_no_such_rule_is_whole_but_for_it(place, tmp_path):
    """As many pictures as a risk takes at least, but too many errors: nothing of the run is lost."""
    settings = {"model": "resnet20_cifar", "depths": (1, 1, 1), "width": 4, "steps": 1, "workers": 0, "device": "cpu"}
    with pytest.raises(InputError, match=r"abstain_at=0.01: a validation split of 360 .*; all else of the run is in .*run"):
        resnets.train(str(place / "colours"), out=tmp_path / "run", abstain_at="1%", **settings)
    assert hub.load(tmp_path / "run").decision["abstain"]["at"] is None
    assert {"evaluation.json", "predictions.csv", "report.html"} <= {path.name for path in (tmp_path / "run").iterdir()}
    with pytest.raises(InputError, match=r"abstain_at=0.005: takes a validation split of at least 665, and it has 360"):
        resnets.train(str(place / "colours"), out=tmp_path / "none", abstain_at="0.5%", **settings)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("out", "settings", "words"),
    [
        ("model.onnx", {}, "name the file to write model.safetensors"),
        (
            "model.safetensors",
            {"lr": 0.1},
            "lr: no settings of calibrate for the task classify; it has: .*temperature, abs",
        ),
        ("model.safetensors", {"abstain_at": "0.1%"}, "abstain_at=0.001: a validation split of 360 supports no such rule"),
        ("model.safetensors", {"abstain_at": "all"}, "abstain_at='all': give a number"),
        ("model.safetensors", {"split": "tost"}, "has no tost split"),
    ],
)
def test_refused(place, tmp_path, out, settings, words):
    with pytest.raises(InputError, match=words):
        resnets.calibrate(place / "plain.safetensors", str(place / "colours"), tmp_path / out, workers=0, **settings)
    assert not list(tmp_path.iterdir())


def test_a_task_without_rules_is_refused(tmp_path):
    model = hub.create_model(zoo.change(SPEC, num_classes=2), task="segment", labels=("a", "b"), head_config={"head": "fcn"})
    saved = hub.save(model, tmp_path / "m.safetensors")
    with pytest.raises(InputError, match="the task segment has no such setting, only classify"):
        resnets.calibrate(saved, str(tmp_path), tmp_path / "o.safetensors", sets=0.9)
    with pytest.raises(InputError, match="the task segment has no such setting, only classify"):
        list(resnets.predict(saved, [tmp_path], abstain_at=0.1))


# --- what predict and eval make of it ---


def test_predict_and_eval_answer_by_what_is_asked_for(place, calibrated, capsys, monkeypatch):
    monkeypatch.chdir(place)
    words = "predict calibrated.safetensors colours/test -j 0"
    asked = [json.loads(line) for line in said(capsys, f"{words} --format json --abstain-at {AT}")[0].splitlines()]
    plain = [json.loads(line) for line in said(capsys, f"{words} --format json")[0].splitlines()]
    kinds = {row["answer"] for row in asked}
    assert "unsure" in kinds and "unsure" not in {row["answer"] for row in plain}
    assert all(row["answer"] in (row["label"], "unsure", "unknown") for row in asked)
    assert all(set(row["set"]) >= {row["label"]} for row in plain), "sets of 90 % are the file's default"
    assert [(row["label"], row["probability"]) for row in asked] == [(row["label"], row["probability"]) for row in plain]
    lines = said(capsys, f"{words} --abstain-at {100 * AT}% --no-unknown --format csv --topk 1")[0].splitlines()
    assert lines[0] == "path,label,probability,answer,error" and not any(",unknown," in line for line in lines)
    assert any(line.endswith(",unsure,") for line in lines)

    result = json.loads(said(capsys, "eval calibrated.safetensors colours -j 0 --abstain-at 5% --sets 95% --json")[0])
    rows = list(resnets.predict(place / "calibrated.safetensors", [place / "colours/test"], abstain_at="5%", sets=0.95))
    truth = [Path(row["path"]).parent.name for row in rows]
    assert result["unsure"] == pytest.approx(np.mean([row["answer"] == "unsure" for row in rows]))
    assert result["set_coverage"] == pytest.approx(np.mean([true in row["set"] for row, true in zip(rows, truth, strict=True)]))
    assert (result["abstain_at"], result["sets_at"]) == (AT, 0.95)
    text = said(capsys, "eval calibrated.safetensors colours -j 0 --abstain-at 5%")[0]
    assert "asked for: at most 5%, with 95% confidence" in text and "before temperature" in text
    with pytest.raises(InputError, match="keeps no rule"):
        resnets.evaluate(place / "plain.safetensors", str(place / "colours"), sets=0.9, workers=0)


def test_calibrate_as_a_command(place, capsys, monkeypatch):
    monkeypatch.chdir(place)
    out, _ = said(capsys, "calibrate plain.safetensors colours -o command.safetensors -j 0 --abstain-at 20% --no-temperature")
    assert out.startswith("of the pictures by which the rules were chosen:\nval accuracy") and out.endswith(
        "written: command.safetensors\n"
    )
    decision = hub.load("command.safetensors").decision
    assert decision["abstain"]["at"] == 0.2 and "temperature" not in decision


@pytest.mark.slow
def test_an_exported_file_answers_alike(place, calibrated, tmp_path):
    pytest.importorskip("onnxscript")
    file = tmp_path / "model.onnx"
    resnets.export(calibrated[0], format="onnx", out=file, data=str(place / "colours"), num_check=9)
    wanted = {"abstain_at": AT, "workers": 0}
    expected = list(resnets.predict(calibrated[0], [place / "colours/test"], **wanted))
    for row, same in zip(resnets.predict(file, [place / "colours/test"], **wanted), expected, strict=True):
        assert (row["answer"], row["set"]) == (same["answer"], same["set"])
        assert row["probability"] == pytest.approx(same["probability"], abs=1e-5)
