"""The named recipes of detection and segmentation fit the batch to the largest pictures."""

import numpy as np
import pytest
from PIL import Image

from resnets.data.sources import open_source
from resnets.engine.values import Facts
from resnets.models import zoo
from resnets.tasks import get
from resnets.tasks.detect.settings import RECIPES as DETECT
from resnets.tasks.segment.settings import RECIPES as SEGMENT

SPEC = zoo.get("resnet18")


def facts(most_pixels, **more):
    return Facts(**{"num_train": 400, "hflip": True, "size": (800, 600), "spec": SPEC, "most_pixels": most_pixels} | more)


@pytest.mark.parametrize(
    ("most_pixels", "batch_size", "accumulate"),
    [(0, 8, 1), (640 * 480, 8, 1), (640 * 640, 8, 1), (1000 * 1000, 4, 2), (1388 * 1040, 2, 4), (1920 * 1000, 2, 4)],
)
def test_a_batch_of_large_pictures_comes_in_parts(most_pixels, batch_size, accumulate):
    recipe = DETECT["detect"](facts(most_pixels))
    assert (recipe["batch_size"], recipe["accumulate"]) == (batch_size, accumulate)


def test_pictures_far_larger_than_the_usual_one_are_seen_in_windows_of_its_size():
    recipe = DETECT["detect"](facts(1388 * 1040, size=(256, 320)))
    assert (recipe["batch_size"], recipe.get("accumulate", 1), recipe["train_size"]) == (8, 1, 320)
    assert DETECT["detect"](facts(1388 * 1040)).get("train_size") is None


@pytest.mark.parametrize("name", ["batch_size", "accumulate"])
def test_who_chooses_one_of_the_two_is_not_given_half_of_the_other(name):
    recipe = DETECT["detect"](facts(1388 * 1040, asked=(name,)))
    assert (recipe["batch_size"], recipe["accumulate"]) == (8, 1)


def test_windows_of_pictures_of_many_sizes_need_no_parts():
    recipe = SEGMENT["segment"](facts(1388 * 1040, one_size=False))
    assert recipe["batch_size"] == 4 and recipe["train_size"] == 256
    assert SEGMENT["segment"](facts(2048 * 1024))["accumulate"] == 2


def test_the_largest_picture_counts_where_sizes_are_kept(tmp_path):
    for split, width in (("train", 70), ("train", 40), ("val", 200)):
        for kind in ("images", "instances"):
            (tmp_path / split / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.eye(30, width, dtype=np.uint8)).save(tmp_path / split / kind / f"{width}.png")
    task, source = get("detect"), open_source(tmp_path, "boxes")
    for asked, expected in (({}, 30 * 70), ({"img_size": 32}, 0)):
        assert task.most_pixels(source, task.design(asked, source, None, zoo.get)) == expected
