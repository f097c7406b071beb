"""Maps of many images at once are those that `explain` makes one by one."""

import numpy as np
import pytest
import torch

import resnets
from resnets.engine.values import Question
from resnets.errors import InputError
from resnets.verbs.explain import explain
from resnets.verbs.explain_maps import quick_maps


def made(**changes):
    torch.manual_seed(0)
    return resnets.create_model("resnet20_cifar", depths=(1, 1, 1), width=4, labels=("a", "b", "c"), **changes).eval()


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (5, 3, 32, 32), dtype=np.uint8)


@pytest.mark.parametrize(
    ("task", "method"), [("classify", None), ("tag", "gradcam++"), ("segment", None), ("classify", "occlusion")]
)
def test_each_is_the_map_of_its_image_alone(task, method, pixels):
    network = made(task=task)
    found = quick_maps(network, pixels, method=method)
    report = explain(network, list(pixels.transpose(0, 2, 3, 1)), method=method, trust=False, most=1)
    assert len(found) == len(report.explanations) == 5
    for each, one in zip(found, report.explanations, strict=True):
        assert each.what.name == one.answer and each.values.shape == (32, 32)
        assert np.allclose(each.values, one.values, atol=1e-4)


def test_a_question_for_each_image(pixels):
    network = made()
    asked = [Question("a", "b"), Question("c"), Question(), Question("b", "c"), Question("c", "a")]
    found = quick_maps(network, pixels, asked)
    assert [each.what.name[:15] for each in found[:1] + found[3:]] == ["a rather than b", "b rather than c", "c rather than a"]
    one = explain(network, [pixels[3].transpose(1, 2, 0)], class_name="b", against="c", trust=False).explanations[0]
    assert np.allclose(found[3].values, one.values, atol=1e-4)
    with pytest.raises(InputError, match="has no class 'd'"):
        quick_maps(network, pixels[:1], [Question("d")])


def test_what_is_known_is_not_computed_again(pixels):
    network = made()
    outputs = np.eye(3, dtype=np.float32)[[2, 0, 1, 1, 2]]
    assert [each.what.label for each in quick_maps(network, pixels, outputs=outputs)] == [2, 0, 1, 1, 2]


def test_a_detector_that_finds_nothing_has_no_map():
    head = {"least_score": 0.0, "most_objects": 10, "width": 16, "region_width": 16, "proposals": [50, 50]}
    network = made(task="detect", head_config=head)
    picture = np.random.default_rng(0).integers(0, 256, (2, 3, 48, 64), dtype=np.uint8)
    first, second = quick_maps(network, picture, [Question(threshold=1.0), Question(threshold=0.0)])
    assert first is None and second.values.shape == (48, 64) and second.what.place is not None


def test_gradients_and_hooks_are_as_before(pixels):
    network = made()
    quick_maps(network, pixels[:1])
    assert torch.is_grad_enabled() and not any(module._forward_hooks for module in network.modules())
    with torch.no_grad():
        assert quick_maps(network, pixels[:1])[0].values.max() > 0.5
        assert not torch.is_grad_enabled()
