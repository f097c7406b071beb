"""Training that starts from a saved model."""

from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from resnets.errors import InputError
from resnets.verbs.train import train
from tests.engine.made import planned
from tests.verbs.train.made import TINY, arrays


def test_fine_tuning_to_other_classes(first, tmp_path, undrawn):
    said = []
    watcher = SimpleNamespace(say=said.append, step=lambda *of: None, epoch=lambda *of: None)
    data = arrays(tmp_path / "d.npz", classes=4, seed=1)
    settings = {name: TINY[name] for name in ("epochs", "batch_size", "workers", "device", "precision")}
    job = train(data, out=tmp_path / "run", weights=str(first.path), lr=0.0, weight_decay=0.0, reporter=watcher, **settings)
    old, new = load_file(first.path / "best.safetensors"), job.model.state_dict()
    assert job.model.preprocess == first.run.model.preprocess
    assert (job.model.spec.name, job.model.spec.depths, job.model.labels) == (
        "resnet20_cifar",
        (1, 1, 1),
        ("10", "11", "12", "13"),
    )
    learnt = [
        name
        for name, tensor in old.items()
        if not name.startswith("fc.") and "running" not in name and "num_batches" not in name
    ]
    assert learnt and all(torch.equal(old[name], new[name]) for name in learnt)
    assert new["fc.weight"].shape[0] == 4
    table = [line.split() for line in said if " tensors" in line]
    assert ["loaded", str(len(old) - 2), "tensors"] in table
    assert ["re-initialised", "2", "tensors", "fc.weight,", "fc.bias"] in table


@pytest.mark.parametrize(
    ("given", "name", "origin"),
    [
        ({}, "fast", "default"),
        ({"weights": True}, "finetune", "the weights"),
        ({"weights": True, "recipe": "auto"}, "finetune", "the weights"),
        ({"weights": True, "recipe": "fast"}, "fast", "flag"),
        ({"recipe": "he2015"}, "he2015", "flag"),
    ],
    ids=str,
)
def test_with_weights_the_recipe_is_finetune_unless_another_is_named(given, name, origin, first):
    given = given | ({"weights": str(first.path)} if "weights" in given else {})
    plan = planned(data=first.data, **given)
    assert (plan.recipe.recipe, plan.origins["recipe"]) == (name, origin)
    assert plan.origins["lr"] == f"recipe {name}"


def test_whose_preprocessing_it_is_is_said(first):
    plans = [planned(data=first.data, **given) for given in ({}, {"normalise": "imagenet"}, {"weights": str(first.path)})]
    ends = [plan.inputs.rpartition(": ")[2] for plan in plans]
    assert ends == ["of the training split", "ImageNet's", f"those of the weights ({first.path}), not of this data"]
    mean = ",".join(f"{value:.3f}" for value in first.run.model.preprocess.mean)
    assert plans[2].inputs.startswith(f"8 x 8, crop 1, bilinear; mean {mean}, standard deviation ")


def test_the_same_classes_keep_the_head(first, tmp_path, undrawn):
    job = train(
        first.data, out=tmp_path / "run", weights=str(first.path / "best.safetensors"), lr=0.0, weight_decay=0.0, epochs=1
    )
    assert torch.equal(job.model.state_dict()["fc.weight"], load_file(first.path / "best.safetensors")["fc.weight"])


def test_pictures_are_fitted_as_the_weights_say_unless_something_else_is_asked_for(first, tmp_path):
    layers = {"weights": str(first.path), "data": first.data}
    plan = planned(**layers)
    assert plan.preprocess == first.run.model.preprocess and plan.recipe.img_size == 8
    plan = planned(**layers | {"resize": "squash", "img_size": 12})
    assert (plan.preprocess.resize, plan.preprocess.size, plan.recipe.resize) == ("squash", (12, 12), "squash")
    assert plan.preprocess.mean == first.run.model.preprocess.mean


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model": "resnet18"}, "the weights are a resnet20_cifar's, not a resnet18's; leave out --model"),
        ({"weights": "gone.safetensors"}, "gone.safetensors: no such file"),
    ],
    ids=str,
)
def test_weights_that_do_not_fit_are_refused(settings, said, first, tmp_path):
    with pytest.raises(InputError, match=said):
        train(first.data, out=tmp_path / "run", **{"weights": str(first.path)} | settings)
    assert not (tmp_path / "run").exists()
