"""Layer responses against networks whose responses are known, and the verdicts of Figure 7 against figures made up."""

import numpy as np
import pytest
import torch
from torch import nn

from resnets.models.nn import fused
from resnets.models.spec import ResNetSpec
from resnets.paper import inside, responses
from resnets.paper.responses import LayerStds
from resnets.paper.result import Result
from resnets.ship.hub import create_model
from tests.paper.known_networks import doubling

NAMES = ["conv1", "layer1.0.conv1", "layer1.0.conv2"]


@pytest.mark.parametrize("shortcut", ["none", "B"])
def test_responses_of_a_network_in_closed_form(shortcut):
    """Of x in {0, 1}, half of each: deviation 1/2, then 2/2, then 6/2, whatever is added afterwards."""
    x = torch.tensor([0.0, 1.0]).repeat(150)[:, None, None, None].expand(300, 1, 4, 4)  # more than one batch
    model = doubling(shortcut=shortcut)
    for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.eps = 0.0
    found = responses.responses(model, x)
    assert [name for name, _ in found] == NAMES
    np.testing.assert_allclose([value for _, value in found], [0.5, 1.0, 3.0], rtol=1e-6)


def test_a_response_is_what_the_norm_makes_of_it():
    model = doubling(shortcut="none")
    model.bn1.running_var.fill_(4.0)
    model.layer1[0].bn2.bias.data.fill_(-100.0)  # all below zero: the ReLU that follows would leave nothing
    x = torch.tensor([0.0, 1.0])[:, None, None, None].expand(2, 1, 4, 4)
    np.testing.assert_allclose([value for _, value in responses.responses(model, x)], [0.25, 0.5, 1.5], rtol=1e-4)


@pytest.mark.parametrize("changes", [{"norm": "none"}, {"order": "pre", "norm": "none"}], ids=str)
def test_without_norms_it_is_the_convolutions(changes):
    x = torch.tensor([0.0, 1.0])[:, None, None, None].expand(2, 1, 4, 4)
    found = responses.responses(doubling(shortcut="none", **changes), x)
    np.testing.assert_allclose([value for _, value in found], [0.5, 1.0, 3.0], rtol=1e-6)


def test_fused_norms_are_looked_into_and_the_model_stays_as_it_was():
    torch.manual_seed(0)
    model, x = create_model("resnet20_cifar", width=4), torch.randn(8, 3, 8, 8)
    model(x)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    plain = responses.responses(model, x)
    fused.enable(model)
    assert dict(responses.responses(model.to(memory_format=torch.channels_last), x)) == pytest.approx(dict(plain))
    assert model.training and all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_only_3x3_layers_count():
    bottleneck = create_model(ResNetSpec(block="bottleneck", depths=(1, 1), width=4, stem="imagenet", num_classes=2))
    found = responses.responses(bottleneck, torch.randn(2, 3, 70, 70))
    assert [name for name, _ in found] == ["layer1.0.conv2", "layer2.0.conv2"]


def stds_of(depth, shortcut, *seeds):
    spec = ResNetSpec(depths=((depth - 2) // 6,) * 3, shortcut=shortcut, stem="small")
    return LayerStds(spec, tuple("abc"), np.array(seeds, float))


def test_verdicts_by_seeds():
    plain = stds_of(20, "none", [4, 1, 3], [3, 1, 4])
    small, large = stds_of(20, "A", [2, 1, 1], [2, 1, 2.5]), stds_of(20, "A", [9, 5, 9], [9, 5, 9])
    deep = stds_of(56, "A", [1, 0.5, 9], [1, 0.1, 9])
    assert responses._beside_plain([plain, small]).holds == "holds"
    assert "smaller in 67% of the layers" in responses._beside_plain([plain, small]).because
    assert responses._beside_plain([plain, large]).holds == "fails"
    assert responses._beside_plain([plain, stds_of(20, "A", [2, 1, 2], [5, 5, 5])]).holds == "inconclusive"
    assert responses._beside_plain([plain, stds_of(20, "A", [2, 1, 2])]).holds == "inconclusive"  # one seed
    assert responses._beside_plain([plain, deep]).holds == "inconclusive"  # not of one depth
    assert responses._by_depth([plain, small, stds_of(56, "A", [0.5] * 3, [0.5] * 3)]).holds == "holds"
    assert responses._by_depth([large, deep, stds_of(110, "A", [0.1] * 3, [0.1] * 3)]).holds == "holds"
    assert responses._by_depth([small, large]).holds == "fails"


def test_agreed():
    assert inside.agreed({}) == "inconclusive"
    assert inside.agreed({"a": [True, True], "b": [True, False]}) == "inconclusive"
    assert inside.agreed({"a": [True, False], "b": [False, False]}) == "fails"


def test_the_item(runs, tmp_path):
    found, data = runs
    result = responses.measure(found, tmp_path, data=data, scale="tiny", num_images=10)
    assert (tmp_path / result.drawings[0].file).stat().st_size > 10_000
    assert [row[:3] for row in result.tables[0].rows] == [("plain-8", 2, 7), ("ResNet-8", 2, 7)]
    assert len(result.verdicts) == 2 and result.verdicts[1].holds == "inconclusive"
    assert Result.from_json(result.to_json()) == result
