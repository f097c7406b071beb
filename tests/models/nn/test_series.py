"""The network of Wang, Yan and Oates (2017) for series, against the paper's layers written out."""

import torch
import torch.nn.functional as F

from resnets.models import zoo
from resnets.ship.hub import create_model


def test_it_computes_what_the_paper_says_and_has_as_many_parameters():
    """Three convolutions of 8, 5 and 3 in each of three blocks; even kernels are padded as Keras does, more at the end."""
    torch.manual_seed(0)
    model = create_model("resnet10_wang").eval()
    assert sum(p.numel() for p in model.parameters()) == zoo.get("resnet10_wang").num_params == 504_258  # of Fawaz et al. 2019
    state = {
        name: tensor.uniform_(0.1, 0.9) if tensor.is_floating_point() else tensor for name, tensor in model.state_dict().items()
    }

    def conv(x, name):
        weight = state[f"{name}.weight"]
        extent = weight.shape[-1] - 1
        return F.conv1d(F.pad(x, (extent // 2, extent - extent // 2)), weight, state[f"{name}.bias"])

    def norm(x, name):
        mean, variance, scale, shift = (
            state[f"{name}.{part}"][:, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (variance + 1e-5).sqrt() * scale + shift

    x = inputs = torch.randn(2, 1, 37)
    for layer in ("layer1.0", "layer2.0", "layer3.0"):
        y = x
        for number in (1, 2, 3):
            y = norm(conv(y, f"{layer}.conv{number}"), f"{layer}.bn{number}")
            y = y if number == 3 else y.relu()
        last = layer == "layer3.0"  # as many channels as before: the shortcut is a norm alone
        x = (
            y + (norm(x, f"{layer}.downsample.0") if last else norm(conv(x, f"{layer}.downsample.0"), f"{layer}.downsample.1"))
        ).relu()
    assert torch.allclose(model(inputs), F.linear(x.mean(-1), state["fc.weight"], state["fc.bias"]), rtol=1e-4)
    assert {name: tuple(level.shape[1:]) for name, level in model.features(inputs).items()} == {
        "c1": (1, 37), "c2": (64, 37), "c3": (128, 37), "c4": (128, 37)
    }  # fmt: skip
