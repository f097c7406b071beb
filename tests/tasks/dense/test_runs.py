"""Detection and segmentation from a folder to a run directory and what is made of it, as for classification: the contract that
each kind of head keeps."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import resnets
from resnets.engine.run import RunDir
from resnets.models import weights
from resnets.tasks import TASKS
from resnets.verbs import evaluate as evaluation
from resnets.verbs import report
from resnets.verbs import train as training
from tests.data.made_dense import picture, segments
from tests.tasks.dense.made import KINDS, rows, train

PLOTS = {"segment": ["confusion", "curves", "worst"], "detect": ["curves", "precision_recall", "worst"]}


@pytest.fixture(scope="module", params=KINDS)
def kind(request, tmp_path_factory):
    """A finished run of a kind: what it is, its data, and the run."""
    folder = tmp_path_factory.mktemp(request.param)
    task, make, settings = KINDS[request.param]
    data = make(folder / "data", train=6, val=3)
    run = train(data, folder / "run", task, **settings | {"epochs": None, "steps": 2})
    return SimpleNamespace(name=request.param, task=TASKS[task], data=data, run=run, path=folder / "run")


def test_listing_of_a_run(kind):
    found = sorted(str(path.relative_to(kind.path)) for path in kind.path.rglob("*") if path.is_file())
    assert found == [
        "best.safetensors", "evaluation.json", "last.safetensors", "metrics.csv",
        *(f"plots/{name}.png" for name in PLOTS[kind.task.name]),
        "provenance.json", "recipe.yaml", "report.html", "resume.json", "resume.safetensors",
    ]  # fmt: skip


def test_metrics_have_the_tasks_columns(kind):
    (row,) = rows(kind.path)
    names = [name for name in row if name.startswith("val_")]
    assert names == [f"val_{name}" for name in kind.task.metrics] and row["step"] == "2"
    assert float(row["train_loss"]) > 0 and float(row["val_" + kind.task.metrics[0]]) >= 0
    header = weights.read_header(kind.path / "best.safetensors")
    assert set(header.metrics) == {"epoch", "step", *names} and header.task == kind.task.name
    assert header.provenance["recipe"]["task"] == kind.task.name and header.provenance["data"]["num_images"]["train"] == 6


def test_the_saved_file_gives_the_same_outputs(kind):
    again = resnets.load(kind.path)
    assert again.form == kind.run.model.form and again.labels == kind.run.model.labels
    x = torch.randn(1, 3, 33, 41)
    with torch.inference_mode():
        one, two = kind.run.model.eval()(x), again(x)
    for a, b in zip(one, two, strict=True):
        assert all(torch.equal(a[name], b[name]) for name in a) if isinstance(a, dict) else torch.equal(a, b)


def test_evaluation_later_is_the_evaluation_of_the_run(kind, command):
    first = json.loads((kind.path / "evaluation.json").read_text())
    code, out, _ = command("eval", kind.path, kind.data, "--json", "-j", 0, "--device", "cpu")
    again = json.loads(out)
    assert code == 0 and {name: again[name] for name in first} == first and first["split"] == "val"
    assert kind.run.result["per_class"] == first["per_class"] and first["num_images"] == 3
    code, out, _ = command("eval", kind.path, kind.data, "-j", 0, "--device", "cpu")
    assert code == 0 and out.splitlines()[0].startswith("val m") and out.splitlines()[2].startswith("class ")
    assert len(out.splitlines()) == 3 + len(again["labels"])


def test_the_report_has_the_score(kind):
    page = (kind.path / "report.html").read_text(encoding="utf-8")
    score, words, columns = report.SCORES[kind.task.name]
    assert f"<strong>{report.percent(kind.run.result[score])}</strong>validation {words}" in page
    assert all(f">{heading}</th>" in page for name, heading in columns.items() if name in kind.run.result["per_class"][0])
    assert all(f'id="{section}"' in page for section in ("worst", "classes", "settings"))


def test_predict_writes_rows_drawings_and_masks(kind, command, tmp_path):
    source = training.settle(training.requested({"data": str(kind.data), "task": kind.task.name}), None).source.splits["val"]
    paths = [source.images.name(index) for index in range(2)]
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    low = ["--device", "cpu", "--threshold", 0.0]
    code, out, err = command("predict", kind.path, *paths, broken, "--format", "json", *low)
    found = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and [row["path"] for row in found] == [*paths, str(broken)] and "error" in found[2]
    assert "1 of 3 pictures could not be read" in err
    answers = kind.run.model.predict(paths, threshold=0.0)
    assert [{"path": path} | answer for path, answer in zip(paths, answers, strict=True)] == found[:2]
    entries = [entry for row in found[:2] for entry in row["objects" if kind.task.name == "detect" else "classes"]]
    assert entries, "there is something to write"

    code, out, _ = command("predict", kind.path, *paths, broken, "--format", "csv", *low)
    table = list(csv.DictReader(out.splitlines()))
    assert [row["label"] for row in table if row["label"]] == [entry["label"] for entry in entries]
    assert table[-1]["error"] == found[2]["error"] and all(None not in row for row in table)

    code, out, _ = command("predict", kind.path, *paths, *low)
    assert code == 0 and [line.split("  ")[0] for line in out.splitlines()] == paths and entries[0]["label"] in out

    made = tmp_path / "made"
    masked = kind.task.name == "segment" or kind.run.model.form["masks"]
    words = ["--draw", made / "drawn", "--masks", made / "masks"][: 4 if masked else 2]
    code, out, _ = command("predict", kind.path, *paths, "--format", "json", *words, *low)
    for row, path in zip(map(json.loads, out.splitlines()), paths, strict=True):
        with Image.open(row["drawn"]) as drawn, Image.open(path) as given:
            assert drawn.format == "PNG" and min(drawn.size) > 100
            if masked:
                numbers = np.array(Image.open(row["mask"]))
                assert numbers.shape == (given.height, given.width) and numbers.any()
    if not masked:
        code, _, err = command("predict", kind.path, *paths, "--masks", made / "masks")
        assert code == 2 and "--masks: this detector finds boxes and no outlines; leave it out" in err


def test_predict_goes_on_with_rows_and_keeps_each_drawing(command, tmp_path):
    """Two pictures of one stem: the second call draws the one that is left, under the name that it has in a whole call."""
    net = resnets.create_model(
        "resnet20_cifar", depths=(1, 1, 1), width=8, task="segment", labels=("a", "b"),
        preprocess=resnets.data.preprocess.Preprocess(size=(30, 40), resize="keep"),
    )  # fmt: skip
    resnets.save(net, tmp_path / "m.safetensors")
    pictures = [picture(tmp_path / folder / "x.png") for folder in ("one", "two")]
    words = ["--out", tmp_path / "rows.json", "--draw", tmp_path / "drawn", "--device", "cpu"]
    assert command("predict", tmp_path / "m.safetensors", *pictures, *words)[0] == 0
    whole = (tmp_path / "rows.json").read_text()
    assert [json.loads(line)["drawn"].rpartition("/")[2] for line in whole.splitlines()] == ["x.png", "x-2.png"]
    (tmp_path / "rows.json").write_text(whole.splitlines(keepends=True)[0])
    before = (tmp_path / "drawn/x.png").stat().st_mtime_ns
    assert command("predict", tmp_path / "m.safetensors", *pictures, *words, "--resume")[0] == 0
    assert (tmp_path / "rows.json").read_text() == whole and (tmp_path / "drawn/x.png").stat().st_mtime_ns == before
    code, _, err = command("predict", tmp_path / "m.safetensors", *pictures, "--out", tmp_path / "rows.csv", "--resume")
    assert code == 2 and "--resume needs --format json" in err
    before = [path.read_bytes() for path in pictures]
    for flag in ("--draw", "--masks"):
        code, _, err = command("predict", tmp_path / "m.safetensors", pictures[0], flag, tmp_path / "one")
        assert code == 2 and "is one of the pictures, and would be overwritten; give another folder" in err
    code, _, err = command(
        "predict", tmp_path / "m.safetensors", *pictures, "--draw", tmp_path / "d", "--masks", tmp_path / "d"
    )
    assert code == 2 and "give two folders" in err and [path.read_bytes() for path in pictures] == before


def test_eval_finds_the_split_that_was_cut_though_the_model_has_more_classes(tmp_path, undrawn):
    data = segments(tmp_path / "data", train=8)
    train(data, tmp_path / "run", "segment", epochs=1, num_classes=5)
    again = evaluation.evaluate(tmp_path / "run", str(data), split="val", device="cpu")
    (row,) = RunDir(tmp_path / "run").read_metrics()
    assert again["num_images"] == 1 and again["miou"] == pytest.approx(row["val_miou"], abs=1e-5)
