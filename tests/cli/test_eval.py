"""`resnets eval`: in words and as JSON."""

import csv
import json
from pathlib import Path

import pytest

from resnets.ship import hub
from tests.cli.made import FAST, said


def test_eval_as_json_is_one_object_and_nothing_else(place, capsys):
    out, err = said(capsys, "eval model.safetensors colours -j 0 --json")
    result = json.loads(out)
    assert out.count("\n") == 1 and err == ""
    assert (result["split"], result["num_images"], result["model"], result["data"]) == (
        "train",
        9,
        "model.safetensors",
        "colours",
    )
    assert 0 <= result["top1"] <= result["top5"] == 1 and result["loss"] > 0
    assert result["top1_interval"][0] <= result["top1"] <= result["top1_interval"][1]
    assert [row["label"] for row in result["per_class"]] == ["blue", "green", "red"]


def test_eval_in_words(place, capsys):
    out, err = said(capsys, "eval model.safetensors colours -j 0 --out there")
    lines = out.splitlines()
    assert lines[0].startswith("train accuracy ") and "on 9 pictures" in lines[0] and err == ""
    assert lines[1].startswith("balanced accuracy ") and lines[2] == "too few pictures to judge (10 at least): blue, green, red"
    assert [line.split()[0] for line in lines[4:8]] == ["class", "blue", "green", "red"]
    assert lines[-1].startswith("commonest mistakes: ")
    assert (place / "there/evaluation.json").is_file() and (place / "there/plots/confusion.png").is_file()


@pytest.mark.slow
def test_eval_of_the_validation_split_that_was_cut_is_the_number_of_training(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    said(capsys, f"train digits --out run --epochs 2 --no-amp {FAST}")
    result = json.loads(said(capsys, "eval run digits --split val --json --device cpu")[0])
    with Path("run/metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    epoch = hub.load("run").metadata["metrics"]["epoch"]
    (row,) = [row for row in rows if int(row["epoch"]) == epoch]
    assert result["num_images"] == json.loads(Path("run/provenance.json").read_text())["data"]["num_images"]["val"] < 150
    assert result["top1"] == pytest.approx(float(row["val_top1"]), abs=1e-6)
    assert result["loss"] == pytest.approx(float(row["val_loss"]), abs=1e-5)
