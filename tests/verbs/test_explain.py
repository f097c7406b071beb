"""`explain`: maps of pictures and of a split, what is written, and what is refused."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import resnets
from resnets.attribution.methods import METHODS
from resnets.data.preprocess import Preprocess
from resnets.errors import InputError
from resnets.verbs.explain import explain
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


def test_without_torch_there_is_occlusion(tmp_path):
    network, pixels = made(), noise(3, 32, 32)
    out = resnets.export(
        resnets.save(network, tmp_path / "m.safetensors"),
        format="onnx",
        out=tmp_path / "m.onnx",
        num_check=1,
        say=lambda text: None,
    )["file"]
    given = [pixels.transpose(1, 2, 0)]
    there, here = explain(str(out), given, trust=True), explain(network, given, method="occlusion", trust=True)
    assert (there.method, there.layer) == ("occlusion", None) and "depends" not in there.trust
    assert np.allclose(there.explanations[0].values, here.explanations[0].values, atol=1e-2)
    assert there.trust["deletion"] == pytest.approx(here.trust["deletion"], abs=1e-3)
    with pytest.raises(InputError, match="onnxruntime gives no gradients here, which gradcam needs; use --method occlusion"):
        explain(str(out), given, method="gradcam")


def test_signals_and_many_channels(tmp_path):
    signal = np.random.default_rng(0).normal(size=(2, 96)).astype(np.float32)
    report = explain(made(dims=1, in_chans=2), [signal], out=tmp_path / "signal")
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


def test_what_is_ready_stays_where_it_is_stopped(tmp_path):
    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        explain(made(), [noise(32, 32, 3)] * 3, trust=False, out=tmp_path, progress=stop)
    assert len(json.loads((tmp_path / "explain.json").read_text())["images"]) == 2
    assert len(list(tmp_path.glob("*.png"))) == 2 and Path(tmp_path, "explain.html").exists()


def test_the_command_offers_every_method():
    from resnets.cli import explain as command

    assert tuple(METHODS) == command.METHODS
