"""The losses of segmentation, by hand and beside torch's."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from resnets.data.targets import IGNORE
from resnets.engine.settings import fields_of
from resnets.tasks.segment import losses
from resnets.tasks.segment.head import Supervised
from resnets.tasks.segment.settings import SegmentSettings
from resnets.tasks.segment.task import Segment
from tests.tasks.segment.made import batch

TASK = Segment()
LOSSES = fields_of(SegmentSettings)["loss"].metadata["choices"]
COUNTS = np.array([700, 250, 50])


def loss(logits, targets, **settings):
    return TASK.criterion(SegmentSettings(**settings), COUNTS)(logits, targets)["loss"]


def test_every_loss_that_may_be_asked_for_is_there():
    assert set(LOSSES) == set(losses.LOSSES)


@pytest.mark.parametrize("balance", ["none", "loss"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_torchs_mean_over_what_is_known(smoothing, balance):
    """The weights are ENet's, 1 / ln(1.02 + share), brought to a mean of 1 over the pixels of the training split."""
    logits, targets = batch()
    weight = None
    if balance == "loss":
        raw = 1 / np.log(1.02 + COUNTS / 1000)
        weight = torch.tensor(raw / (raw * COUNTS).sum() * 1000, dtype=torch.float32)
        assert float(weight @ torch.tensor(COUNTS).float()) == pytest.approx(1000)
    expected = F.cross_entropy(logits, targets, weight=weight, ignore_index=IGNORE, label_smoothing=smoothing)
    assert float(loss(logits, targets, smoothing=smoothing, balance=balance)) == pytest.approx(float(expected), rel=1e-5)


def test_a_single_pixel_of_a_common_class_weighs_as_much_as_any():
    logits, targets = torch.zeros(1, 3, 2, 2), torch.full((1, 2, 2), IGNORE)
    targets[0, 0, 0] = 0  # the class whose weight is the least, below 1
    assert float(loss(logits, targets, balance="loss")) == pytest.approx(math.log(3), rel=1e-5)


def test_dice_by_hand():
    """Two classes, four pixels, one of them ignored: p of class 1 is .5 .5 1 and the truth 0 1 1."""
    sure = 60.0
    logits = torch.tensor([[[[0.0, 0, -sure, sure]], [[0.0, 0, sure, -sure]]]])
    targets = torch.tensor([[[0, 1, 1, IGNORE]]])
    zero = 1 - (2 * 0.5 + 1) / ((0.5 + 0.5 + 0) + 1 + 1)
    one = 1 - (2 * 1.5 + 1) / ((0.5 + 0.5 + 1) + 2 + 1)
    task_loss = TASK.criterion(SegmentSettings(loss="dice"), np.array([1, 1]))(logits, targets)
    assert float(task_loss["loss"]) == pytest.approx((zero + one) / 2, rel=1e-5)


def test_dice_leaves_out_classes_that_are_nowhere():
    logits, targets = batch(ignored=0)
    targets[targets == 2] = 1
    probabilities = logits.softmax(1)
    each = []
    for index in (0, 1):
        truth, p = (targets == index).float(), probabilities[:, index]
        each.append(1 - (2 * (truth * p).sum() + 1) / (truth.sum() + p.sum() + 1))
    assert float(loss(logits, targets, loss="dice")) == pytest.approx(float(sum(each) / 2), rel=1e-5)


def test_focal_by_hand():
    logits, targets = batch()
    total, num = 0.0, 0
    for scores, truth in zip(logits.movedim(1, -1).reshape(-1, 3), targets.reshape(-1), strict=True):
        if truth != IGNORE:
            p = float(scores.softmax(0)[truth])
            total, num = total - (1 - p) ** 2 * math.log(p), num + 1
    assert float(loss(logits, targets, loss="focal")) == pytest.approx(total / num, rel=1e-5)


def test_a_sum_of_losses_names_its_parts():
    logits, targets = batch()
    found = TASK.criterion(SegmentSettings(loss="ce+dice"), COUNTS)(logits, targets)
    assert set(found) == {"loss", "ce", "dice_loss"}
    assert float(found["loss"]) == pytest.approx(float(found["ce"] + found["dice_loss"]))
    assert set(TASK.criterion(SegmentSettings(), COUNTS)(logits, targets)) == {"loss"}


@pytest.mark.parametrize("balance", ["none", "loss"])
@pytest.mark.parametrize("kind", LOSSES)
def test_what_is_ignored_has_no_gradient_and_nothing_known_is_no_loss(kind, balance):
    logits, targets = batch()
    logits.requires_grad_()
    loss(logits, targets, loss=kind, balance=balance).backward()
    known = (targets != IGNORE).unsqueeze(1).expand_as(logits)
    assert logits.grad.isfinite().all() and (logits.grad[~known] == 0).all() and (logits.grad[known] != 0).any()
    logits.grad = None
    found = loss(logits.to(torch.bfloat16), torch.full_like(targets, IGNORE), loss=kind, balance=balance)
    found.backward()
    assert found.dtype == torch.float32 and float(found.detach()) == 0 and (logits.grad == 0).all()


def test_an_auxiliary_head_has_four_tenths_of_a_cross_entropy():
    (logits, targets), (other, _) = batch(), batch(seed=1)
    both = loss((logits, other), targets)
    assert float(both) == pytest.approx(float(loss(logits, targets) + 0.4 * loss(other, targets)), rel=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_are_the_same_under_autocast(loss):
    """As training computes them: sums over pixels want 32 bits."""
    logits, targets = 8 * torch.randn(2, 3, 40, 50).round(decimals=1), torch.randint(0, 3, (2, 40, 50))
    targets[:, :3] = IGNORE
    criterion = TASK.criterion(SegmentSettings(loss=loss), np.ones(3))
    exact = criterion(logits, targets)["loss"]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(criterion(logits, targets)["loss"], exact)


# --- deep supervision ---------------------------------------------------------------------------------------------------


def test_lower_resolutions_weigh_half_each_and_all_together_one():
    logits, targets = batch(size=(6, 5))
    lower = [torch.randn(2, 3, 3, 3), torch.randn(2, 3, 2, 3)]
    settings = {"loss": "ce+dice"}
    alone = [loss(logits, targets, **settings), loss(lower[0], targets[:, ::2, ::2], **settings)]
    alone.append(loss(lower[1], targets[:, ::4, ::2], **settings))
    found = TASK.criterion(SegmentSettings(**settings), COUNTS)(Supervised(logits, lower), targets)
    assert float(found["loss"]) == pytest.approx((4 * alone[0] + 2 * alone[1] + alone[2]).item() / 7, rel=1e-5)
    assert float(found["ce"] + found["dice_loss"]) == pytest.approx(float(alone[0]), rel=1e-6)
    once = TASK.criterion(SegmentSettings(**settings), COUNTS)(Supervised(logits, []), targets)
    assert float(once["loss"]) == pytest.approx(float(alone[0]), rel=1e-6)


@pytest.mark.parametrize("length", [1, 2, 5, 9, 16, 17])
def test_targets_are_thinned_to_where_strided_convolutions_look(length):
    places = torch.arange(length)[None]
    x, steps = torch.zeros(1, 1, length), 1
    for _ in range(4):
        assert losses.thinned(places, x.shape[2:]).tolist() == places[:, ::steps].tolist()
        x, steps = F.conv1d(x, torch.zeros(1, 1, 3), stride=2, padding=1), steps * 2
