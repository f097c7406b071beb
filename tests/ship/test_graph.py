"""The graph that is exported answers as the model does, with batch norm folded and normalising inside."""

import functools

import pytest
import torch

import resnets
from resnets.data.transforms import normalise
from resnets.models import zoo
from resnets.ship.graph import program

NETWORKS = ["resnet20_cifar", "preresnet110_cifar", "seresnet18", "resnet50d"]
# What these compute is among what those do, but for grouped convolutions.
NETWORKS += [pytest.param(name, marks=pytest.mark.slow) for name in ("plain20_cifar", "resnet18", "resnext50_32x4d")]


def settled(name: str) -> resnets.models.model.Model:  # type: ignore[name-defined]
    """A random network, one block a stage, whose batch norms have seen something: folding them wrongly would show."""
    torch.manual_seed(0)
    narrow = {"width": 16, "depths": (1,) * len(zoo.get(name).depths)}
    model = resnets.create_model(name, num_classes=10, **narrow).train()
    with torch.no_grad():
        for _ in range(2):
            model(
                torch.randn(
                    4, model.spec.in_chans, 32 if model.spec.stem == "small" else 96, 32 if model.spec.stem == "small" else 96
                )
            )
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)
    return model.eval()


@functools.cache
def exported(name):
    """A network and its program, which takes long to make."""
    return (model := settled(name)), program(model)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.filterwarnings("ignore:.*shrinks.*")
def test_graph_answers_as_the_model(name):
    model, graph = exported(name)
    size = 32 if model.spec.stem == "small" else 96
    for num, high, wide in ((1, size, size), (3, size, size), (2, size + 16, size)):
        pixels = torch.randint(0, 256, (num, 3, high, wide), dtype=torch.uint8)
        with torch.no_grad():
            expected = model(normalise(pixels, model.preprocess))
            torch.testing.assert_close(graph.module()(pixels.permute(0, 2, 3, 1)), expected, rtol=1e-4, atol=1e-4)


def test_batch_norm_is_folded_where_it_follows_a_convolution():
    def norms(name):
        return sum("batch_norm" in str(node.target) for node in exported(name)[1].graph.nodes)

    assert norms("resnet20_cifar") == 0
    assert norms("preresnet110_cifar") == 4  # of seven: those that follow the stem or an addition stay


def test_a_mean_for_every_pixel_fixes_the_size():
    model = resnets.create_model(
        "resnet20_cifar", preprocess=resnets.Preprocess(size=(32, 32), mean=(0.5,) * 3072, std=(1.0,) * 3)
    )
    graph = program(model.eval())
    pixels = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(graph.module()(pixels.permute(0, 2, 3, 1)), model(normalise(pixels, model.preprocess)))
    with pytest.raises(RuntimeError):
        graph.module()(torch.zeros(3, 3, 40, 40, dtype=torch.uint8))


def test_the_model_stays_as_it_is_and_the_graph_names_no_file_of_this_machine():
    model = settled("resnet20_cifar").train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    graph = program(model)
    assert model.training and model.relu.inplace
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any("stack_trace" in node.meta for node in graph.graph.nodes)
    assert graph.example_inputs is None
