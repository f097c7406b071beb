"""Norms and activations beside torch's own."""

import pytest
import torch
import torch.nn.functional as F

from resnets.models.nn.layers import InstanceNorm, activation
from resnets.models.nn.shortcuts import Average3d


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("order", ["as it is", "channels last"])
def test_instance_norm_is_torchs(dims, order):
    torch.manual_seed(0)
    norm, x = InstanceNorm(4, dims), torch.randn(3, 4, *(5, 6, 7)[:dims])
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    if order == "channels last":
        x = x.movedim(1, -1).contiguous().movedim(-1, 1)
    both = (norm(x.requires_grad_()), F.instance_norm(x, weight=norm.weight, bias=norm.bias))
    grads = [(found, *torch.autograd.grad((found**3).sum(), (x, norm.weight, norm.bias))) for found in both]
    for ours, theirs in zip(*grads, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_a_single_position_becomes_the_shift():
    norm = InstanceNorm(2, 3)
    torch.nn.init.constant_(norm.bias, 0.25)
    assert norm(torch.randn(1, 2, 1, 1, 1)).flatten().tolist() == pytest.approx([0.25, 0.25], abs=1e-4)
    assert norm.eval()(torch.empty(0, 2, 3, 3, 3)).shape == (0, 2, 3, 3, 3)


def test_what_is_exported_is_what_is_computed():
    """Without group norm, whose reshaping has sizes that are not known."""
    norm, x = InstanceNorm(3, 2).eval(), torch.randn(2, 3, 6, 5)
    torch.nn.init.normal_(norm.weight)
    program = torch.export.export(norm, (x,))
    assert "group_norm" not in str(program.graph)
    assert torch.allclose(program.module()(x), norm(x), atol=1e-5)


def test_activations():
    x = torch.tensor([-2.0, 0.0, 3.0])
    assert activation("relu", inplace=False)(x).tolist() == [0, 0, 3]
    assert activation("leaky", inplace=False)(x).tolist() == pytest.approx([-0.02, 0, 3])


def test_average_of_a_single_position():
    pool = Average3d((2, 2, 2), (2, 2, 2), ceil_mode=True, count_include_pad=False)
    x = torch.randn(1, 1, 1, 4, 3)
    expected = F.avg_pool2d(x[:, :, 0], 2, 2, ceil_mode=True, count_include_pad=False)[:, :, None]
    assert torch.equal(pool(x), expected)
    assert torch.equal(pool(x.expand(1, 1, 2, 4, 3)), expected)
