"""The losses of classification, by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from resnets.tasks.classify.settings import ClassifySettings
from resnets.tasks.classify.task import Classify

TASK = Classify()
LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 1.0, -2.0], [-0.5, 0.3, 0.1]])
HARD = torch.tensor([0, 2, 1])
SOFT = torch.tensor([[0.7, 0.3, 0.0], [0.0, 0.15, 0.85], [0.5, 0.0, 0.5]])
COUNTS = np.array([6, 3, 1])


def loss(targets, **settings):
    return float(TASK.criterion(ClassifySettings(**settings), COUNTS)(LOGITS, targets)["loss"])


@pytest.mark.parametrize("targets", [HARD, SOFT], ids=["hard", "soft"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_by_hand(targets, smoothing):
    soft = F.one_hot(targets, 3).float() if targets.ndim == 1 else targets
    soft = soft * (1 - smoothing) + smoothing / 3
    assert loss(targets, smoothing=smoothing) == pytest.approx(float(-(soft * LOGITS.log_softmax(1)).sum(1).mean()), abs=1e-6)


@pytest.mark.parametrize(
    ("targets", "present"),
    [(HARD, [[1, 0, 0], [0, 0, 1], [0, 1, 0]]), (SOFT, [[1, 1, 0], [0, 0, 1], [1, 0, 1]])],
    ids=["hard", "soft"],
)
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_binary_cross_entropy_says_yes_to_all_that_is_there(targets, present, smoothing):
    """Of a mixed picture both, unless one makes up a fifth or less."""
    said = np.array(present) * (1 - smoothing) + smoothing / 3
    p = 1 / (1 + np.exp(-LOGITS.numpy()))
    expected = -(said * np.log(p) + (1 - said) * np.log(1 - p)).mean()
    assert loss(targets, loss="bce", smoothing=smoothing) == pytest.approx(expected, abs=1e-6)


def test_class_weights_even_out_the_classes():
    """Each class has the same share of the loss over the training pictures, whose weights are 1 on average."""
    targets = torch.tensor([0] * 6 + [1] * 3 + [2])
    outputs = torch.randn(10, 3, generator=torch.Generator().manual_seed(0))
    found = TASK.criterion(ClassifySettings(balance="loss"), COUNTS)(outputs, targets)["loss"]
    each = F.cross_entropy(outputs, targets, reduction="none")
    assert float(found) == pytest.approx(float(torch.stack([each[targets == c].mean() for c in range(3)]).mean()), abs=1e-6)
    weight = torch.tensor(10 / (3 * COUNTS), dtype=torch.float32)
    assert float(weight[targets].mean()) == pytest.approx(1)
    assert float(found) == pytest.approx(float((each * weight[targets]).mean()), abs=1e-6)


@pytest.mark.parametrize("kind", ["ce", "bce"])
@pytest.mark.parametrize("balance", ["none", "loss"])
def test_the_loss_is_float32_and_has_a_gradient(kind, balance):
    outputs = LOGITS.to(torch.bfloat16).requires_grad_()
    found = TASK.criterion(ClassifySettings(loss=kind, balance=balance), COUNTS)(outputs, HARD)["loss"]
    found.backward()
    assert found.dtype == torch.float32 and outputs.grad.isfinite().all()
