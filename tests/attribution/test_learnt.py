"""The check with randomised weights: guided backpropagation fails it, as published; Grad-CAM does not."""

import copy

import numpy as np
import pytest
import torch

import resnets
from resnets.attribution import learnt
from resnets.attribution.methods import attribute


def alike(method, network, photographs, seen, random_parts=2):
    """The mean rank correlation once so many parts are random."""
    with torch.no_grad():
        labels = [int(network(seen(pixels).x).argmax()) for pixels in photographs]
    own = [attribute(method, seen(pixels, label), "layer3") for pixels, label in zip(photographs, labels, strict=True)]
    inputs = [seen(pixels).x for pixels in photographs]
    for number, (_, changed) in enumerate(learnt.cascade(network, network.head_names, inputs), start=1):
        if number == random_parts:
            others = [
                attribute(method, seen(pixels, label, changed), "layer3")
                for pixels, label in zip(photographs, labels, strict=True)
            ]
            return float(np.mean([learnt.similarity(a, b) for a, b in zip(own, others, strict=True)]))
    raise AssertionError


def test_guided_backpropagation_fails(network, photographs, seen):
    assert alike("guided_backprop", network, photographs, seen) > learnt.SAME


@pytest.mark.parametrize("method", ["gradcam", "integrated_gradients"])
def test_others_do_not(method, network, photographs, seen):
    few = photographs[:4] if method == "integrated_gradients" else photographs
    assert alike(method, network, few, seen) < learnt.SAME


@pytest.mark.parametrize("changes", [{}, {"order": "pre"}, {"stem": "imagenet"}])
def test_part_by_part_everything_becomes_random(changes):
    torch.manual_seed(0)
    network = resnets.create_model("resnet20_cifar", depths=(1, 1, 1), width=4, num_classes=3, **changes).eval()
    before, random = copy.deepcopy(network.state_dict()), torch.random.get_rng_state()
    names, seen = [], set()
    for name, changed in learnt.cascade(network, network.head_names, [torch.randn(2, 3, 32, 32)]):
        names.append(name)
        weights = {key: value for key, value in changed.state_dict().items() if key.endswith("weight") and value.ndim > 1}
        seen = {key for key, value in weights.items() if not torch.equal(value, before[key])}
        if name == "stage 3":
            assert {key.split(".")[0] for key in seen} == {"fc", "layer3"}
        assert not any(module.training for module in changed.modules())
    assert names == ["head", "stage 3", "stage 2", "stage 1", "stem"]
    assert seen == weights.keys()
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert torch.equal(torch.random.get_rng_state()[:1], random[:1])


def test_maps_that_say_nothing_are_not_alike():
    assert learnt.similarity(np.zeros(4), np.arange(4)) == 0
    assert learnt.similarity(np.arange(4), np.arange(4) ** 2) == pytest.approx(1)
