"""Figures of segmentation while training, in validation and evaluation."""

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix

from resnets.data.targets import IGNORE, Truth
from resnets.data.types import Batch
from resnets.tasks.segment.meter import SegmentMeter
from resnets.tasks.segment.overlap import Counted
from resnets.tasks.segment.settings import SURFACE_TOLERANCE, SegmentSettings
from resnets.tasks.segment.task import Segment
from tests.tasks.segment.made import LABELS, batch, model

TASK = Segment()
PLAIN = TASK.criterion(SegmentSettings(), np.ones(3))
SCORES = [score.key for score in TASK.scores]


def judged(meter, found, *truth):
    """Take an answer, and what is known of its image."""
    meter.add([found], Batch(torch.empty(1, 0), [Truth(*truth)], torch.tensor([truth[0]])))
    return meter


def test_counts_of_batches_say_what_the_measures_say():
    meter, whole = SegmentMeter(LABELS, quick=True), Counted(LABELS, background=0)
    for seed in range(3):
        logits, targets = batch(seed)
        meter.learn(logits if seed else (logits, None), targets)  # with an auxiliary head, its logits come second
        for predicted, truth in zip(logits.argmax(1).numpy(), targets.numpy(), strict=True):
            whole.add(predicted, truth)
    expected = whole.result()
    assert meter.sums["confusion"].tolist() == expected["confusion"]
    assert meter.result(6) == {name: pytest.approx(expected[name]) for name in SCORES}
    everything = SegmentMeter(("a", "b", "c"), quick=True)  # none is background
    everything.sums = meter.sums
    assert everything.result(6)["dice"] == pytest.approx(np.mean([row["dice"] for row in expected["per_class"]]))


def test_of_nothing_known_the_figures_are_zero():
    meter = SegmentMeter(LABELS, quick=True)
    meter.sums["confusion"] = torch.zeros(3, 3, dtype=torch.int64)
    assert meter.result(2) == dict.fromkeys(SCORES, 0.0)


def test_validation_counts_each_picture_at_its_own_size():
    net = model()
    random = np.random.default_rng(0)
    x = torch.randn(1, 3, 24, 32, generator=torch.Generator().manual_seed(0))
    target = random.integers(0, 3, (48, 50)).astype(np.uint8)
    target[:9] = IGNORE
    with torch.inference_mode():
        (found,) = TASK.infer(net, x, [(48, 50)], net.header)
    assert found.shape == (48, 50)
    quick = judged(TASK.meter(LABELS, net.head_config, quick=PLAIN), found, 0, (48, 50), target)
    counts = quick.sums["confusion"]
    assert int(counts.sum()) == 39 * 50 and counts[1, 2] == ((target == 1) & (found == 2)).sum() and not quick.worst
    meter = judged(TASK.meter(LABELS, net.head_config), found, 0, (48, 50), target)
    assert meter.worst[0].score == pytest.approx(quick.result(1)["miou"]) and meter.background == 0
    result = meter.result(1)
    assert {name: result[name] for name in SCORES} == {name: pytest.approx(value) for name, value in quick.result(1).items()}


def test_boundaries_are_measured_in_millimetres():
    truth = np.zeros((20, 20, 20), np.uint8)
    truth[8:12, 8:12, 8:12] = 1
    moved = np.roll(truth, 1, axis=0)
    scores = {}
    for spacing in ((0.1, 1.0, 1.0), (5.0, 1.0, 1.0)):
        meter = judged(SegmentMeter(["background", "organ"], quick=False), moved, 0, truth.shape, truth, spacing)
        scores[spacing[0]] = meter.result(1)["boundary_f"]
    assert SURFACE_TOLERANCE == 1 and scores[0.1] == 1 and scores[5.0] < 0.9  # mm; the shift is one of 0.1 and of 5


def test_of_a_volume_the_worst_planes_are_kept():
    truth = np.zeros((5, 6, 7), np.uint8)
    truth[1:4, 2:4, 2:5] = 1
    found = truth.copy()
    found[3] = 0
    (bad,) = judged(SegmentMeter(["background", "organ"], quick=False), found, 2, truth.shape, truth).worst
    assert (bad.position, bad.at) == (2, (3, 2, 3)), "where most differ, the middle one of several"
    for planes, classes in ((bad.truth, truth), (bad.found, found)):
        expected = classes[3, ::-1], classes[::-1, 2], classes[::-1, :, 3]  # front or head at the top
        assert all(np.array_equal(*both) for both in zip(planes, expected, strict=True))


def test_the_interval_of_miou_is_by_groups():
    """Twelve pictures of four films, of which one is hard: the interval spans what draws of films give, from sums of pixels."""
    random, meter = np.random.default_rng(0), SegmentMeter(("a", "b"), quick=False)
    groups, matrices = np.array([f"film {n // 3}" for n in range(12)]), []
    for n in range(12):
        truth = random.integers(0, 2, (10, 10)).astype(np.uint8)
        wrong = random.random((10, 10)) < (0.5 if n < 3 else 0.05)
        judged(meter, np.where(wrong, 1 - truth, truth).astype(np.uint8), n, truth.shape, truth)
        matrices.append(confusion_matrix(truth.ravel(), np.where(wrong, 1 - truth, truth).ravel(), labels=[0, 1]))
    result = meter.result(12, groups)
    found = []
    for draw in np.random.default_rng(9).integers(4, size=(2000, 4)):
        counts = sum(matrices[3 * film + n] for film in draw for n in range(3))
        found.append(np.mean(np.diag(counts) / (counts.sum(0) + counts.sum(1) - np.diag(counts))))
    assert result["miou_interval"] == pytest.approx(np.quantile(found, [0.025, 0.975]).tolist(), abs=0.02)
    assert result["num_groups"] == 4 and "miou_interval" not in meter.result(12)
    assert meter.result(12, np.full(12, "one"))["miou_interval"] == [0.0, 1.0], "one film says nothing of others"
