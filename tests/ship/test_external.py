"""Networks of other libraries: counted as they are, trained and resumed by our engine, saved and opened apart from ours."""

import dataclasses
import signal

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torchvision import models

import resnets
from resnets import tasks
from resnets.data.preprocess import Preprocess
from resnets.engine import loop
from resnets.errors import InputError, Interrupted
from resnets.models import weights
from resnets.models.spec import ResNetSpec
from resnets.paper import previous
from resnets.paper.views import evaluate_views
from resnets.ship import external, hub
from resnets.ship.external import External, ExternalSpec
from resnets.verbs.train import train

# Small, and with dropout, whose draws must come again when a run is resumed.
NAME = "torchvision/squeezenet1_1"
LABELS = ("a", "b", "c")
SHORT = {
    "model": NAME, "img_size": 32, "in_chans": 3, "recipe": "he2015", "steps": 6, "batch_size": 8, "lr": 0.001, "workers": 0,
    "device": "cpu", "precision": "float32", "save_every": 1e9,
}  # fmt: skip


def made():
    torch.manual_seed(0)
    spec = ExternalSpec(name=NAME, num_classes=3)
    rule = Preprocess(size=(32, 32), crop_pct=1.0)
    return External(spec, tasks.get("classify"), preprocess=rule, labels=LABELS).eval()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    random, path = np.random.default_rng(0), tmp_path_factory.mktemp("data") / "d.npz"
    sizes = {"train": 36, "val": 6, "test": 10}
    images = {f"{split}_images": random.integers(0, 256, (num, 8, 8, 3), dtype=np.uint8) for split, num in sizes.items()}
    np.savez(path, **images, **{f"{split}_labels": np.arange(num) % 3 for split, num in sizes.items()})
    return str(path)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    return train(data, out=tmp_path_factory.mktemp("run") / "one", **SHORT)


# --- counts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, num_layers", [("alexnet", 8), ("vgg16_bn", 16), ("resnet18", 21)])
def test_counts_are_those_that_torchvision_states(name, num_layers):
    spec, stated = external.named(f"torchvision/{name}"), models.get_model_weights(name).DEFAULT.meta
    assert spec.num_params == stated["num_params"] and spec.num_layers == num_layers
    assert spec.num_macs(224) / 1e9 == pytest.approx(stated["_ops"], abs=6e-4)


def test_counts_of_one_layer_by_hand(monkeypatch):
    """3 x 3 over 2 channels to 5 at 4 x 4, then 5 to 3: 5 * 2 * 9 * 16 + 5 * 3 multiply-adds."""

    def tiny(name, spec):
        conv = torch.nn.Conv2d(spec.in_chans, 5, 3, padding=1)
        return torch.nn.Sequential(
            conv, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(5, spec.num_classes)
        )

    monkeypatch.setitem(external.LIBRARIES, "mine", tiny)
    spec = external.named("mine/tiny", in_chans=2, num_classes=3)
    assert (spec.num_params, spec.num_layers, spec.num_macs(4)) == (5 * 18 + 5 + 15 + 3, 2, 5 * 2 * 9 * 16 + 15)


# --- training --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_is_like_any_other(run, data):
    names = {path.name for path in run.path.iterdir()}
    assert {"recipe.yaml", "provenance.json", "metrics.csv", "best.safetensors", "last.safetensors", "evaluation.json",
            "report.html", "resume.safetensors", "plots"} <= names  # fmt: skip
    assert f"model: {NAME}" in (run.path / "recipe.yaml").read_text()
    entry = previous.read_run(run.path)
    assert entry.name == NAME and entry.num_params == made().spec.num_params and entry.num_images == 10
    assert entry.num_macs == made().spec.num_macs(32)
    again = evaluate_views(run.path / "last.safetensors", data, device="cpu")
    assert again["top1_error"] == pytest.approx(entry.error) and again["split"] == "test"
    assert evaluate_views([run.path, run.path], data, "10-crop", device="cpu")["num_images"] == 10


def test_interrupted_and_resumed_is_uninterrupted(run, data, tmp_path, monkeypatch):
    take_step = loop.take_step

    def stopped(job, state, group):
        loss = take_step(job, state, group)
        if state.at.step == 3:
            signal.raise_signal(signal.SIGTERM)
        return loss

    monkeypatch.setattr(loop, "take_step", stopped)
    with pytest.raises(Interrupted):
        train(data, out=tmp_path / "two", **SHORT)
    monkeypatch.setattr(loop, "take_step", take_step)
    resumed = train(out=tmp_path / "two", resume=True)
    one, two = (load_file(path / "last.safetensors") for path in (run.path, resumed.path))
    assert list(one) == list(two) and all(torch.equal(one[name], two[name]) for name in one)
    assert resumed.result["top1"] == run.result["top1"]


def test_networks_of_ours_go_the_same_way():
    assert external.named("resnet20_cifar", num_classes=10) == resnets.create_model("resnet20_cifar").spec
    spec = ResNetSpec(depths=(1,), width=4, stem="small", num_classes=3)
    assert isinstance(external.create(spec, task="classify", preprocess=Preprocess(), labels=LABELS), hub.Model)


@pytest.mark.slow
def test_a_network_of_timm_learns_digits(tmp_path):
    """Grey pictures go in as they are."""
    run = train(
        "digits", out=tmp_path / "run", model="timm/test_resnet", img_size=32, steps=80, lr=0.02, device="cpu", workers=0
    )
    assert run.result["top1"] > 0.5 and run.model.preprocess.in_chans == 1
    assert external.load(run.path).spec.name == "timm/test_resnet"


# --- files -----------------------------------------------------------------------------------------------------------


@torch.inference_mode()
def test_saved_and_opened(tmp_path):
    net, x = made(), torch.randn(2, 3, 32, 32)
    path = weights.save(net, tmp_path / "a.safetensors")
    found = external.load(path)
    assert torch.equal(found(x), net(x)) and not found.training
    assert found.header == net.header and weights.format_of(path) == "resnets-external/1"
    assert type(resnets.load(path)) is External
    with pytest.raises(InputError, match=r"holds 'torchvision/squeezenet1_1', which is not built here"):
        hub.load(path)


def test_files_of_ours_open_here_too(tmp_path):
    spec = ResNetSpec(depths=(1,), width=4, stem="small", num_classes=3)
    path = resnets.save(resnets.create_model(spec), tmp_path / "ours.safetensors")
    assert weights.format_of(path) == "resnets/1" and external.load(path).spec == spec
    with pytest.raises(InputError, match="no such file"):
        external.load(tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    "change, words",
    [
        ({"name": "torchvision/vgg16"}, "another network than the tensors"),
        ({"name": "timm/hf-hub:owner/name"}, "timm has no network 'hf-hub:owner/name'"),
        ({"name": "keras/ResNet50"}, "no library"),
        ({"name": 5}, "does not describe a network"),
        ({"depth": 3}, "does not describe a network"),
        ({"num_classes": 10**9}, "another network than the tensors"),
        ({"in_chans": -1}, "takes 3 channels"),
    ],
    ids=["another", "fetched", "library", "number", "unknown", "huge", "channels"],
)
def test_a_header_that_lies_is_refused(change, words, tmp_path):
    net = made()
    header = net.header.to_json()
    header["spec"] |= change
    path = weights.write_tensors(tmp_path / "a.safetensors", net.state_dict(), header)
    with pytest.raises(InputError, match=words):
        external.load(path)


# --- refusals --------------------------------------------------------------------------------------------------------


def test_what_they_cannot_do_is_refused(data, tmp_path):
    with pytest.raises(InputError, match="does not take 8 x 8 pixels"):
        train(data, out=tmp_path / "a", **SHORT | {"img_size": 8})
    with pytest.raises(InputError, match=r"stem: .* has no such setting"):
        train(data, out=tmp_path / "a", stem="small", **SHORT)
    with pytest.raises(InputError, match="add in_chans=3"):
        train(data, out=tmp_path / "a", **SHORT | {"in_chans": 1})
    with pytest.raises(InputError, match="torchvision has no network 'resnet51'"):
        train(data, out=tmp_path / "a", **SHORT | {"model": "torchvision/resnet51"})
    with pytest.raises(InputError, match="freeze=stem"):
        train(data, out=tmp_path / "a", freeze="stem", **SHORT)
    with pytest.raises(InputError, match="checkpoint_activations"):
        made().checkpoint_activations = True
    assert not (tmp_path / "a").exists()


@pytest.mark.filterwarnings("ignore:The default weight initialization")
def test_several_scores_a_class_are_refused():
    with pytest.raises(InputError, match="more than one score"):
        external.named("torchvision/googlenet").num_macs(224)


def test_specs_are_data():
    spec = external.named(NAME, num_classes=7)
    assert dataclasses.asdict(spec) == {"name": NAME, "in_chans": 3, "num_classes": 7}
    assert (spec.dims, spec.img_size) == (2, 224)


@pytest.mark.parametrize("name", ["a.onnx", "a.xml", "a.pt2", "a.html"])
def test_of_an_exported_file_it_is_said_what_answers_by_it(name, tmp_path):
    (tmp_path / name).write_text("<?xml version='1.0'?>")
    with pytest.raises(InputError, match=r"holds no network; use resnets\.predict"):
        external.load(tmp_path / name)
