"""What the verbs print: tables that line up, JSON that is whole, and one line whatever is in a name."""

import json

import pytest
import torch

from resnets.cli import tables
from resnets.cli.main import main
from resnets.data.preprocess import Preprocess
from resnets.models import header as saved
from resnets.models import zoo
from resnets.ship import hub

SPEC = zoo.get("resnet20_cifar", depths=(1, 1, 1), width=4, num_classes=2)


def said(capsys, *words):
    with pytest.raises(SystemExit) as stopped:
        main(words)
    out, err = capsys.readouterr()
    assert (stopped.value.code, err) == (0, "")
    return out


# --- models ----------------------------------------------------------------------------------------------------------


def test_models_lists_every_network_with_its_figures(capsys):
    networks, bundled = said(capsys, "models").split("\n\n")
    lines = networks.splitlines()
    assert [line.split()[0] for line in bundled.splitlines()[1:]] == list(saved.boxed())
    assert lines[0].split() == ["name", "layers", "parameters", "multiply-adds", "input"]
    assert [line.split()[0] for line in lines[1:]] == list(zoo.ROWS)
    (row,) = [line.split() for line in lines if line.startswith("resnet50 ")]
    assert row == ["resnet50", "50", "25,557,032", "4,089.18", "M", "224"]
    assert len({line.rindex(" M ") for line in lines[1:]}) == len(set(map(len, lines))) == 1, "the columns line up"


def test_models_of_a_pattern_as_json(capsys):
    out = said(capsys, "models", "resnet*_cifar", "--json")
    rows = json.loads(out)["models"]
    assert out.count("\n") == 1 and [row["name"] for row in rows] == zoo.names("resnet*_cifar")
    assert rows[0] == {
        "name": "resnet20_cifar", "layers": 20, "params": 269_722, "macs": 40_551_040, "img_size": 32, "num_classes": 10,
    }  # fmt: skip


# --- info ------------------------------------------------------------------------------------------------------------


def test_info_shows_the_papers_table(capsys):
    lines = said(capsys, "info", "resnet50").splitlines()
    assert lines[0] == "resnet50, input 3 x 224 x 224"
    assert [line.split()[0] for line in lines[2:10]] == [
        "stage",
        "conv1",
        "conv2_x",
        "conv3_x",
        "conv4_x",
        "conv5_x",
        "head",
        "total",
    ]
    assert lines[9].split()[1:] == ["50", "layers", "25,557,032", "4,089.18", "M"]
    assert lines[-1] == "features  c1 64 at 1/2, c2 256 at 1/4, c3 512 at 1/8, c4 1024 at 1/16, c5 2048 at 1/32"


def test_info_as_json_adds_up(capsys):
    result = json.loads(said(capsys, "info", "resnet18", "--json", "--img-size", "64", "--in-chans", "1", "--num-classes", "7"))
    spec = zoo.get("resnet18", in_chans=1, num_classes=7)
    assert (result["layers"], result["params"], result["macs"]) == (18, spec.num_params, spec.num_macs(64))
    assert result["input"] == [1, 64, 64] and result["spec"]["num_classes"] == 7
    assert result["features"]["c5"] == {"channels": 512, "stride": 32}
    assert sum(stage["num_params"] for stage in result["stages"]) == result["params"]
    assert "header" not in result


def test_info_with_other_axes(capsys):
    assert said(capsys, "info", "resnet18", "--dims", "3", "--img-size", "32").startswith("resnet18, input 3 x 32 x 32 x 32\n")


@pytest.fixture
def file(tmp_path):
    torch.manual_seed(0)
    model = hub.create_model(SPEC, labels=("two\nlines", "\x1b[31mred"), preprocess=Preprocess(size=(8, 6), crop_pct=1.0))
    model.metadata = {
        "metrics": {"val_top1": 0.5},
        "provenance": {"command": "resnets train", "seed": 3, "data": {"name": "pets", "labels": ["a", "b"]}},
    }
    return hub.save(model, tmp_path / "model.safetensors")


def test_info_of_a_file_shows_its_header(capsys, file):
    lines = said(capsys, "info", str(file)).splitlines()
    assert lines[0] == "resnet20_cifar, input 3 x 8 x 6"
    assert r"labels      two\nlines, \x1b[31mred" in lines
    assert {"task        classify", "metrics     val_top1=0.5", "seed        3", "data        pets"} <= set(lines)
    header = json.loads(said(capsys, "info", str(file), "--json"))["header"]
    assert header["labels"] == ["two\nlines", "\x1b[31mred"] and header["preprocess"]["size"] == [8, 6]
    assert header["provenance"]["seed"] == 3 and header["spec"]["depths"] == [1, 1, 1]


def test_info_of_a_file_with_changes(capsys, file):
    assert json.loads(said(capsys, "info", str(file), "--num-classes", "5", "--img-size", "12", "--json"))["input"] == [
        3,
        12,
        12,
    ]


def told(model):
    """What is said of a model, without the steps of saving it."""
    header = {"metrics": {}, "provenance": {}, "head": {}, "decision": {}}
    return tables.about(
        type("Header", (), header | {"labels": model.labels, "task": "classify", "preprocess": model.preprocess})
    )


def test_many_labels_are_cut_short():
    spec = zoo.change(SPEC, num_classes=30)
    model = hub.create_model(spec, labels=[f"n{n}" for n in range(30)])
    assert told(model)[1].endswith("n8, n9, ... (30)")


def test_preprocessing_that_only_some_images_have_is_told_of_their_models_alone():
    size = {"size": (8, 6), "mean": (0.5,) * 3, "std": (0.25,) * 3}
    model = hub.create_model(SPEC, labels=["a", "b"])
    model.preprocess = Preprocess(**size)
    plain = told(model)[2]
    assert plain.startswith("preprocess  size=8,6") and plain.endswith("std=0.25,0.25,0.25")
    model.preprocess = Preprocess(**size, bit_depth=12, window=(40.0, 400.0))
    assert told(model)[2] == f"{plain}  bit_depth=12  window=40.0,400.0"
