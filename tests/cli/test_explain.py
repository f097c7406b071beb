"""`resnets explain`: figures on stdout, the page in a folder."""

import json
from pathlib import Path

import pytest

from resnets.cli.explain import told
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


def test_how_far_to_trust_them_is_told():
    trust = {
        "deletion": 0.2, "random_deletion": 0.4, "insertion": 0.7, "random_insertion": 0.5, "num_maps": 3,
        "better_than_random": 2, "depends": False, "similarity": 0.9,
        "pointing": {"hits": 2, "num": 3, "by_chance": 0.25, "middle": 0.333},
    }  # fmt: skip
    rows = [{"path": "a.png", "answers": [{"answer": "cat 0.9", "deletion": 0.2}]}, {"path": "b.png", "error": "not an image"}]
    head, _, one, other, _, *lines = told({"method": "gradcam", "layer": "layer4", "trust": trust, "images": rows}).splitlines()
    assert (head, one.split()) == ("gradcam of layer4", ["a.png", "cat", "0.9", "0.200", "-", "-", "-"])
    assert other.split() == ["b.png", "not", "an", "image"]
    assert lines == [
        "mean     deletion 0.200 (random 0.400), insertion 0.700 (random 0.500); better than random maps in both: 2 of 3",
        "check    DOES NOT DEPEND ON WHAT WAS LEARNT: do not believe it"
        " (rank correlation with random head and last stage 0.90)",
        "pointing 2 of 3 maps point at the object (25% by chance, 33% in the middle of the picture)",
    ]
