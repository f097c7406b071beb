"""Each kind of head of detection and segmentation in a saved model, an evaluation, and predictions with drawings and masks."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import resnets
from resnets.engine.run import RunDir
from resnets.verbs import evaluate as evaluation
from resnets.verbs import train as training
from tests.data.made_dense import picture, segments
from tests.tasks.dense.made import KINDS, train


@pytest.fixture(scope="module", params=KINDS)
def kind(request, tmp_path_factory):
    """A trained model of a kind, without scoring and drawing: its task, its data, and its run. In the order of memory in which
    files answer: in another one the last bits differ, and of boxes after two steps any may be the best."""
    folder = tmp_path_factory.mktemp(request.param)
    task, make, settings = KINDS[request.param]
    data = make(folder / "data", train=6, val=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "finish", lambda job, source, best_epoch: job)
        job = train(data, folder / "run", task, **settings | {"epochs": None, "steps": 2, "channels_last": False})
    model = job.model.eval()
    val = job.task.open_for(model.header, str(data), {}, data_dir=None).splits["val"]
    return SimpleNamespace(task=job.task, data=data, model=model, val=val, path=folder / "run")


def test_the_saved_file_gives_the_same_outputs(kind):
    again = resnets.load(kind.path)
    assert again.head_config == kind.model.head_config and again.labels == kind.model.labels
    x = torch.randn(1, 3, 33, 41)
    with torch.inference_mode():
        one, two = kind.model(x), again(x)
    for a, b in zip(one, two, strict=True):
        assert all(torch.equal(a[name], b[name]) for name in a) if isinstance(a, dict) else torch.equal(a, b)


def test_an_evaluation_is_the_validation_of_training(kind):
    (row,), result = RunDir(kind.path).read_metrics(), evaluation.evaluate(kind.path, str(kind.data), device="cpu", workers=0)
    assert result["num_images"] == 3
    for score in kind.task.scores:
        assert (result[score.key] or 0.0) == pytest.approx(row[f"val_{score.key}"], abs=1e-5)


def test_predict_writes_rows_drawings_and_masks(kind, command, tmp_path):
    paths = [kind.val.images.name(index) for index in range(2)]
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    asked = {"threshold": 0.0} if "threshold" in kind.task.wanted else {}
    low = ["--device", "cpu", *(word for name, value in asked.items() for word in (f"--{name}", value))]
    code, out, err = command("predict", kind.path, *paths, broken, "--format", "json", *low)
    found = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and [row["path"] for row in found] == [*paths, str(broken)] and "error" in found[2]
    assert "1 of 3 pictures could not be read" in err
    answers = kind.model.predict(paths, **asked)
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
    masked = kind.task.name == "segment" or kind.model.head_config["masks"]
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
        assert code == 2 and "--masks: this detector finds boxes and no masks; leave it out" in err


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
    assert code == 2 and "--resume cannot read this back; use --format json" in err
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
