"""How other libraries are told of a network and its inputs; tests/verbs/test_push.py has them open it."""

import pytest

from resnets.data.preprocess import Preprocess
from resnets.engine.values import PublishedAs
from resnets.errors import InputError
from resnets.models import zoo
from resnets.models.header import Header
from resnets.ship import hub, repository

AS = PublishedAs("image-classification", "single_label_classification")


def header(rule=None, name="resnet18", **changes):
    spec = zoo.get(name, **{"num_classes": 2} | changes)
    return Header(spec, "classify", rule or Preprocess(), ("a", "b"), {}, {})


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("resnet152", {}, ("resnet152", {})),
        ("resnet50", {"in_chans": 4, "drop_path": 0.1}, ("resnet50", {"in_chans": 4})),
        ("preresnet101", {}, ("resnetv2_101", {})),
        ("preresnet200", {}, ("resnetv2_50", {"layers": [3, 24, 36, 3]})),
        ("seresnet50", {}, ("seresnet50", {})),
        ("resnet34d", {}, ("resnet34d", {})),
        ("wide_resnet101_2", {}, ("wide_resnet101_2", {})),
        ("resnext101_64x4d", {}, ("resnext101_64x4d", {})),
        ("resnet34", {"depths": [2, 2, 2, 3]}, ("resnet18", {"layers": [2, 2, 2, 3]})),
    ],
)
def test_timms_name_of_a_network(name, changes, expected):
    assert repository.timm_network(zoo.get(name, **changes)) == expected


def test_networks_that_timm_does_not_name():
    with pytest.raises(InputError, match="timm has no network like resnet18 with its widths"):
        repository.timm_network(zoo.get("resnet18", width=32))


@pytest.mark.parametrize(
    ("resize", "mode", "crop"), [("crop", "center", 0.9), ("squash", "squash", 1.0), ("pad", "border", 1.0)]
)
def test_timms_words_for_how_images_are_resized(resize, mode, crop):
    own = repository.timm_configs(header(Preprocess(resize=resize, crop_pct=0.9)), AS, "mit")["config.json"]["pretrained_cfg"]
    assert (own["crop_mode"], own["crop_pct"], own["license"], own["first_conv"]) == (mode, crop, "mit", "conv1")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Preprocess(), ("BitImageProcessor", {"shortest_edge": 256})),
        (Preprocess(size=(96, 96), crop_pct=1.0), ("BitImageProcessor", {"shortest_edge": 96})),
        (Preprocess(size=(96, 64), resize="squash"), ("ViTImageProcessor", {"height": 96, "width": 64})),
        (Preprocess(size=(96, 64)), None),
        (Preprocess(resize="pad"), None),
    ],
)
def test_transformers_processor_where_it_has_one(rule, expected):
    files = repository.transformers_configs(header(rule), AS, None)
    found = files.get("preprocessor_config.json")
    assert (found and (found["image_processor_type"], found["size"])) == expected
    assert files["config.json"]["problem_type"] == AS.problem and files["config.json"]["id2label"] == {"0": "a", "1": "b"}


def test_a_mean_of_each_pixel_is_no_other_librarys():
    model = hub.create_model("resnet18", depths=(1, 1, 1, 1), labels=["a", "b"])
    rule = Preprocess(size=(4, 4), mean=(0.5,) * 48, std=(0.5,) * 3)
    with pytest.raises(InputError, match="a mean of each pixel"):
        repository.check_plain(header(rule, depths=(1, 1, 1, 1)), model.state_dict())
