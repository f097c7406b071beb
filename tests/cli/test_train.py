"""`resnets train`: what it prints and where it writes."""

import json
from pathlib import Path

import pytest

from tests.cli.made import FAST, said


def test_train_without_data_learns_digits(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    out, err = said(capsys, f"train --epochs 1 {FAST}")
    folder = Path("runs/classify/train1")
    assert out.splitlines()[-1] == f"use it: resnets predict {folder} PICTURE..." and str(folder / "report.html") in out
    assert "digits: 10 classes" in err
    wanted = {"recipe.yaml", "provenance.json", "metrics.csv", "best.safetensors", "last.safetensors", "report.html", "plots"}
    assert wanted | {
        "resume.safetensors",
        "resume.json",
        "evaluation.json",
        "predictions.csv",
        "slices.json",
        "metrics.jsonl",
    } == {path.name for path in folder.iterdir()}
    assert (folder / "plots/curves.png").is_file() and (folder / "plots/confusion.png").is_file()


def test_train_as_json_and_a_path_with_spaces(place, capsys):
    out, err = said(
        capsys, f"train colours --out 'my runs/first one' --json --epochs 1 {FAST} --img-size 8 -j 0 --batch-size 4"
    )
    result = json.loads(out)
    assert out.count("\n") == 1 and result["run"] == "my runs/first one"
    assert {"split", "num_images", "loss", "top1", "top5", "seconds", "selected"} <= set(result)
    assert "epoch 1 " in err
    out, _ = said(capsys, "predict 'my runs/first one' colours/red/0.png -j 0")
    assert out.startswith("colours/red/0.png  ")


@pytest.mark.slow
def test_runs_are_counted_and_resume_takes_the_newest(place, capsys):
    for _ in range(2):
        said(capsys, f"train colours --epochs 1 {FAST} --img-size 8 -j 0 --batch-size 4")
    assert {path.name for path in Path("runs/classify").iterdir()} == {"train1", "train2"}
    assert json.loads(said(capsys, "train --resume --json")[0])["run"] == "runs/classify/train2"
