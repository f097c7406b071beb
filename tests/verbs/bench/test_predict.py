"""Speed beside peers: the table of rows, the arithmetic, what happens to rows that cannot be measured, and real, tiny runs."""

import itertools
import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
import torchvision
from PIL import Image

from resnets.cli.main import main
from resnets.data.preprocess import Preprocess
from resnets.draw.text import columns
from resnets.errors import InputError
from resnets.models import zoo
from resnets.ship import hub
from resnets.verbs.bench import predict, rows, table
from resnets.verbs.bench.predict_job import MADE, SAMPLE_SIZE, scale_random_weights
from resnets.verbs.bench.predict_ways import ROWS
from resnets.verbs.bench.process import Failed


def said(capsys, words):
    """What the command says on stdout; it must end well."""
    with pytest.raises(SystemExit) as stopped:
        main(shlex.split(words))
    out, err = capsys.readouterr()
    assert stopped.value.code == 0, err
    return out


@pytest.fixture
def model(tmp_path):
    """The file of a small network."""
    torch.manual_seed(0)
    spec = zoo.get("resnet20_cifar", depths=(1, 1, 1), width=4, num_classes=3)
    preprocess = Preprocess(size=(8, 8), crop_pct=1.0)
    return hub.save(hub.create_model(spec, preprocess=preprocess), tmp_path / "model.safetensors")


@pytest.fixture
def folder(tmp_path):
    """Three pictures, one of which is none."""
    for name, size in (("a.jpg", (40, 30)), ("deep/b.PNG", (20, 30))):
        (tmp_path / "pictures" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, "blue").save(tmp_path / "pictures" / name)
    (tmp_path / "pictures" / "bad.jpg").write_text("no picture")
    (tmp_path / "pictures" / "notes.txt").write_text("no picture either")
    return tmp_path / "pictures"


# --- the tables ------------------------------------------------------------------------------------------------------


def test_every_row_opens_a_file_that_can_be_made():
    for name, row in ROWS.items():
        assert row.ours == name.startswith("resnets-"), name
        files = predict.needed([name])
        assert files[-1] == row.file and files[0] == "model.safetensors"
        assert all(MADE[after].source == before for before, after in itertools.pairwise(files))
    everything = predict.needed(list(ROWS))
    assert sorted(everything) == sorted(MADE) and all(
        everything.index(MADE[file].source) < n for n, file in enumerate(everything) if n
    )


def test_the_rows_by_default():
    chosen, notes = predict.choose_rows(None, peers=True)
    assert notes == [] and chosen == [
        "torchvision", "timm", "onnxruntime", "openvino-f32", "openvino-bf16", "openvino-int8",
        "resnets-torch", "resnets-onnx", "resnets-onnx-int8", "resnets-openvino", "resnets-openvino-int8",
    ]  # fmt: skip
    chosen, notes = predict.choose_rows(["resnets-onnx", "timm", "torchvision"], peers=False)
    assert chosen == ["resnets-onnx"] and notes == [
        "left out, because they need a torchvision network by name: torchvision, timm"
    ]


def test_the_names_that_peers_know():
    assert set(rows.TORCHVISION) == set(zoo.ROWS) & set(torchvision.models.list_models(module=torchvision.models))


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"rows": ["resnet-onnx"]}, "no row is called 'resnet-onnx'; there are: torchvision, timm"),
        ({"rows": ["timm"], "model": "seresnet50"}, "nothing to measure: timm need"),
        ({"model": "resnet51"}, "did you mean resnet50"),
        ({"pictures": "nowhere"}, "nowhere: no such folder"),
        ({"pictures": "."}, "no images here"),
    ],
)
def test_bad_input(settings, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=said):
        predict.measure(**settings)


# --- arithmetic ------------------------------------------------------------------------------------------------------


def told(seconds, latencies, cold_start, labels="aabb"):
    return {"labels": list(labels), "seconds": seconds, "latencies": latencies, "cold_start_seconds": cold_start}


def test_medians_and_ratios():
    runs = {
        "torchvision": [told(4, [0.1, 0.2], 3), told(2, [0.3], 1), told(0.5, [0.4, 0.5], 2)],
        "timm": [told(1, [0.1], 1)],
        "resnets-onnx": [told(0.2, [n / 1000 for n in range(101)], 0.5, labels="aaba"), told(0.4, [0.05], 0.7, labels="aaba")],
    }
    one, two, three = predict.summarise(runs)
    assert (one["row"], one["pictures_per_second"], one["times_torchvision"], one["times_best_peer"]) == (
        "torchvision",
        2,
        1,
        0.5,
    )
    assert one["latency_ms"] == {"p50": 300, "p99": 496} and one["cold_start_seconds"] == 2
    assert [run["pictures_per_second"] for run in one["rounds"]] == [1, 2, 8]
    assert (two["pictures_per_second"], two["times_torchvision"], two["times_best_peer"]) == (4, 2, 1)
    assert (three["pictures_per_second"], three["times_torchvision"], three["times_best_peer"]) == (15, 7.5, 3.75)
    assert three["latency_ms"] == {"p50": 50, "p99": 98.99} and three["cold_start_seconds"] == 0.6
    assert [row["same_labels_as_torchvision"] for row in (one, two, three)] == [1, 1, 0.75]


def test_without_peers_there_are_no_ratios():
    (row,) = predict.summarise({"resnets-torch": [told(1, [0.1], 1)]})
    assert row["times_torchvision"] is row["times_best_peer"] is row["same_labels_as_torchvision"] is None
    assert predict.cells({"rows": [row]})[1] == ["resnets-torch", "4.0", "-", "-", "100.0", "100.0", "1.00"]


# --- rows that fail --------------------------------------------------------------------------------------------------


def test_rounds_go_through_all_rows_and_a_row_that_fails_is_left_alone(monkeypatch, tmp_path):
    asked = []

    def ask(job, verb, name):
        asked.append((verb, name))
        if verb == "inspect":
            sizes = {"width": 1, "height": 1, "bytes": 1}
            return {"paths": ["a", "b"], "bad": {}, "bf16": True, "sizes": sizes, "device": {"name": "x", "processors": 1}}
        if name in ("peer.xml", "timm"):
            raise Failed(f"RuntimeError: {name} is broken")
        return told(1, [1], 1, labels="ab")

    monkeypatch.setattr(predict, "ask", ask)
    names = ["torchvision", "timm", "openvino-int8", "resnets-torch"]
    result = predict.measure(rounds=2, rows=names)
    assert [row.get("error") for row in result["rows"]] == [
        None, "RuntimeError: timm is broken", "RuntimeError: peer.xml is broken", None,
    ]  # fmt: skip
    assert ("make", "peer-int8.xml") not in asked and [name for verb, name in asked if verb == "throughput"] == [
        "torchvision", "resnets-torch", "torchvision", "resnets-torch",
    ]  # fmt: skip
    assert [name for verb, name in asked if verb == "latency"].count("timm") == 1
    assert predict.cells(result)[2] == ["timm", "-", "-", "-", "-", "-", "-"]
    assert table.remarks(result) == ["timm: RuntimeError: timm is broken", "openvino-int8: RuntimeError: peer.xml is broken"]
    assert columns(*predict.report(result)[1:3]).count("\n") == len(names)
    json_file, table_file = table.write(result, predict.report(result), tmp_path / "speed.v1.json")
    assert json.loads(json_file.read_text()) == result and table_file == tmp_path / "speed.v1.md"
    assert "| torchvision | 2.0 | 1.00 | 1.00 | 1000.0 | 1000.0 | 1.00 |" in table_file.read_text().splitlines()


@pytest.mark.slow
def test_a_missing_package_is_named_and_the_rest_goes_on(monkeypatch, model, folder):
    find_spec = rows.util.find_spec
    monkeypatch.setattr(rows.util, "find_spec", lambda name: None if name in ("onnx", "onnxscript") else find_spec(name))
    result = predict.measure(str(model), pictures=folder, rounds=1, rows=["resnets-onnx", "resnets-torch", "timm"])
    good, bad = result["rows"]
    assert bad == {"row": "resnets-onnx", "error": "not installed: pip install onnx onnxscript"}
    assert good["row"] == "resnets-torch" and good["pictures_per_second"] > 0
    assert result["pictures"] == {"num": 2, "folder": str(folder), "width": 30, "height": 30} | {
        "bytes": result["pictures"]["bytes"]
    }
    left_out, unread = result["notes"]
    assert left_out.endswith(": timm") and unread == f"left out, because they cannot be read: {folder / 'bad.jpg'}"
    assert not result["random_weights"] and not any("random" in line for line in predict.heading(result))


def test_what_the_input_is_at_fault_for_comes_back_as_such(tmp_path, folder):
    path = tmp_path / "model.safetensors"
    path.write_text("no model")
    with pytest.raises(InputError, match="not a weights file that can be read"):
        predict.measure(str(path), pictures=folder, rows=["resnets-torch"])


# --- processes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", ["predict", "train"])
def test_the_process_that_asks_imports_no_torch(room):
    code = (
        f"import resnets.verbs.bench.{room}, sys; print([n for n in ('torch', 'numpy', 'PIL', 'sklearn') if n in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_process_that_breaks_says_why():
    with pytest.raises(Failed, match="KeyError: 'resnets-none'"):
        predict.ask({}, "throughput", "resnets-none")


@pytest.mark.parametrize("words", ["predict --model resnet18 --num 4 --rows torchvision", "train --data digits"])
def test_ctrl_c_ends_all_processes(words, tmp_path):
    words = [sys.executable, "-m", "resnets", "bench", *shlex.split(words)]
    process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    children = []
    while not children:
        time.sleep(0.05)
        children = psutil.Process(process.pid).children(recursive=True)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err and out == ""
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)


@pytest.mark.slow
def test_a_tiny_run_of_all_that_needs_no_more_than_the_core(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = "bench predict --model resnet18 --num 4 --rounds 1 --rows resnets-torch,torchvision"
    result = json.loads(said(capsys, f"{words} --json --out speed"))
    assert [row["row"] for row in result["rows"]] == ["torchvision", "resnets-torch"] and result["random_weights"]
    for row in result["rows"]:
        assert row["pictures_per_second"] > 0 and 0 < row["latency_ms"]["p50"] <= row["latency_ms"]["p99"]
        (cold,) = row["rounds"]
        assert row["cold_start_seconds"] == cold["cold_start_seconds"] > cold["open_seconds"] + cold["first_label_seconds"]
        assert row["same_labels_as_torchvision"] == 1.0
    assert result["pictures"]["num"] == 4 and (result["pictures"]["width"], result["pictures"]["height"]) == SAMPLE_SIZE
    assert json.loads(Path("speed.json").read_text()) == result
    text = Path("speed.md").read_text()
    assert "sample photographs" in text and "random weights" in text and text.count("\n| ") == 4


# --- what they open --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["resnet20_cifar", "preresnet18", "seresnet18"])
def test_networks_with_scaled_random_weights_predict_several_classes(name):
    torch.manual_seed(0)
    spec = zoo.get(name, depths=(1, 1, 1), width=8, stem="small", num_classes=10)
    model, x = hub.create_model(spec), torch.randn(48, 3, 16, 16) * torch.rand(48, 3, 1, 1)
    scale_random_weights(model, x)
    with torch.no_grad():
        logits = model(x)
    assert not model.training and 0.5 < logits.std() < 2 and logits.mean(0).abs().max() < 0.5
    assert len(logits.argmax(1).unique()) > 3
    assert all(module.momentum == 0.1 for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d))
