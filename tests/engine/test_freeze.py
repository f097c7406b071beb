"""Fine-tuning: what is frozen stays as it was to the last bit, what thaws does so on time, and all of it resumes exactly."""

import csv
import signal
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from resnets import create_model, save
from resnets.data.preprocess import Preprocess
from resnets.engine import checks, freeze, loop
from resnets.engine.recipe import Recipe
from resnets.errors import InputError, Interrupted
from resnets.models.nn import fused
from resnets.models.nn.layers import NORMS
from resnets.verbs import train as training
from tests.engine.made import planned

# 36 pictures in batches of 8: 5 steps an epoch.
TINY = {
    "epochs": 3, "batch_size": 8, "lr": 0.05, "workers": 0, "device": "cpu", "precision": "float32", "save_every": 1e9,
    "recipe": "fast",
}  # fmt: skip
CLOCKS = ("images_per_second", "data_wait", "seconds")


@pytest.fixture
def data(tmp_path):
    random = np.random.default_rng(0)
    images = {f"{split}_images": random.integers(0, 256, (num, 8, 8), np.uint8) for split, num in (("train", 36), ("val", 12))}
    np.savez(tmp_path / "d.npz", **images, train_labels=np.arange(36) % 3, val_labels=np.arange(12) % 3)
    return str(tmp_path / "d.npz")


@pytest.fixture(params=["post"])
def base(request, tmp_path):
    """A saved model with statistics of its own."""
    torch.manual_seed(0)
    eighth = Preprocess(size=(8, 8), crop_pct=1.0)
    spec = {"depths": (1, 1, 1), "width": 4, "num_classes": 5, "order": request.param}
    model = create_model("resnet20_cifar", preprocess=eighth, **spec)
    for module in model.modules():
        if isinstance(module, NORMS):
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return str(save(model, tmp_path / "base.safetensors"))


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    monkeypatch.setattr(training, "finish", lambda job, source, best_epoch: job)


def changed(base, run, name="last"):
    """The parts of the network that differ from the saved ones: {"layer1": {"weight", "running_mean"}, ...}."""
    old, new, found = load_file(base), load_file(run / f"{name}.safetensors"), {}
    for key, tensor in new.items():
        if not key.startswith("fc.") and not torch.equal(old[key], tensor):
            found.setdefault(key.partition(".")[0], set()).add(key.rpartition(".")[2])
    return found


AFFINE, COUNTED = {"weight", "bias"}, {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}


@pytest.mark.parametrize(
    ("settings", "learnt"),
    [
        ({}, {"conv1": {"weight"}, "bn1": COUNTED, "layer1": COUNTED, "layer2": COUNTED, "layer3": COUNTED}),
        ({"freeze": "stem"}, {"layer1": COUNTED, "layer2": COUNTED, "layer3": COUNTED}),
        ({"freeze": "2"}, {"layer3": COUNTED}),
        ({"freeze": "trunk"}, {}),
        ({"norm_stats": "frozen", "freeze": "1"}, {"layer2": AFFINE, "layer3": AFFINE}),
        ({"norm_stats": "auto", "freeze": "2"}, {"layer3": AFFINE}),
        ({"unfreeze_epochs": 2}, {"layer3": COUNTED}),
        ({"unfreeze_epochs": 1, "freeze": "2", "ema": 0.5}, {"layer3": COUNTED}),
    ],
    ids=["everything", "stem", "2", "trunk", "1 and norms", "2 and norms", "thawing", "thawing to 2"],
)
def test_what_is_frozen_stays_to_the_last_bit(settings, learnt, base, data, tmp_path):
    job = training.train(data, out=tmp_path / "run", weights=base, **TINY | {"norm_stats": "batch"} | settings)
    assert changed(base, tmp_path / "run") == learnt
    frozen = freeze.num_frozen(job.recipe, 3, 2)
    for name, parameter in job.model.named_parameters():
        assert (parameter.grad is None) == (freeze.part_of(name, 3) < frozen), name


@pytest.mark.parametrize("base", ["pre"], indirect=True)
def test_the_last_norm_of_pre_activation_belongs_to_its_last_stage(base, data, tmp_path):
    training.train(data, out=tmp_path / "run", weights=base, freeze="3", norm_stats="batch", **TINY)
    assert changed(base, tmp_path / "run") == {}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [0, 0, 0, 0, 0, 0, 0]),
        ({"freeze": "2"}, [3, 3, 3, 3, 3, 3, 3]),
        ({"unfreeze_epochs": 1}, [4, 3, 2, 1, 0, 0, 0]),
        ({"unfreeze_epochs": 2}, [4, 4, 3, 3, 2, 2, 1]),
        ({"unfreeze_epochs": 1, "freeze": "1"}, [4, 3, 2, 2, 2, 2, 2]),
    ],
    ids=str,
)
def test_stages_thaw_from_the_head_down(settings, expected):
    recipe = Recipe(**settings)
    assert [freeze.num_frozen(recipe, 3, epoch) for epoch in range(7)] == expected


QUICK = ["resnet18", "preresnet110_cifar", "seresnet18", "plain20_cifar"]


@pytest.mark.parametrize("name", [*QUICK, pytest.param("resnet50d", marks=pytest.mark.slow)])
def test_parts_are_the_whole_network_from_the_input_on(name):
    model = create_model(name, num_classes=3)
    stages = len(model.spec.depths)
    assert freeze.num_stages(model) == stages
    parts = [freeze.part_of(key, stages) for key in model.state_dict()]
    assert parts == sorted(parts) and set(parts) == set(range(stages + 2))


KINDS = {
    "unfreezing, ema": {"unfreeze_epochs": 1, "ema": 0.9},
    "unfreezing, muon, layer decay": {"unfreeze_epochs": 1, "opt": "muon", "lr": 0.02, "layer_decay": 0.5},
    "frozen norms, fused, bf16": {"fused": True, "precision": "bfloat16", "norm_stats": "frozen", "freeze": "1"},
    "unfreezing, adamw, layer decay": {"opt": "adamw", "lr": 1e-3, "layer_decay": 0.5, "unfreeze_epochs": 1},
    "patience": {"patience": 1, "epochs": 9},
}


@pytest.mark.parametrize("kind", KINDS)
def test_resumes_exactly(kind, base, data, tmp_path, monkeypatch):
    settings = TINY | {"norm_stats": "batch"} | KINDS[kind]
    training.train(data, out=tmp_path / "whole", weights=base, **settings)
    take_step = loop.take_step

    def stopped(job, state, group):
        loss = take_step(job, state, group)
        if state.at.step == 7:
            signal.raise_signal(signal.SIGTERM)
        return loss

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "take_step", stopped)
        with pytest.raises(Interrupted):
            training.train(data, out=tmp_path / "parts", weights=base, **settings)
    training.train(out=tmp_path / "parts", resume=True)
    assert rows(tmp_path / "whole") == rows(tmp_path / "parts")
    for name in ("best.safetensors", "last.safetensors"):
        one, two = load_file(tmp_path / "whole" / name), load_file(tmp_path / "parts" / name)
        assert [key for key in one if not torch.equal(one[key], two[key])] == []


def rows(run):
    with (run / "metrics.csv").open() as file:
        return [{key: value for key, value in row.items() if key not in CLOCKS} for row in csv.DictReader(file)]


def test_layer_decay_divides_the_first_step(base, data, tmp_path):
    """Of plain SGD without decay, by which the first step is the gradient times the rate."""
    settings = TINY | {"epochs": None, "steps": 1, "nesterov": False, "weight_decay": 0.0, "norm_stats": "batch"}
    names = ("conv1.weight", "layer1.0.conv1.weight", "layer3.0.bn2.weight")
    moved = {}
    for decay in (1.0, 0.5):
        out = tmp_path / f"{decay}"
        training.train(data, out=out, weights=base, layer_decay=decay, **settings)
        old, new = load_file(base), load_file(out / "last.safetensors")
        moved[decay] = {name: new[name] - old[name] for name in names}
    for (name, whole), times in zip(moved[1.0].items(), (1 / 16, 1 / 8, 1 / 2), strict=True):
        torch.testing.assert_close(moved[0.5][name], whole * times, rtol=1e-2, atol=1e-7)


@pytest.mark.parametrize(("batch_size", "expected"), [(15, "frozen"), (16, "batch")])
def test_saved_statistics_stay_where_batches_are_small(batch_size, expected, base, data):
    given = {"data": data, "batch_size": batch_size, "recipe": "fast"}
    assert planned(**given, weights=base).recipe.norm_stats == expected
    assert planned(**given).recipe.norm_stats == "batch"


@pytest.mark.skipif(fused.kernels() is None, reason="no Numba with OpenMP here")
def test_a_frozen_norm_is_fused_and_keeps_nothing_for_a_gradient():
    norm = torch.nn.BatchNorm2d(8).eval().requires_grad_(False)
    fused.enable(norm)
    x, relu = torch.randn(2, 8, 4, 4).to(memory_format=torch.channels_last), torch.nn.ReLU()
    y = fused.norm_relu(norm, relu, x)
    assert not y.requires_grad
    torch.testing.assert_close(y, relu(norm(x)))
    learning = x.clone().requires_grad_()
    fused.norm_relu(norm, relu, learning).sum().backward()
    assert learning.grad is not None


# --- early stopping -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "patience", "goes_on"),
    [
        ([0.5], 1, True),
        ([0.5, 0.4], 1, False),
        ([0.5, 0.4], 2, True),
        ([0.5, 0.4, 0.6], 1, True),
        ([0.5, 0.5], 1, False),  # as good is not better
        ([0.5, 0.4, 0.3, 0.2], None, True),
    ],
    ids=str,
)
def test_patience(scores, patience, goes_on):
    assert checks.is_patient([{"val_top1": score} for score in scores], "val_top1", patience) is goes_on


def test_a_run_out_of_patience_is_finished_and_says_so(base, data, tmp_path):
    said = []
    watcher = SimpleNamespace(say=said.append, step=lambda *of: None, epoch=lambda *of: None)
    settings = TINY | {"lr": 0.0, "weight_decay": 0.0, "norm_stats": "frozen", "epochs": 9, "patience": 2}
    training.train(data, out=tmp_path / "run", weights=base, reporter=watcher, **settings)
    assert len(rows(tmp_path / "run")) == 3  # the first, and two that are as good
    assert "stopped after 2 epochs without a better validation score (--patience)" in said
    assert (tmp_path / "run/last.safetensors").exists()
    training.train(out=tmp_path / "run", resume=True)
    assert len(rows(tmp_path / "run")) == 3


@pytest.mark.parametrize("norm_momentum", [None, 0.01])
def test_saved_statistics_follow_as_fast_as_asked(norm_momentum, base, data, tmp_path):
    settings = TINY | {"epochs": None, "steps": 1, "lr": 0.0, "norm_stats": "batch", "norm_momentum": norm_momentum}
    job = training.train(data, out=tmp_path / "run", weights=base, **settings)
    before, after = (load_file(path)["bn1.running_mean"] for path in (base, tmp_path / "run/last.safetensors"))
    moved = (after - before).norm()
    settings["norm_momentum"] = 1.0
    training.train(data, out=tmp_path / "all", weights=base, **settings)
    whole = (load_file(tmp_path / "all/last.safetensors")["bn1.running_mean"] - before).norm()
    torch.testing.assert_close(moved / whole, torch.tensor(norm_momentum or 0.1), rtol=1e-3, atol=0)
    assert job.recipe.norm_momentum == norm_momentum


# --- refused --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{"freeze": "1"}, {"unfreeze_epochs": 2}, {"norm_stats": "frozen"}], ids=str)
def test_random_weights_are_not_frozen(settings, data, tmp_path):
    with pytest.raises(InputError, match="random weights would stay; give --weights, or leave it out"):
        training.train(data, out=tmp_path / "run", **TINY, **settings)
    assert not (tmp_path / "run").exists()


def test_more_stages_than_there_are(base, data, tmp_path):
    with pytest.raises(InputError, match="freeze=4: resnet20_cifar has 3 stages; give fewer, or trunk"):
        training.train(data, out=tmp_path / "run", weights=base, freeze="4", **TINY)
