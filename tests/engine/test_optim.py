"""Optimisers take the steps of those that they are named after, and decay the tensors that they should."""

import pytest
import torch
from torch import nn

from resnets.engine.optim import PLAIN_DECAY, PLAIN_RATE, SGD, AdamW, build_optimizer, orthogonalised
from resnets.engine.recipe import Recipe
from resnets.models.spec import ResNetSpec
from resnets.ship.hub import create_model

SMALL = ResNetSpec(name="small", depths=(1, 1), width=4, stem="small", num_classes=3, attention="se")


def toy():
    """Without a bias before the norm: its gradient is rounding alone, which Adam divides by itself."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4, bias=False), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))


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


@pytest.mark.parametrize("shape", [(2, 16, 144), (3, 64, 27), (1, 8, 8)], ids=str)
def test_orthogonalised_is_near_the_polar_factor(shape):
    """All singular values come near 1, and the singular vectors stay."""
    torch.manual_seed(0)
    matrices = torch.randn(shape)
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    found = orthogonalised(matrices)
    values = u.mT @ found @ v.mT
    assert torch.diagonal(values, dim1=1, dim2=2).sub(1).abs().max() < 0.4  # the iteration's own width
    assert (values - torch.diag_embed(torch.diagonal(values, dim1=1, dim2=2))).abs().max() < 1e-3


def test_orthogonalised_is_the_iteration_as_it_is_published():
    torch.manual_seed(0)
    x = matrices = torch.randn(2, 16, 40)
    x = x / x.norm(dim=(1, 2), keepdim=True)
    for _ in range(5):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    torch.testing.assert_close(orthogonalised(matrices), x, rtol=1e-3, atol=1e-4)


def test_muon_orthogonalises_convolutions_alone():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(8, 2)
    )
    model = model.to(memory_format=torch.channels_last)
    recipe = Recipe(opt="muon", lr=0.1, momentum=0.9, weight_decay=0.2, norm_bias_decay=False)
    optimizer = build_optimizer(model, recipe)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    buffers = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for _ in range(2):
        for p in model.parameters():
            p.grad = torch.randn_like(p)
        gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
        optimizer.step()
        for name, grad in gradients.items():
            old, buffer = before[name], buffers[name]
            if old.ndim > 2:
                buffer.lerp_(grad, 0.1)
                direction = orthogonalised(grad.lerp(buffer, 0.9).flatten(1)[None]).view(old.shape)
                tall = max(1, old.shape[0] / old[0].numel()) ** 0.5
                old.mul_(1 - 0.1 * 0.2).sub_(0.1 * tall * direction)
            else:
                grad = grad + PLAIN_DECAY * 0.2 * old * (old.ndim > 1)
                buffer.mul_(0.9).add_(grad)
                old.sub_(PLAIN_RATE * 0.1 * (grad + 0.9 * buffer))
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.detach(), before[name], rtol=1e-4, atol=1e-5)


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
    model = create_model(SMALL)
    recipe = Recipe(weights="x", freeze="1")
    held = {parameter for group in build_optimizer(model, recipe).param_groups for parameter in group["params"]}
    assert held == {*model.layer2.parameters(), *model.fc.parameters()}


def test_stages_farther_from_the_head_learn_more_slowly():
    model = create_model(SMALL)
    names = {parameter: name for name, parameter in model.named_parameters()}
    found = {}
    for group in build_optimizer(model, Recipe(layer_decay=0.5, norm_bias_decay=False)).param_groups:
        for parameter in group["params"]:
            found.setdefault(names[parameter].partition(".")[0], set()).add(group["lr_scale"])
    assert found == {"fc": {1.0}, "layer2": {0.5}, "layer1": {0.25}, "conv1": {0.125}, "bn1": {0.125}}


@pytest.mark.parametrize(("own", "theirs"), [(SGD, torch.optim.SGD), (AdamW, torch.optim.AdamW)], ids=["sgd", "adamw"])
def test_without_guards_steps_and_state_have_the_same_bits(own, theirs):
    """Also after the state was read again, as in a resumed run."""
    settings = {"lr": 0.1, "fused": True} | ({"momentum": 0.9, "nesterov": True} if own is SGD else {})
    models = toy(), toy()
    optimizers = [kind(model.parameters(), **settings) for kind, model in zip((own, theirs), models, strict=True)]
    for _ in range(2):
        found, expected = (stepped(*pair) for pair in zip(models, optimizers, strict=True))
        assert all(map(torch.equal, found, expected))
        states = [optimizer.state_dict() for optimizer in optimizers]
        assert str(states[0]) == str(states[1])
        for optimizer, state in zip(optimizers, states, strict=True):
            optimizer.load_state_dict(state)
    assert not found[0].grad.requires_grad and found[0].requires_grad
