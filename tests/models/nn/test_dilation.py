"""Dilation in the place of strides: the same tensors give the same values, at more positions."""

import pytest
import torch

from resnets.models import zoo
from resnets.models.nn.layers import NORMS
from resnets.models.nn.shortcuts import DilatedAverage
from resnets.models.nn.trunk import Trunk
from resnets.models.spec import ResNetSpec
from resnets.ship.hub import create_model

pytestmark = pytest.mark.filterwarnings("ignore:.*its stem is made for")

BLOCKS = {
    "basic": {},
    "bottleneck": {"block": "bottleneck"},
    "v1": {"block": "bottleneck", "stride_in": "1x1"},
    "groups": {"block": "bottleneck", "groups": 2, "group_width": 32},
}


def trunk(spec):
    """A trunk in evaluation whose statistics are not those of a new one."""
    torch.manual_seed(0)
    made = Trunk(spec).eval()
    for norm in (module for module in made.modules() if isinstance(module, NORMS)):
        for tensor in (norm.weight, norm.running_var):
            torch.nn.init.uniform_(tensor, 0.5, 1.5)
        for tensor in (norm.bias, norm.running_mean):
            torch.nn.init.uniform_(tensor, -0.5, 0.5)
    return made


@torch.inference_mode()
def assert_same_at_the_old_positions(size, **changes):
    usual = trunk(ResNetSpec(depths=(1, 2, 2, 2), width=8, **changes))
    x = torch.randn(1, 3, *size)
    expected = usual.features(x)
    for stride in (16, 8):
        dense = trunk(ResNetSpec(depths=(1, 2, 2, 2), width=8, output_stride=stride, **changes))
        dense.load_state_dict(usual.state_dict())
        found = dense.features(x)
        assert max(level.stride for level in dense.spec.levels) == stride
        for one, two in zip(usual.spec.levels, dense.spec.levels, strict=True):
            every = (slice(None), slice(None), *[slice(None, None, one.stride // two.stride)] * len(size))
            torch.testing.assert_close(found[two.name][every], expected[one.name], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shortcut", ["A", "B", "C", "D", "none"])
@pytest.mark.parametrize("order", ["post", "pre"])
@pytest.mark.parametrize("block", BLOCKS)
def test_values_are_the_same_at_the_old_positions(block, order, shortcut):
    assert_same_at_the_old_positions((75, 64), shortcut=shortcut, order=order, **BLOCKS[block])


@pytest.mark.parametrize("shortcut", ["B", "none"])
@pytest.mark.parametrize("size", [(75,), (75, 64)], ids=str)
def test_values_are_the_same_of_blocks_that_pool(size, shortcut):
    assert_same_at_the_old_positions(size, dims=len(size), shortcut=shortcut, block="page")


@pytest.mark.parametrize("size", [(130,), (40, 33, 65)], ids=str)
@pytest.mark.parametrize("shortcut", ["B", "D"])
def test_values_are_the_same_in_other_dimensions(size, shortcut):
    assert_same_at_the_old_positions(size, dims=len(size), shortcut=shortcut)


@pytest.mark.parametrize("stem", ["imagenet", "keras"])
@pytest.mark.parametrize("block", BLOCKS)
def test_values_are_the_same_where_the_last_block_strides(block, stem):
    assert_same_at_the_old_positions((64, 96), stage_stride="last", order="pre", stem=stem, **BLOCKS[block])


def test_the_mean_of_the_far_edge_is_of_what_there_is():
    x = torch.arange(5.0).view(1, 1, 5) ** 2  # 0 1 4 9 16
    assert DilatedAverage(2)(x).flatten().tolist() == [2, 5, 10, 9, 16]
    assert torch.equal(DilatedAverage(5)(x), x) and torch.equal(DilatedAverage(7)(x), x)


def test_any_weights_load():
    for name in ("resnet18", "preresnet18", "resnet18d", "resnet20_cifar"):
        with torch.device("meta"):
            usual, dense = create_model(name).state_dict(), create_model(name, output_stride=8).state_dict()
        assert {n: t.shape for n, t in dense.items()} == {n: t.shape for n, t in usual.items()}


def test_levels_up_to_one():
    made = trunk(zoo.get("resnet20_cifar", order="pre"))
    x = torch.randn(1, 3, 16, 16)
    with torch.inference_mode():
        every = made.features(x)
        some = made.features(x, last="c3")
        assert list(some) == ["c1", "c2", "c3"] and torch.equal(some["c3"], every["c3"])
        assert torch.equal(made.last_stage(some["c3"]), every["c4"])
