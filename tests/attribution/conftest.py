"""A trained network, and photographs as it takes them."""

import warnings

import numpy as np
import pytest
import torch

import resnets
from resnets.attribution.seen import Evidence, Seen
from resnets.data.pictures.resize import fit_picture
from resnets.data.pictures.samples import write_samples
from resnets.data.transforms import to_input
from resnets.models.answering import run_model


@pytest.fixture(scope="session")
def network():
    return resnets.load("resnet20_cifar10")


@pytest.fixture(scope="session")
def photographs(network, tmp_path_factory):
    """uint8 (8, 3, 32, 32)."""
    paths = write_samples(tmp_path_factory.mktemp("samples") / "samples", 8)
    return np.stack([fit_picture(path, network.preprocess) for path in paths])


@pytest.fixture
def seen(network):
    """(pixels, class, another network) -> the input and the logit of the class."""

    def made(pixels, label=0, other=None):
        net = network if other is None else other

        def chance(inputs):
            return torch.from_numpy(run_model(net, inputs)).softmax(1)[:, label].numpy()

        x = to_input(pixels[None], net.preprocess, torch.device("cpu"))
        evidence = Evidence(net, lambda model, x: model(x)[:, label])
        return Seen(pixels=pixels, blank=np.full((3, 1, 1), 128, np.uint8), chance=chance, x=x, evidence=evidence)

    return made


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
