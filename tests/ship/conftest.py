"""A small network with a head worth quantising, saved, exported in every format once for all tests."""

import numpy as np
import pytest
import torch

import resnets
from resnets.data.transforms import normalise
from resnets.ship.formats import FORMATS
from resnets.ship.graph import program
from tests.ship.standing_in import standing_in


@pytest.fixture(scope="session")
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (8, 3, 32, 32), dtype=np.uint8)


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory):
    torch.manual_seed(0)
    model = resnets.create_model("resnet20_cifar", depths=(1, 1, 1), labels=["cat", "dog", 'odd "name" é'])
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(16, 3, 32, 32))
    torch.nn.init.normal_(model.fc.weight)
    model.metadata["provenance"] = {"command": "resnets train"}
    return resnets.save(model.eval(), tmp_path_factory.mktemp("model") / "best.safetensors")


@pytest.fixture(scope="session")
def logits(saved_model, pixels) -> np.ndarray:
    model = resnets.load(saved_model)
    with torch.no_grad():
        return model(normalise(torch.from_numpy(pixels), model.preprocess)).numpy()


@pytest.fixture(scope="session")
def graph(saved_model):
    """Its program, which every format is written of: to make it takes longer than to write it."""
    return program(resnets.load(saved_model))


@pytest.fixture(scope="session")
def exported(saved_model, graph, tmp_path_factory):
    """{format: path}, each in a folder of its own."""
    header, files = resnets.load(saved_model).header, {}
    with standing_in():
        for name, row in FORMATS.items():
            files[name] = tmp_path_factory.mktemp(name) / f"model{row.suffix}"
            row.write(graph, files[name], header, None)
    return files
