"""The models that come with the package: small, offline, with a card, and as good as it says."""

import numpy as np
import pytest
from PIL import Image

import resnets
from resnets.data.readers import known
from resnets.models import header as saved
from resnets.models import weights

NAMES = ("resnet20_cifar10", "resnet56_cifar10")
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def test_they_are_there():
    assert tuple(saved.boxed()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_it_is_small_and_says_what_it_is(name):
    path = saved.boxed()[name]
    header = weights.read_header(path)
    assert path.stat().st_size < 2 * header.spec.num_params * 1.1 + 20_000  # 16 bits, and a header
    assert header.spec.num_params == resnets.create_model(name.removesuffix("10"), num_classes=10).spec.num_params
    assert header.labels == CIFAR10 and header.preprocess.size == (32, 32)
    assert "CIFAR-10" in saved.terms(header) and "MIT" in saved.terms(header)
    assert f"{100 * header.metrics['test_top1']:.2f} %" in saved.card(path)
    assert "/" not in str(header.provenance["data"]["name"]) and "dir" not in header.provenance["data"]


@pytest.mark.parametrize("name", NAMES)
def test_it_answers_of_a_picture_of_any_size(name, tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (70, 120, 3), np.uint8)).save(tmp_path / "photo.jpg")
    (found,) = resnets.load(name).predict([tmp_path / "photo.jpg"])
    assert found["label"] in CIFAR10 and 0.1 <= found["probability"] <= 1


@pytest.mark.slow
@pytest.mark.parametrize(("name", "least"), list(zip(NAMES, (0.92, 0.93), strict=True)))
def test_its_accuracy_is_that_of_the_card(name, least):
    if not (known.datasets_dir(None) / "cifar-10-batches-bin").is_dir():
        pytest.skip("CIFAR-10 is not there; `resnets data get cifar10` fetches it")
    found = resnets.evaluate(name, "cifar10")
    assert found["split"] == "test" and found["num_images"] == 10_000
    assert found["top1"] >= least
    assert found["top1"] == pytest.approx(weights.read_header(saved.boxed()[name]).metrics["test_top1"], abs=5e-4)
