"""Segmentation: heads that come back from their files, what no head has, and rows of pictures."""

import dataclasses

import numpy as np
import pytest
import torch

from resnets.errors import InputError
from resnets.ship import hub
from resnets.tasks.segment.settings import HEADS, SegmentSettings
from resnets.tasks.segment.task import Segment
from tests.tasks.segment.made import LABELS, SPEC, model

TASK = Segment()


def test_the_first_head_is_the_default():
    assert next(iter(HEADS)) == "unet" and TASK.head_config(SPEC, SegmentSettings(), {}) == {"head": "unet"}


@pytest.mark.parametrize("config", [{"head": "unet"}, {"head": "fcn", "auxiliary": True}, {"head": "deeplabv3"}], ids=str)
def test_the_settings_of_the_head_come_back_from_the_file(config, tmp_path):
    net = model(config)
    again = hub.load(hub.save(net, tmp_path / "m.safetensors"))
    assert again.head_config == config and again.task.name == "segment" and again.labels == LABELS
    x = torch.randn(2, 3, 20, 24)
    with torch.inference_mode():
        assert torch.equal(net(x), again(x)) and net(x).shape == (2, 3, 20, 24)
    if config.get("auxiliary"):
        logits, other = net.train()(x)
        assert logits.shape == other.shape and net.head_names == ("head", "aux")


@pytest.mark.parametrize(
    ("before", "asked", "expected"),
    [
        ({}, None, {"head": "unet"}),
        ({}, "fcn", {"head": "fcn"}),
        ({"head": "deeplabv3", "auxiliary": True}, None, {"head": "deeplabv3", "auxiliary": True}),
        ({"head": "deeplabv3", "auxiliary": True}, "fcn", {"head": "fcn", "auxiliary": True}),
    ],
    ids=str,
)
def test_the_head_of_weights_goes_on_unless_another_is_asked_for(before, asked, expected):
    assert TASK.head_config(SPEC, SegmentSettings(head=asked), before) == expected


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"head": "segformer"}, "no segmentation head 'segformer'; use one of: unet, fcn, deeplabv3"),
        ({"head": ["unet"]}, "no segmentation head"),
        ({"heads": "unet"}, "no setting heads; it has head and auxiliary"),
    ],
    ids=str,
)
def test_what_no_head_has_is_refused(config, said):
    with pytest.raises(InputError, match=said):
        model(config)


def test_predict_says_what_is_in_a_picture():
    net = model()
    pixels = np.random.default_rng(0).integers(0, 256, (18, 30, 3), dtype=np.uint8)
    (found,) = net.predict(pixels)
    assert (found["height"], found["width"]) == (18, 30) and not net.training
    assert sum(row["share"] for row in found["classes"]) == pytest.approx(1, abs=1e-5)
    shares = [row["share"] for row in found["classes"]]
    assert shares == sorted(shares, reverse=True) and {row["label"] for row in found["classes"]} <= set(LABELS)
    many = net.predict([pixels, pixels[:9]])
    assert many[0] == found and many[1]["height"] == 9


def test_other_classes_get_a_new_head_of_the_same_kind():
    net = model({"head": "fcn"})
    net.reset_classifier(("a", "b"))
    assert net.head_config == {"head": "fcn"} and net(torch.zeros(1, 3, 16, 16)).shape == (1, 2, 16, 16)
    assert dataclasses.replace(net.spec, num_classes=3) == SPEC
