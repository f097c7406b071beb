"""ResNet-9 and ResNet-8: the networks written out layer by layer, and their counts."""

import pytest
import torch
import torch.nn.functional as F

import resnets
from resnets.errors import InputError
from resnets.models import zoo


def conv_norm_relu(x, stage, number, between=lambda y: y):
    """`between` is of what comes before the norm, whose statistics then are of that."""
    conv, norm = getattr(stage, f"conv{number}"), getattr(stage, f"bn{number}")
    y = between(F.conv2d(x, conv.weight, padding=1))
    mean, var = y.mean((0, 2, 3), keepdim=True), y.var((0, 2, 3), unbiased=False, keepdim=True)
    return F.relu((y - mean) / (var + norm.eps).sqrt())


def test_it_is_the_network_written_out():
    torch.manual_seed(0)
    model, x = resnets.create_model("resnet9_cifar").train(), torch.randn(8, 3, 32, 32)
    trunk = model
    with torch.no_grad():
        y = conv_norm_relu(x, trunk, 1)
        for stage in trunk.stages:
            y = F.max_pool2d(conv_norm_relu(y, stage[0], 1), 2)
            for block in list(stage)[1:]:
                y = y + conv_norm_relu(conv_norm_relu(y, block, 1), block, 2)
        expected = y.mean((2, 3)) @ model.fc.weight.T + model.fc.bias
        torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-4)


def test_resnet8_is_the_network_written_out():
    torch.manual_seed(0)
    model, x = resnets.create_model("resnet8_cifar").train(), torch.randn(8, 3, 32, 32)
    with torch.no_grad():
        y = conv_norm_relu(x, model, 1)
        for first, second in model.stages:
            y = conv_norm_relu(y, first, 1, lambda y: F.max_pool2d(y, 2))
            y = y + conv_norm_relu(y, second, 1)
        torch.testing.assert_close(model(x), y.mean((2, 3)) @ model.fc.weight.T + model.fc.bias, rtol=1e-4, atol=1e-4)


def test_counts_of_resnet8():
    spec = zoo.get("resnet8_cifar")
    convs = ((3, 24, 32), (24, 64, 32), (64, 64, 16), (64, 128, 16), (128, 128, 8), (128, 256, 8), (256, 256, 4))
    assert spec.num_macs() == sum(9 * taken * given * side**2 for taken, given, side in convs) + 2560
    assert spec.num_params == sum(9 * taken * given + 2 * given for taken, given, _ in convs) + 2570 and spec.num_layers == 8


def test_counts_are_those_known():
    spec = zoo.get("resnet9_cifar")
    assert spec.num_params == 6_573_120 + 10  # of Page's network, and the classifier's bias
    assert spec.num_macs() == 379_261_952  # by torch's counter of operations, halved
    assert sum(parameter.numel() for parameter in resnets.create_model("resnet9_cifar").parameters()) == spec.num_params


def test_zero_init_last_makes_residual_blocks_the_identity():
    stage = resnets.create_model("resnet9_cifar", width=8, stem_width=4, zero_init_last=True).eval().layer1
    x = torch.randn(2, 8, 6, 6)
    torch.testing.assert_close(stage[1](x), x)
    assert stage[0](torch.randn(2, 4, 6, 6)).abs().max() > 0  # a block without a shortcut is not silenced


@pytest.mark.parametrize(
    "changes", [{"shortcut": "A"}, {"order": "pre"}, {"attention": "se"}, {"drop_path": 0.1}, {"groups": 2}], ids=str
)
def test_what_it_does_not_have_is_refused(changes):
    for name in ("resnet8_cifar", "resnet9_cifar"):
        with pytest.raises(InputError, match=f"{next(iter(changes))}=.*with block="):
            zoo.get(name, **changes)
