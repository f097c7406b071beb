"""`resnets explain`: figures on stdout, the page in a folder."""

import json
from pathlib import Path

import pytest

from resnets.cli.main import main
from tests.cli.made import said


def test_pictures_a_table_and_json(place, capsys):
    words = "explain model.safetensors colours/red/0.png colours/blue --method occlusion --no-trust --out maps"
    out, err = said(capsys, words)
    assert out.splitlines()[0] == "occlusion" and out.count("colours/") == 4 and err.endswith("written: maps/explain.html\n")
    found = json.loads(said(capsys, f"{words} --json")[0])
    assert [Path(image["path"]).name for image in found["images"]] == ["0.png", "0.png", "1.png", "2.png"]
    assert all(Path("maps", file).exists() for image in found["images"] for file in image["files"])


def test_a_folder_of_its_own_each_time(place, capsys):
    for number in (1, 2):
        _, err = said(capsys, "explain model.safetensors colours/red/0.png --method occlusion --no-trust")
        assert err.endswith(f"written: runs/explain/explain{number}/explain.html\n")


def test_a_class_that_is_not_there(place, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["explain", "model.safetensors", "colours/red/0.png", "--class", "gren", "--method", "occlusion", "--out", "maps"])
    assert ended.value.code == 2
    assert "the model has no class 'gren'; did you mean green" in capsys.readouterr().err
