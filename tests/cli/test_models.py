"""`resnets models`, `info` and `convert` on other libraries' weights, and training from them."""

import json
from pathlib import Path

import pytest
import torch

from resnets.models import header as saved
from resnets.ship import hub
from tests.cli.made import said


def test_convert_says_what_it_knows_and_back_again(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model = hub.create_model("resnet18", depths=(1, 1, 1, 1), num_classes=3)
    torch.save(model.state_dict(), "theirs.pth")
    Path("names.txt").write_text("red\ngreen\nblue\n")
    out, _ = said(capsys, "convert theirs.pth -o ours.safetensors --mean 0.5,0.5,0.5 --std 1,1,1 --labels names.txt")
    for words in (
        "red, green, blue",
        "family      torchvision",
        "licence     not stated",
        "normalised  you",
        "ours.safetensors",
    ):
        assert words in out
    assert "family      torchvision" in said(capsys, "info ours.safetensors")[0]
    result = json.loads(said(capsys, "convert ours.safetensors -o back.pth --to torchvision --json")[0])
    assert result["family"] == "torchvision" and result["file"] == "back.pth"
    back = torch.load("back.pth", weights_only=True)
    assert all(torch.equal(tensor, back[name]) for name, tensor in model.state_dict().items())
    assert "family      torchvision" in said(capsys, "info theirs.pth")[0]


def test_bundled_models_are_listed_and_known_by_name(place, monkeypatch, capsys):
    monkeypatch.setattr(saved, "BOXED", place / "boxed")
    hub.save(hub.load("model.safetensors"), "boxed/tiny_colours.safetensors")
    Path("boxed/tiny_colours.md").write_text("# Three colours\n")
    out, _ = said(capsys, "models colour")
    assert out == "trained, in this package\ntiny_colours              Three colours\n"
    assert json.loads(said(capsys, "models colour --json")[0])["bundled"][0]["name"] == "tiny_colours"
    assert "labels      blue, green, red" in said(capsys, "info tiny_colours")[0]
    assert len(said(capsys, "predict tiny_colours colours/red/0.png")[0].splitlines()) == 1


def test_training_from_other_weights_says_and_keeps_their_terms(place, capsys):
    torch.save(hub.load("model.safetensors").state_dict(), "theirs.pth")
    said(capsys, "convert theirs.pth -o theirs.safetensors --mean 0.5,0.4,0.3 --std 1,1,1")
    flags = "--epochs 1 --batch-size 4 -j 0 --device cpu --img-size 8"
    _, err = said(capsys, f"train colours --weights theirs.safetensors --in-chans 1 --out run {flags}")
    assert "adapted           1 tensors  conv1.weight (3 channels to 1 by their sum)" in err
    assert "licence not stated" in err and "re-initialised    2 tensors  fc.weight, fc.bias" in err
    tuned = hub.load("run")
    assert tuned.preprocess.mean == pytest.approx((0.4,)) and tuned.spec.in_chans == 1
    assert tuned.metadata["provenance"]["weights"]["licence"].startswith("not stated")
    assert "licence     not stated" in said(capsys, "info run")[0]
