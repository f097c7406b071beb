"""What a run will be, where the user left it open."""

import numpy as np
import pytest
from PIL import Image

from tests.engine.made import planned


def folder(root, height, width):
    for label in ("a", "b"):
        (root / label).mkdir()
        for number in range(4):
            pixels = np.random.default_rng(number).integers(0, 255, (height, width, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / label / f"{number}.png")
    return str(root)


@pytest.mark.parametrize(
    ("shape", "flags", "model", "size"),
    [
        ((20, 26), {}, "resnet20_cifar", 20),
        ((112, 92), {}, "resnet18", 96),
        ((300, 400), {}, "resnet18", 224),
        ((300, 400), {"img_size": 48}, "resnet20_cifar", 48),
        ((300, 400), {"model": "resnet32_cifar"}, "resnet32_cifar", 32),
        ((20, 26), {"model": "resnet34", "img_size": 64}, "resnet34", 64),
    ],
)
def test_network_and_size_follow_the_pictures(tmp_path, shape, flags, model, size):
    plan = planned(data=folder(tmp_path, *shape), **flags)
    assert (plan.recipe.model, plan.recipe.img_size, plan.preprocess.size) == (model, size, (size, size))
    assert plan.spec.name == model


def test_known_sets_keep_their_size():
    plan = planned(data="digits")
    assert (plan.recipe.model, plan.preprocess.size, plan.spec.in_chans) == ("resnet20_cifar", (8, 8), 1)
    assert plan.recipe.hflip == 0, "a mirrored digit is another sign"
