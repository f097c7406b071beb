"""`explain`: maps of pictures and of a split, what is written, and what is refused."""

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import resnets
from resnets.attribution.methods import METHODS
from resnets.data.preprocess import Preprocess
from resnets.errors import InputError
from resnets.ship.formats import FORMATS
from resnets.ship.graph import program
from resnets.verbs.explain import DECISIVE, explain
from tests.data.made_dense import objects
from tests.tasks.contract.made import classes


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def made(labels=("a", "b", "c"), **changes):
    torch.manual_seed(0)
    network = resnets.create_model("resnet20_cifar", depths=(1, 1, 1), width=4, labels=labels, **changes)
    return network.eval()


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_a_sample_of_a_split_and_all_that_is_written(tmp_path):
    data = classes(tmp_path / "data", train=6, val=3)
    said = []
    report = explain(
        made(), data=str(data), split="val", num=2, out=tmp_path / "out", blocks=True, arrays=True, say=said.append
    )
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".html", ".json", ".npy", ".npy"] + [".png"] * 7
    written = json.loads((tmp_path / "out" / "explain.json").read_text())
    assert written == json.loads(json.dumps(report.to_json()))
    assert (written["method"], written["layer"], len(written["images"])) == ("gradcam", "layer3", 2)
    assert [row["random_down_to"] for row in written["trust"]["randomised"]] == [
        "head",
        "stage 3",
        "stage 2",
        "stage 1",
        "stem",
    ]
    assert written["trust"]["num_maps"] == 2 and "pointing" not in written["trust"]
    blocks = written["trust"]["blocks"]
    assert [row["block"] for row in blocks["blocks"]] == ["layer1.0", "layer2.0", "layer3.0"] and blocks["exchanged"] == []
    assert all(0 <= row["without"] <= 1 and row["added"] > 0 for row in blocks["blocks"])
    page = (tmp_path / "out" / "explain.html").read_text()
    assert "http" not in page.replace("http-equiv", "") and page.count("<img") == 2 + 2 + 3
    assert len(said) == 2
    values = np.load(next((tmp_path / "out").glob("*.npy")))
    assert values.shape == (32, 32) and 0 <= values.min() <= values.max() <= 1


def test_a_class_and_why_it_and_not_another():
    network, picture = made(), noise(40, 50, 3)
    (one,) = explain(network, [picture], class_name="B", trust=False).explanations
    assert one.label == "b"
    both = explain(network, [picture], class_name="b", against="c", trust=False).explanations
    assert [each.answer for each in both] == ["b rather than c", "c rather than b"]
    assert both[0].chance + both[1].chance == pytest.approx(1)


def test_what_a_notebook_shows_is_a_line():
    report = explain(made(), [noise(40, 50, 3)], class_name="b")
    learnt = "depend" if report.trust["depends"] else "do not depend"
    assert repr(report) == f"Report(resnet20_cifar: 1 map by gradcam of layer3; they {learnt} on what was learnt)"
    assert repr(report.explanations[0]) == f"Explanation(image 1: {report.explanations[0].answer}, a map of 32 x 32 values)"


def test_gradients_are_torchs_alone(tmp_path):
    out = tmp_path / "m.onnx"
    FORMATS["onnx"].write(program(network := made()), out, network.header, None)
    report = explain(str(out), [noise(32, 32, 3)])
    assert (report.method, report.layer) == ("occlusion", None) and "depends" not in report.trust
    with pytest.raises(InputError, match="onnxruntime gives no gradients here, which gradcam needs; use --method occlusion"):
        explain(str(out), [noise(32, 32, 3)], method="gradcam")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_occlusion_of_an_exported_file_is_torchs(name, photographs, tmp_path):
    """Of a trained network and photographs."""
    network = resnets.load("resnet20_cifar10").eval()
    out = tmp_path / f"m{FORMATS[name].suffix}"
    FORMATS[name].write(program(network), out, network.header, None)
    here, there = explain(network, photographs, method="occlusion"), explain(str(out), photographs)
    assert there.method == "occlusion" and [each.label for each in there.explanations] == [e.label for e in here.explanations]
    for one, other in zip(here.explanations, there.explanations, strict=True):
        assert np.allclose(one.values, other.values, atol=2e-3)
        assert other.faithful.curves.areas == pytest.approx(one.faithful.curves.areas, abs=1e-3)


@pytest.fixture
def photographs():
    from sklearn.datasets import load_sample_images

    return list(load_sample_images().images)


def test_a_map_of_a_signal_shows_when(tmp_path):
    """A network that has learnt to tell a pulse from none."""
    torch.manual_seed(0)
    random, network = np.random.default_rng(0), made(dims=1, in_chans=1, labels=("quiet", "pulse")).train()
    starts = random.integers(4, 80, 64)
    signals = random.normal(0, 0.5, (128, 1, 96)).astype(np.float32)
    for signal, start in zip(signals, starts, strict=False):
        signal[0, start : start + 12] += 2 * np.sin(np.arange(12))
    x, labels = torch.from_numpy(signals), torch.tensor([1] * 64 + [0] * 64)
    optimiser = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(30):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(x), labels).backward()
        optimiser.step()
    report = explain(network.eval(), list(signals[:12]), class_name="pulse", trust=False, out=tmp_path, arrays=True)
    hits = [
        start - 4 <= np.load(tmp_path / row["files"][1]).argmax() < start + 16
        for row, start in zip(report.rows, starts, strict=False)
    ]
    assert sum(hits) >= 10, hits  # 2.5 by chance


def test_signals_and_many_channels(tmp_path):
    signal = np.random.default_rng(0).normal(size=(2, 96)).astype(np.float32)
    report = explain(made(dims=1, in_chans=2), [signal], out=tmp_path / "signal")
    assert report.explanations[0].positions == (24,)
    assert report.rows[0]["answers"] and len(list((tmp_path / "signal").glob("0001*.png"))) == 1
    (one,) = explain(made(in_chans=13), [noise(13, 32, 32)], trust=False).explanations
    assert one.values.shape == (32, 32) and one.positions == (8, 8)


def test_a_map_that_fails_says_so(tmp_path):
    """Guided backpropagation of a trained network."""
    from sklearn.datasets import load_sample_images

    report = explain("resnet20_cifar10", list(load_sample_images().images), method="guided_backprop", out=tmp_path, trust=True)
    assert report.trust["depends"] is False
    assert "does not depend on what was learnt" in (tmp_path / "explain.html").read_text()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"class_name": "aa"}, "has no class 'aa'; did you mean a"),
        ({"class_name": "zebra"}, "has no class 'zebra'; it has a, b, c"),
        ({"class_name": "a", "against": "a"}, "'a' against itself"),
        ({"method": "magic"}, "no method 'magic'; use one of: layercam"),
        ({"layer": "layer9"}, "no layer 'layer9'; use one of: layer1, layer2, layer3"),
        ({"layer": "layer3", "method": "occlusion"}, "occlusion has no layer; leave it out"),
        ({"blocks": True}, "--blocks measures a score, which needs labels"),
    ],
)
def test_what_is_refused(settings, words):
    with pytest.raises(InputError, match=words):
        explain(made(), [noise(32, 32, 3)], **settings)


def test_inputs_that_are_refused(tmp_path):
    with pytest.raises(InputError, match="there is no picture to explain"):
        explain(made(), [])
    with pytest.raises(InputError, match="does not say what it was trained on; name pictures, or labelled data by --data"):
        explain(made())
    with pytest.raises(InputError, match="image 1: 3 channels, and the model takes 13"):
        explain(made(in_chans=13), [noise(3, 32, 32)])
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(InputError, match=r"a\.png: not an image"):
        explain(made(), [tmp_path / "a.png"])
    with pytest.raises(InputError, match="leaves 1 position in every stage, which makes no map; use --method occlusion"):
        explain(made(stem="imagenet", preprocess=Preprocess(size=(4, 4))), [noise(4, 4, 3)])


def test_the_layer_is_the_deepest_with_enough_positions():
    def layer(size, **changes):
        network = made(preprocess=Preprocess(size=(size, size), crop_pct=1.0), **changes)
        return explain(network, [noise(size, size, 3)], trust=False).layer

    assert (layer(32), layer(16), layer(8), layer(32, order="pre")) == ("layer3", "layer3", "layer2", "norm")


def test_a_broken_picture_of_a_sample_is_named_and_the_others_are_explained(tmp_path):
    data = classes(tmp_path / "data", train=6, val=3)
    broken = sorted((data / "val").rglob("*.png"))[1]
    broken.write_bytes(broken.read_bytes()[:60])
    report = explain(made(), data=str(data), split="val", num=9, trust=False, out=tmp_path / "out")
    told = [row for row in report.rows if "error" in row]
    assert len(told) == 1 and told[0]["path"].endswith(broken.name) and len(report.explanations) == len(report.rows) - 1 > 1
    assert "Without a map" in (tmp_path / "out" / "explain.html").read_text()


def test_data_without_pictures_and_a_run_without_weights(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty"):
        explain(made(), data=str(tmp_path / "empty"))
    with pytest.raises(InputError, match="empty: no images here"):
        explain(made(), [tmp_path / "empty"])
    stopped = Path(__file__).parents[1] / "fixtures/v0_1_0/classify_interrupted"  # it has a best epoch
    run = shutil.copytree(stopped, tmp_path / "run")
    assert len(explain(run, [noise(32, 32, 3)], trust=False).explanations) == 1
    (run / "best.safetensors").unlink()  # as after a stop in the first epoch
    with pytest.raises(InputError, match="--resume"):
        explain(run, [noise(32, 32, 3)])


def test_a_detector_points_at_the_object_in_its_box(tmp_path):
    """Each box is judged by the object in it, beside chance and the middle of the picture."""
    data = objects(tmp_path / "data", train=2, val=3)
    head = {"least_score": 0.0, "most_objects": 10, "width": 16, "region_width": 16, "proposals": [50, 50]}
    network = made(task="detect", labels=("object",), head_config=head, preprocess=Preprocess(size=(40, 60), resize="keep"))
    report = explain(network, data=str(data), split="val", num=3, threshold=0.0, trust=False)
    game, answers = report.trust["pointing"], [answer for row in report.rows for answer in row["answers"]]
    judged = [answer for answer in answers if "points" in answer]
    assert game["num"] == len(judged) > 0 and game["hits"] == sum(answer["points"] for answer in judged)
    assert game["by_chance"] == pytest.approx(np.mean([answer["share_of_place"] for answer in judged]), abs=1e-4)
    assert game["middle"] == pytest.approx(np.mean([answer["middle"] for answer in judged]), abs=1e-4)


def test_what_is_ready_stays_where_it_is_stopped(tmp_path):
    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        explain(made(), [noise(32, 32, 3)] * 3, trust=False, out=tmp_path, progress=stop)
    assert len(json.loads((tmp_path / "explain.json").read_text())["images"]) == 2
    assert len(list(tmp_path.glob("*.png"))) == 2 and Path(tmp_path, "explain.html").exists()


def test_progress_counts_the_images_of_the_check_and_then_all(tmp_path):
    seen = []
    explain(made(), [noise(32, 32, 3)] * 3, progress=lambda done, num: seen.append((done, num)))
    done, totals = zip(*seen, strict=True)
    assert set(totals) == {6} and list(done) == sorted(done) and (done[0], done[-1]) == (0, 6)
    assert len({share for share in done if 0 < share < 3}) == DECISIVE and {3, 4, 5} < set(done)


def test_the_command_offers_every_method():
    from resnets.cli import explain as command

    assert tuple(METHODS) == command.METHODS
