"""Optimisers take the steps of those that they are named after, and decay the tensors that they should."""

import pytest
import torch
from torch import nn

from resnets.engine.optim import build_optimizer
from resnets.engine.recipe import Recipe
from resnets.hub import create_model
from resnets.spec import ResNetSpec

SMALL = ResNetSpec(name="small", depths=(1, 1), width=4, stem="small", num_classes=3, attention="se")


def toy():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))


def stepped(model, optimizer, steps=3):
    random = torch.Generator().manual_seed(1)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(8, 3, generator=random)).pow(2).mean().backward()
        optimizer.step()
    return list(model.parameters())


def sgd(parameters, lr, **settings):
    return torch.optim.SGD(parameters, lr, foreach=False, fused=False, **settings)


def lamb(parameters, lr, **settings):
    return pytest.importorskip("timm.optim").Lamb(parameters, lr, **settings)


REFERENCES = {
    "sgd": (Recipe(lr=0.1, weight_decay=0.01), lambda p: sgd(p, 0.1, momentum=0.9, nesterov=True, weight_decay=0.01)),
    "plain momentum": (Recipe(lr=0.1, nesterov=False, weight_decay=0), lambda p: sgd(p, 0.1, momentum=0.9)),
    "no momentum": (Recipe(lr=0.1, nesterov=False, momentum=0, weight_decay=0), lambda p: sgd(p, 0.1)),
    "adamw": (
        Recipe(opt="adamw", lr=0.01, weight_decay=0.1),
        lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.1, foreach=False, fused=False),
    ),
    "lamb": (Recipe(opt="lamb", lr=0.01, weight_decay=0.1), lambda p: lamb(p, 0.01, weight_decay=0.1)),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_three_steps_are_the_reference_s(name):
    recipe, reference = REFERENCES[name]
    if recipe.opt == "lamb":
        pytest.importorskip("timm")
    ours, theirs = toy(), toy()
    found = stepped(ours, build_optimizer(ours, recipe))
    expected = stepped(theirs, reference(theirs.parameters()))
    assert all(torch.allclose(a, b, rtol=1e-5, atol=1e-6) for a, b in zip(found, expected, strict=True))
    assert not torch.allclose(found[0], next(toy().parameters()))


def decay_of(recipe):
    model = create_model(SMALL)
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = build_optimizer(model, recipe).param_groups
    assert sum(len(group["params"]) for group in groups) == len(names)
    return {names[parameter]: group["weight_decay"] for group in groups for parameter in group["params"]}


def test_everything_decays_by_default():
    assert set(decay_of(Recipe(weight_decay=0.3)).values()) == {0.3}


def test_without_norm_bias_decay_only_weights_of_convolutions_and_the_classifier_do():
    found = decay_of(Recipe(weight_decay=0.3, norm_bias_decay=False))
    weights = {name for name, decay in found.items() if decay == 0.3}
    assert weights == {
        name
        for name in found
        if name.endswith("weight") and not any(f"bn{n}" in name or "downsample.1" in name for n in range(9))
    }
    assert {found[name] for name in found if name.endswith("bias")} == {0.0}


def test_decay_of_one_step_without_gradients():
    """SGD couples it to the rate, AdamW too, and both leave what does not decay alone."""
    for opt in ("sgd", "adamw"):
        model = toy()
        before = [parameter.clone() for parameter in model.parameters()]
        optimizer = build_optimizer(
            model, Recipe(opt=opt, lr=0.5, weight_decay=0.2, norm_bias_decay=False, momentum=0, nesterov=False)
        )
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
        for old, new in zip(before, model.parameters(), strict=True):
            assert torch.allclose(new, old * (0.9 if old.ndim > 1 else 1.0))


def test_frozen_parameters_are_left_out():
    model = toy()
    model[0].requires_grad_(False)
    held = {parameter for group in build_optimizer(model, Recipe()).param_groups for parameter in group["params"]}
    assert held == {*model[1].parameters(), *model[3].parameters()}
