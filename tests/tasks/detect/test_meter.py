"""Figures of detection in validation and evaluation, and F1 of one picture."""

import dataclasses
import functools
import math

import numpy as np
import pytest
import torch

from resnets.data.targets import Truth
from resnets.data.types import Batch
from resnets.tasks.detect.average_precision import Collected
from resnets.tasks.detect.meter import DetectMeter, f1
from resnets.tasks.detect.settings import DetectSettings
from resnets.tasks.detect.task import Detect
from tests.tasks.detect.made import LABELS, boxes, found, model

TASK = Detect()
PLAIN = TASK.criterion(DetectSettings(), np.ones(2))


def judged(meter, answer, truth):
    """Take an answer, and what is known of its picture."""
    meter.add([answer], Batch(torch.empty(1, 0), [truth], torch.tensor([truth.index])))
    return meter


@torch.inference_mode()
def test_validation_is_the_measure_of_what_is_inferred():
    net = model(masks=True).eval()
    net.head_config["most_objects"] = 100
    x = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    truths = [Truth(n, (32, 48), boxes((2, 3, 20, 25), (25, 5, 44, 28), labels=[0, 1], size=(32, 48))) for n in range(2)]
    quick, sums, drawn = functools.partial(net, quick=True), [], []
    hook = net.head.roi_heads.mask_predictor.register_forward_hook(lambda *given: drawn.append(1))
    for picture, truth in zip(x, truths, strict=True):
        (seen,) = TASK.infer(quick, picture[None], [truth.size], net.header)
        sums.append(judged(TASK.meter(LABELS, net.head_config, quick=PLAIN), seen, truth).sums["found"])
    hook.remove()
    assert not drawn, "masks, which are not measured here, are not made"
    whole = Collected(LABELS)
    for picture, truth in zip(x, truths, strict=True):
        (seen,) = TASK.infer(net, picture[None], [truth.size], net.header)
        whole.add(truth.index, dataclasses.replace(seen, masks=None), dataclasses.replace(truth.target, masks=None))
    expected, meter = whole.result(), DetectMeter(LABELS, net.head_config, quick=True)
    assert meter.result(2) == {}, "in training nothing is looked for"
    meter.sums["found"] = sums[0] + sums[1]
    assert meter.result(2) == {name: expected[name] for name in ("map", "map50")}


def test_pictures_without_objects_have_no_score_and_no_error():
    nothing, truth = found(labels=[], scores=[]), Truth(0, (9, 9), boxes())
    quick = judged(TASK.meter(LABELS, {}, quick=PLAIN), nothing, truth).result(1)
    assert set(quick) == {"map", "map50"} and all(map(math.isnan, quick.values()))
    result = judged(TASK.meter(LABELS, {}), nothing, truth).result(1)
    assert (result["num_images"], result["num_objects"], result["map"]) == (1, 0, None)


TRUTH = boxes((0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10), labels=[0, 1, 0], ignore=[False, False, True])
PICTURES = {
    "all of it": (found((0, 0, 10, 10), (20, 0, 30, 10), labels=[0, 1], scores=[0.9, 0.8]), 1.0),
    "one of two": (found((0, 0, 10, 10), labels=[0], scores=[0.9]), 2 / 3),
    "twice the same": (found((0, 0, 10, 10), (0, 0, 10, 9), labels=[0, 0], scores=[0.9, 0.8]), 2 / (2 + 1 + 1)),
    "of another class": (found((0, 0, 10, 10), (20, 0, 30, 10), labels=[1, 1], scores=[0.9, 0.8]), 2 / (2 + 1 + 1)),
    "too far off": (found((0, 0, 10, 4), labels=[0], scores=[0.9]), 0.0),
    "the ignored too": (found((0, 0, 10, 10), (40, 0, 50, 10), labels=[0, 0], scores=[0.9, 0.8]), 2 / 3),
    "nothing": (found(labels=[], scores=[]), 0.0),
}


@pytest.mark.parametrize("case", PICTURES)
def test_f1_of_a_picture_by_hand(case):
    seen, expected = PICTURES[case]
    assert f1(seen, TRUTH) == pytest.approx(expected)


def test_what_is_not_sure_does_not_count_for_the_picture():
    meter = TASK.meter(LABELS, {"most_objects": 100})
    unsure = found((0, 0, 10, 10), (20, 0, 30, 10), labels=[0, 1], scores=[0.9, 0.4])
    assert judged(meter, unsure, Truth(0, (60, 60), TRUTH)).worst[0].score == pytest.approx(2 / 3)
    assert f1(found(labels=[], scores=[]), boxes()) == 1.0
    assert meter.result(1)["per_class"][1]["ap50"] == pytest.approx(1), "the measure takes all"
