"""Gradient norms against networks whose gradients are known, and against the run whose weights were kept."""

import csv
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from resnets.engine.run import RunDir
from resnets.models.spec import ResNetSpec
from resnets.paper import gradients, inside
from resnets.paper.gradients import Norms, Seen, trend
from resnets.paper.result import Result
from resnets.ship.hub import create_model, load
from tests.paper.known_networks import doubling


def test_gradients_of_a_network_in_closed_form():
    """One picture of one pixel, 1; the stem hands on 1, the block 2 and 6; logits (1, -1).

    With p the probability of the wrong class, dLoss/dlogits = (-p, p) for the right class 0, so that by the block's output
    (and its second convolution's) it is -2p / 6; before it 3 times as much, and before that 2 times 3. Of a 3x3 kernel on one
    pixel only the middle sees anything: its gradient is its input (1, 1, 2) times that of its response.
    """
    model = doubling(shortcut="none", norm="none")
    nn.init.zeros_(model.fc.bias)
    model.fc.weight.data.copy_(torch.tensor([[1.0], [-1.0]]) / 6)  # logits (1, -1)
    p = 1 / (1 + math.exp(2))
    found = gradients.gradients(model, torch.ones(1, 1, 1, 1), torch.tensor([0]))
    signals = [2 * p / 6 * scale for scale in (6, 3, 1)]
    expected = [(signal * reads, signal) for signal, reads in zip(signals, (1, 1, 2), strict=True)]
    assert [norms.layer for norms in found] == ["conv1", "layer1.0.conv1", "layer1.0.conv2"]
    np.testing.assert_allclose([norms[1:] for norms in found], expected, rtol=1e-5)


def test_the_shortcut_adds_its_own_way_back():
    """With the addition the output is 6 + 1: by the stem's response there is 6 times the gradient, and once more."""
    model = doubling(shortcut="B", norm="none")
    nn.init.zeros_(model.fc.bias)
    model.fc.weight.data.copy_(torch.tensor([[1.0], [-1.0]]) / 7)
    p = 1 / (1 + math.exp(2))
    found = gradients.gradients(model, torch.ones(1, 1, 1, 1), torch.tensor([0]))
    np.testing.assert_allclose([norms.signal for norms in found], [2 * p / 7 * scale for scale in (7, 3, 1)], rtol=1e-5)


@pytest.mark.parametrize("changes", [{}, {"order": "pre"}, {"shortcut": "none"}, {"norm": "none"}], ids=str)
def test_the_weights_gradients_are_those_of_training_and_the_model_stays_as_it_was(changes):
    torch.manual_seed(0)
    model = create_model(ResNetSpec(depths=(1, 1), width=4, stem="small", num_classes=3, **changes))
    x, targets = torch.randn(6, 3, 8, 8), torch.arange(6) % 3
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = gradients.gradients(model, x, targets)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    nn.functional.cross_entropy(model(x), targets).backward()
    expected = [float(layer.conv.weight.grad.norm()) for layer in inside.layers(model)]
    assert [norms.weights for norms in found] == pytest.approx(expected, rel=1e-4)


def test_trend():
    assert trend([8, 4, 2, 1]) == pytest.approx((8, 2))  # doubles a layer on the way back
    assert trend([1, 0, 100]) == pytest.approx((0.01, 0.1))  # layers without a gradient do not count
    assert all(map(math.isnan, trend([0, 0, 1])))


def seen(ratio, *, step=0, shortcut="none", norm="batch", seeds=2):
    spec = ResNetSpec(depths=(3, 3, 3), stem="small", shortcut=shortcut, norm=norm)
    return Seen(spec, step, ((Norms("a", ratio, 1.0), Norms("b", 1.0, 1.0)),) * seeds)


@pytest.mark.parametrize(
    "start, training, expected",
    [
        ([seen(1.0)], [seen(0.5, step=10)], ["holds", "holds"]),
        ([seen(1.0)], [seen(0.001, step=10)], ["fails", "fails"]),
        ([seen(1000.0)], [], ["holds", "fails"]),
        ([seen(1.0, seeds=1)], [], ["inconclusive", "inconclusive"]),
        ([seen(1.0), seen(1e-6, norm="none"), seen(1e-6, shortcut="A")], [], ["holds", "holds"]),  # the claim is not of these
    ],
)
def test_verdicts(start, training, expected):
    assert [verdict.holds for verdict in gradients._verdicts(start, training)] == expected


def test_weights_of_chosen_steps_are_kept(runs):
    run = RunDir(runs[0]["resnet20_cifar", 0])
    assert run.kept_steps() == [0, 6]
    last, kept = load_file(run.last), load_file(run.at_step(6))
    assert list(last) == list(kept) and all(torch.equal(last[name], tensor) for name, tensor in kept.items())
    spec = load(run.last).spec
    torch.manual_seed(0)
    fresh = create_model(spec)
    assert all(torch.equal(tensor, fresh.state_dict()[name]) for name, tensor in load_file(run.at_step(0)).items())
    assert load(run.at_step(6)).metadata["metrics"] == {"step": 6}


def test_the_item(runs, tmp_path):
    found, data = runs
    result = gradients.measure(found, tmp_path, data=data, scale="tiny", num_seeds=1)
    assert all((tmp_path / drawing.file).stat().st_size > 10_000 for drawing in result.drawings) and len(result.drawings) == 2
    start, training = result.tables
    assert [row[0] for row in start.rows[::4]] == ["plain-20", "plain-20 without norms"] and len(start.rows) == 8
    assert [row[:3] for row in training.rows] == [
        ("plain-8", 0, 2), ("plain-8", 6, 2), ("ResNet-8", 0, 2), ("ResNet-8", 6, 2)
    ]  # fmt: skip
    with (found["plain20_cifar", 1] / gradients.TABLE).open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["step"], row["layer"]) for row in rows[6:8]] == [("0", "layer3.0.conv2"), ("6", "conv1")]
    assert all(float(row["weights"]) > 0 and float(row["signal"]) > 0 for row in rows)
    assert Result.from_json(result.to_json()) == result
