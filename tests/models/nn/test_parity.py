"""The same random weights in torchvision's or timm's network and in ours give the same output."""

import pytest
import timm
import torch
import torchvision
from torch import nn

from resnets.models.nn.layers import NORMS
from resnets.models.pretrained import keymaps
from resnets.ship.hub import create_model

pytestmark = pytest.mark.filterwarnings("ignore:.*its stem is made for")

TORCHVISION = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x8d"]
TORCHVISION += ["resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2"]
TIMM = [f"resnet{depth}d" for depth in (18, 34, 50, 101, 152)] + [f"seresnet{depth}" for depth in (18, 34, 50, 101, 152)]
PRE = [f"resnetv2_{depth}" for depth in (18, 34, 50, 101, 152)]


# The others are of the same blocks, and more of them: quick is that their tensors have the same names and shapes.
QUICK = ("resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2", "resnet18d", "resnet50d", "seresnet18", "seresnet50")
QUICK += ("resnetv2_18", "resnetv2_50")


def marked(names):
    return [pytest.param(name, marks=[pytest.mark.slow] * (name not in QUICK)) for name in names]


def randomised(make):
    """A network in evaluation mode with every parameter and statistic drawn anew, so that each of them shows in the output."""
    with torch.device("meta"):  # the library's own initialisation is not needed, and slow
        model = make()
    model.to_empty(device="cpu").eval()
    torch.manual_seed(0)
    for tensor in [*model.parameters(), *model.buffers()]:
        if tensor.ndim > 1:
            bound = (6 / tensor[0].numel()) ** 0.5
            nn.init.uniform_(tensor, -bound, bound)
        else:
            tensor.detach().zero_()
    for module in model.modules():
        if isinstance(module, NORMS):
            for tensor in (module.weight, module.running_var):
                nn.init.uniform_(tensor, 0.5, 1.5)
            for tensor in (module.bias, module.running_mean):
                nn.init.uniform_(tensor, -0.5, 0.5)
        elif isinstance(getattr(module, "bias", None), nn.Parameter):
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return model


def ours(name, state_dict, **changes):
    """Our network around the tensors of another."""
    with torch.device("meta"):
        model = create_model(name, **changes).eval()
    model.load_state_dict(state_dict, assign=True)
    return model


@torch.inference_mode()
def assert_same(one, two, *sizes):
    for size in sizes:
        x = torch.rand(2, 3, size, size) * 2 - 1
        expected, found = one(x), two(x)
        scale = expected.std()
        assert 0 < scale < torch.inf and expected.shape == (2, 1000)
        torch.testing.assert_close(found / scale, expected / scale, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", marked(TORCHVISION))
def test_torchvision(name):
    theirs = randomised(lambda: torchvision.models.get_model(name))
    state = theirs.state_dict()
    model = ours(name, state)
    own = model.state_dict()
    assert list(own) == list(state)
    assert {n: t.shape for n, t in own.items()} == {n: t.shape for n, t in state.items()}
    assert_same(theirs, model, *((64, 97) if theirs.fc.in_features == 512 or name == "resnet50" else (64, 75)))


@pytest.mark.parametrize("name", [name for name in (*TORCHVISION, *TIMM, *PRE) if name not in QUICK])
def test_names_and_shapes(name):
    with torch.device("meta"):
        state = (torchvision.models.get_model if name in TORCHVISION else timm.create_model)(name).state_dict()
        own = create_model(name.replace("resnetv2_", "preresnet")).state_dict()
    expected = state if name in TORCHVISION else keymaps.from_timm(state)
    assert {n: t.shape for n, t in own.items()} == {n: t.shape for n, t in expected.items()}


@pytest.mark.parametrize("stride, replaced", [(16, [False, False, True]), (8, [False, True, True])])
def test_torchvision_dilated(stride, replaced):
    theirs = randomised(lambda: torchvision.models.resnet50(replace_stride_with_dilation=replaced))
    assert_same(theirs, ours("resnet50", theirs.state_dict(), output_stride=stride), 64, 97)


@pytest.mark.parametrize("name", marked(TIMM))
def test_timm(name):
    theirs = randomised(lambda: timm.create_model(name))
    state = theirs.state_dict()
    model = ours(name, keymaps.from_timm(state))
    assert set(model.state_dict()) == set(state)
    assert_same(theirs, model, 64, 97)


@pytest.mark.parametrize("name", marked(PRE))
def test_timm_pre_activation_there_and_back(name):
    theirs = randomised(lambda: timm.create_model(name))
    model = ours(name.replace("resnetv2_", "preresnet"), keymaps.from_timm(theirs.state_dict()))
    assert_same(theirs, model, 64, 97)
    with torch.device("meta"):
        again = timm.create_model(name).eval()
    again.load_state_dict(keymaps.to_timm(model.state_dict(), model.spec), assign=True)
    assert_same(theirs, again, 64)


def test_stride_in_the_1x1_is_another_function_of_the_same_weights():
    theirs = randomised(torchvision.models.resnet50)
    model = ours("resnet50_v1", theirs.state_dict())
    x = torch.rand(2, 3, 97, 97)
    with torch.inference_mode():
        expected, found = theirs(x), model(x)
    assert (expected - found).std() > 0.01 * expected.std()
    for block in (model.layer2[0], model.layer3[0], model.layer4[0]):
        assert (block.conv1.stride, block.conv2.stride) == ((2, 2), (1, 1))
    # In the 3x3, the same tensors are torchvision's network again.
    assert_same(theirs, ours("resnet50_v1", theirs.state_dict(), stride_in="3x3"), 97)
