"""The graph that is exported answers as the model does, with batch norm folded and normalising inside."""

import pytest
import torch

import resnets
from resnets.data.transforms import normalise
from resnets.models import zoo
from resnets.ship.graph import program

NETWORKS = ("resnet20_cifar", "plain20_cifar", "preresnet110_cifar", "resnet18", "resnext50_32x4d", "seresnet18", "resnet50d")


def settled(name: str) -> resnets.models.model.Model:  # type: ignore[name-defined]
    """A random network, one block a stage, whose batch norms have seen something: folding them wrongly would show."""
    torch.manual_seed(0)
    depths = (1,) * len(zoo.get(name).depths)
    model = resnets.create_model(name, num_classes=10, depths=depths).train()
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


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.filterwarnings("ignore:.*shrinks.*")
def test_graph_answers_as_the_model(name):
    model = settled(name)
    exported = program(model)
    size = 32 if model.spec.stem == "small" else 96
    for num, high, wide in ((1, size, size), (3, size, size), (2, size + 16, size)):
        pixels = torch.randint(0, 256, (num, 3, high, wide), dtype=torch.uint8)
        with torch.no_grad():
            expected = model(normalise(pixels, model.preprocess))
            torch.testing.assert_close(exported.module()(pixels.permute(0, 2, 3, 1)), expected, rtol=1e-4, atol=1e-4)


def test_batch_norm_is_folded_where_it_follows_a_convolution():
    def norms(name):
        return sum("batch_norm" in str(node.target) for node in program(settled(name)).graph.nodes)

    assert norms("resnet20_cifar") == 0
    assert norms("preresnet110_cifar") == 4  # of seven: those that follow the stem or an addition stay


def test_a_mean_for_every_pixel_fixes_the_size():
    model = resnets.create_model(
        "resnet20_cifar", preprocess=resnets.Preprocess(size=(32, 32), mean=(0.5,) * 3072, std=(1.0,) * 3)
    )
    exported = program(model.eval())
    pixels = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(exported.module()(pixels.permute(0, 2, 3, 1)), model(normalise(pixels, model.preprocess)))
    with pytest.raises(RuntimeError):
        exported.module()(torch.zeros(3, 3, 40, 40, dtype=torch.uint8))


def test_the_model_stays_as_it_is_and_the_graph_names_no_file_of_this_machine():
    model = settled("resnet20_cifar").train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    exported = program(model)
    assert model.training and model.relu.inplace
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any("stack_trace" in node.meta for node in exported.graph.nodes)
    assert exported.example_inputs is None
