"""Networks that no machine can hold are refused from their spec, before anything is allotted."""

import pytest
import torch

import resnets
from resnets.data.preprocess import Preprocess
from resnets.errors import InputError
from resnets.models import budget
from resnets.models.header import parse
from resnets.models.spec import ResNetSpec


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"width": 10_000_000}, "from 1 to"),
        ({"width": 1_000_000}, "parameters, .* this machine has"),
        ({"depths": (10**7,)}, "at most 4,096 blocks"),
        ({"num_classes": 10**9}, "from 0 to"),
        ({"num_classes": 10**5000}, "thousands of digits"),
    ],
)
def test_networks_that_no_machine_holds(changes, words):
    with pytest.raises(InputError, match=words):
        resnets.create_model("resnet18", **changes)


def test_a_level_that_no_machine_holds(monkeypatch):
    monkeypatch.setattr(budget, "memory", lambda: 10**9)
    spec = ResNetSpec()
    budget.check(spec, Preprocess())
    with pytest.raises(InputError, match="values in one level"):
        budget.check(spec, Preprocess(size=(8192, 8192)))


@pytest.mark.parametrize(
    "changes",
    [{"crop_pct": 1e-6}, {"size": (20_000, 20_000)}, {"std": (1e-308,) * 3}, {"size": "ab"}, {"mean": (float("inf"),) * 3}],
)
def test_inputs_that_would_take_all_memory_or_give_no_numbers(changes):
    with pytest.raises(InputError, match=next(iter(changes))):
        Preprocess(**changes)


@pytest.mark.parametrize(
    ("labels", "words"), [("abc", "must be a list"), (["a", "b", "a"], "'a' is there twice"), ([1, 2], "must be a list")]
)
def test_labels_of_a_header(labels, words):
    header = resnets.create_model("resnet20_cifar", num_classes=3).header.to_json()
    with pytest.raises(InputError, match=words):
        parse(header | {"labels": labels}, "model.safetensors")


def test_weights_that_are_no_numbers(tmp_path):
    model = resnets.create_model("resnet20_cifar", depths=(1,), width=4, num_classes=2)
    torch.nn.init.constant_(model.fc.weight, float("nan"))
    with pytest.raises(InputError, match=r"fc\.weight holds values that are no numbers"):
        resnets.load(resnets.save(model, tmp_path / "model.safetensors"))
    torch.nn.init.constant_(model.fc.weight, 1e38)
    torch.nn.init.constant_(model.bn1.bias, 1e38)
    with pytest.raises(InputError, match="outputs are no numbers"):
        model.predict(torch.zeros(32, 32, 3, dtype=torch.uint8).numpy())
