"""Blocks and shortcuts against formulas written out by hand."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from resnets.models import zoo
from resnets.models.block import Block, Conv
from resnets.models.nn.blocks import DropPath, ResidualBlock, SqueezeExcitation
from resnets.models.nn.layers import NORM, NORMS
from resnets.models.nn.shortcuts import PadChannels
from resnets.models.nn.trunk import Trunk
from resnets.models.spec import ResNetSpec

SAME = Block((Conv(8, 8, 3), Conv(8, 8, 3)), "identity", "post")
WIDER = Block((Conv(8, 16, 3, 2), Conv(16, 16, 3)), "project", "post")
BOTTLENECK = Block((Conv(8, 4, 1), Conv(4, 4, 3, 2, 2), Conv(4, 16, 1)), "project", "post")


def block(plan, dims=2, **changes):
    """A block in evaluation mode whose norms do something."""
    torch.manual_seed(0)
    module = ResidualBlock(dataclasses.replace(plan, **changes), dims).eval()
    for norm in module.modules():
        if isinstance(norm, NORMS):
            for tensor in (norm.weight, norm.running_var):
                nn.init.uniform_(tensor, 0.5, 1.5)
            for tensor in (norm.bias, norm.running_mean):
                nn.init.uniform_(tensor, -0.5, 0.5)
    return module


def branch(b, x):
    """The branch of a basic block in "post" order."""
    return b.bn2(b.conv2(F.relu(b.bn1(b.conv1(x)))))


@torch.no_grad()
def test_post_order_is_the_papers_formula():
    x = torch.randn(2, 8, 9, 9)
    b = block(SAME)
    torch.testing.assert_close(b(x), F.relu(x + branch(b, x)))
    b = block(WIDER)
    assert [type(m) for m in b.downsample] == [nn.Conv2d, nn.BatchNorm2d]
    torch.testing.assert_close(b(x), F.relu(b.downsample(x) + branch(b, x)))
    b = block(BOTTLENECK)
    y = b.bn3(b.conv3(F.relu(b.bn2(b.conv2(F.relu(b.bn1(b.conv1(x))))))))
    torch.testing.assert_close(b(x), F.relu(b.downsample(x) + y))


@torch.no_grad()
def test_pre_order_is_the_papers_formula():
    x = torch.randn(2, 8, 9, 9)
    b = block(SAME, order="pre")
    torch.testing.assert_close(b(x), x + b.conv2(F.relu(b.bn2(b.conv1(F.relu(b.bn1(x)))))))
    b = block(WIDER, order="pre")
    assert [type(m) for m in b.downsample] == [nn.Conv2d]
    start = F.relu(b.bn1(x))
    torch.testing.assert_close(b(x), b.downsample(start) + b.conv2(F.relu(b.bn2(b.conv1(start)))))


@torch.no_grad()
def test_plain_block_has_no_shortcut():
    x = torch.randn(2, 8, 9, 9)
    b = block(WIDER, shortcut="none")
    assert b.downsample is None
    torch.testing.assert_close(b(x), F.relu(branch(b, x)))
    trunk = Trunk(zoo.get("plain20_cifar"))
    assert not any("downsample" in name for name, _ in trunk.named_modules() if name.count(".") > 2)
    b = trunk.layer1[0].eval()
    nn.init.zeros_(b.bn2.weight)  # a residual block would now hand its input on
    assert not b(torch.rand(1, 16, 8, 8)).any()


@torch.no_grad()
@pytest.mark.parametrize("dims, size", [(1, (9,)), (2, (9, 8)), (3, (5, 4, 3))])
@pytest.mark.parametrize("in_chans, out_chans", [(4, 8), (3, 8), (16, 64)])
def test_shortcut_a_keeps_every_second_position_and_pads_zeros_on_both_sides(dims, size, in_chans, out_chans):
    x = torch.randn(2, in_chans, *size)
    y = PadChannels(in_chans, out_chans, 2)(x)
    before = (out_chans - in_chans) // 2
    assert y.shape == (2, out_chans, *((n + 1) // 2 for n in size))
    assert torch.equal(y[:, before : before + in_chans], x[(..., *[slice(None, None, 2)] * dims)])
    assert not y[:, :before].any() and not y[:, before + in_chans :].any()


@torch.no_grad()
def test_shortcut_a_adds_no_parameters():
    x = torch.randn(2, 8, 9, 9)
    b = block(WIDER, shortcut="pad")
    assert not list(b.downsample.parameters())
    torch.testing.assert_close(b(x), F.relu(b.downsample(x) + branch(b, x)))


@torch.no_grad()
@pytest.mark.parametrize("size", [8, 9])
def test_shortcut_d_averages_then_projects(size):
    x = torch.randn(2, 8, size, size)
    b = block(WIDER, shortcut="pool_project")
    mean = F.avg_pool2d(x, 2, 2, ceil_mode=True, count_include_pad=False)
    shortcut = b.downsample[2](F.conv2d(mean, b.downsample[1].weight))
    torch.testing.assert_close(b(x), F.relu(shortcut + branch(b, x)))


@pytest.mark.parametrize(
    "shortcut, kinds",
    [
        ("A", ["identity", "identity", "pad", "identity"]),
        ("B", ["identity", "identity", "project", "identity"]),
        ("C", ["project"] * 4),
        ("D", ["identity", "identity", "pool_project", "identity"]),
        ("none", ["none"] * 4),
    ],
)
def test_options_say_where_a_block_projects(shortcut, kinds):
    spec = ResNetSpec(depths=(2, 2), width=8, shortcut=shortcut, stem="small")
    assert [plan.shortcut for stage in spec.stages for plan in stage] == kinds
    blocks = [b for stage in Trunk(spec).stages for b in stage]
    projects = [isinstance(b.downsample, nn.Sequential) for b in blocks]
    assert projects == ["project" in kind for kind in kinds]


@torch.no_grad()
@pytest.mark.parametrize("order", ["post", "pre"])
def test_squeeze_and_excitation_scales_the_branch(order):
    x = torch.randn(2, 8, 9, 9)
    with_se, without = block(SAME, attention="se", order=order), block(SAME, order=order)
    without.load_state_dict(with_se.state_dict(), strict=False)
    y = without(x) - x if order == "pre" else branch(with_se, x)
    mean = y.mean((2, 3))
    first, second = with_se.se.fc1, with_se.se.fc2
    scale = torch.sigmoid(
        F.linear(F.relu(F.linear(mean, first.weight[..., 0, 0], first.bias)), second.weight[..., 0, 0], second.bias)
    )
    y = x + y * scale[..., None, None]
    torch.testing.assert_close(with_se(x), y if order == "pre" else F.relu(y), rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_squeeze_and_excitation_averages_every_axis(dims):
    se, x = SqueezeExcitation(4, 8, dims), torch.randn(2, 4, *[3] * dims)
    ratio = se(x) / x
    torch.testing.assert_close(ratio, ratio.flatten(2).mean(-1).reshape(2, 4, *[1] * dims).expand_as(x))


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("shortcut", ["pad", "project", "pool_project", "none"])
@pytest.mark.parametrize("order", ["post", "pre"])
def test_output_size_is_that_of_the_plan(dims, shortcut, order):
    plan = dataclasses.replace(BOTTLENECK, shortcut=shortcut, order=order, attention="se")
    size = (9, 8, 7)[:dims]
    with torch.device("meta"):
        module = ResidualBlock(plan, dims)
        y = module(torch.empty(2, 8, *size))
    assert y.shape == (2, plan.out_chans, *plan.out_size(size))
    assert sum(p.numel() for p in module.parameters()) == plan.num_params(dims)


@torch.no_grad()
@pytest.mark.parametrize("shortcut", ["identity", "none"])
def test_without_norms_a_block_is_its_convolutions(shortcut):
    convs = tuple(dataclasses.replace(conv, bias=True) for conv in SAME.convs)
    for order in ("post", "pre"):
        plan = dataclasses.replace(SAME, convs=convs, shortcut=shortcut, order=order, norm="none")
        b, x = ResidualBlock(plan, 2), torch.randn(2, 8, 5, 5)
        add = x.clone() if shortcut == "identity" else torch.zeros(())
        y = b.conv2(F.relu(b.conv1(F.relu(x)))) + add if order == "pre" else F.relu(b.conv2(F.relu(b.conv1(x))) + add)
        torch.testing.assert_close(b(x), y)  # the input is as it was, whatever the ReLU does


@torch.no_grad()
@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize("order", ["post", "pre"])
@pytest.mark.parametrize("kind", ["basic", "bottleneck"])
def test_zero_init_last_makes_every_block_its_shortcut(order, kind, norm):
    trunk = Trunk(ResNetSpec(block=kind, depths=(2, 2), width=8, stem="small", order=order, norm=norm, zero_init_last=True))
    for b, plan in zip([b for s in trunk.stages for b in s], [p for s in trunk.spec.stages for p in s], strict=True):
        x = torch.rand(2, plan.in_chans, 6, 6)  # nothing negative, so that the last ReLU changes nothing
        if b.downsample is None:
            assert torch.equal(b(x), x)
        else:
            read = F.relu(b.bn1(x)) if order == "pre" else x
            y = b.downsample(read)
            torch.testing.assert_close(b(x), y if order == "pre" else F.relu(y))


def test_drop_path_drops_whole_samples_and_keeps_the_mean():
    torch.manual_seed(0)
    drop, x = DropPath(0.25), torch.ones(20_000, 2, 3)
    y = drop(x)
    assert (y == y[:, :1, :1]).all()
    assert set(y[:, 0, 0].tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert abs(float(y[:, 0, 0].mean()) - 1) < 0.02  # four standard errors
    assert drop.eval()(x) is x


def test_drop_path_leaves_the_shortcut():
    b = block(SAME, drop_path=0.999999).train()
    x = torch.rand(4, 8, 5, 5)
    assert torch.equal(b(x), x)
    assert not torch.equal(b.eval()(x), x)


def test_he_initialisation_has_variance_2_over_fan_out():
    torch.manual_seed(0)
    trunk = Trunk(zoo.get("seresnet18"))
    convs = {name: m for name, m in trunk.named_modules() if isinstance(m, nn.Conv2d) and m.weight.numel() > 30_000}
    assert len(convs) > 15
    for name, conv in convs.items():
        fan_out = conv.out_channels * conv.kernel_size[0] ** 2
        assert abs(conv.weight.var().item() * fan_out / 2 - 1) < 0.05, name
        assert abs(conv.weight.mean().item()) < 0.05 * conv.weight.std().item(), name
    for norm in trunk.modules():
        if isinstance(norm, NORM[2]):
            assert (norm.weight == 1).all() and (norm.bias == 0).all()
    assert not trunk.layer1[0].se.fc1.bias.any()
