"""The losses of tagging beside torch's and timm's."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from resnets import tasks
from resnets.tasks.tag.losses import Asymmetry, asymmetric, criterion, positive_weights

made = torch.Generator().manual_seed(0)
OUTPUTS, TARGETS = torch.randn(16, 5, generator=made) * 3, (torch.rand(16, 5, generator=made) < 0.3).float()


def test_rare_labels_weigh_more_and_none_without_bounds():
    assert positive_weights(np.array([100, 50, 1, 0])).tolist() == [1, 2, 20, 1]
    outputs, targets = torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])
    for asymmetry in (None, Asymmetry(0, 0, 0)):
        plain, weighted = (criterion(0.0, weight, asymmetry) for weight in (None, torch.tensor([3.0, 1.0])))
        assert weighted(outputs, targets)["loss"] == pytest.approx(2 * float(plain(outputs, targets)["loss"]))


def test_without_asymmetry_it_is_binary_cross_entropy():
    outputs = torch.cat([OUTPUTS, 60 * OUTPUTS])
    targets = torch.cat([TARGETS, TARGETS])
    expected = F.binary_cross_entropy_with_logits(outputs, targets)
    assert asymmetric(outputs, targets, Asymmetry(0, 0, 0)).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("by", [Asymmetry(0, 4, 0.05), Asymmetry(1, 4, 0.05), Asymmetry(2, 2, 0.2)])
def test_the_asymmetric_loss_is_timms(by):
    """Which adds up labels, where ours has the mean."""
    theirs = pytest.importorskip("timm.loss").AsymmetricLossMultiLabel(by.gamma_neg, by.gamma_pos, by.clip)
    assert asymmetric(OUTPUTS, TARGETS, by).item() == pytest.approx(
        theirs(OUTPUTS, TARGETS).item() / TARGETS.shape[1], rel=1e-5
    )


def test_it_by_hand():
    outputs, by = torch.tensor([[0.0, 0.0]]), Asymmetry(1, 2, 0.1)
    expected = -(0.5 * np.log(0.5) + 0.4**2 * np.log(0.6)) / 2
    assert asymmetric(outputs, torch.tensor([[1.0, 0.0]]), by).item() == pytest.approx(expected, rel=1e-6)


def test_gradients_are_finite_where_an_output_is_extreme():
    outputs = torch.tensor([[-200.0, 200.0, -3.0]], requires_grad=True)
    asymmetric(outputs, torch.tensor([[1.0, 0.0, 0.0]]), Asymmetry(0, 4, 0.05)).backward()
    assert torch.isfinite(outputs.grad).all() and outputs.grad[0, 2] == 0  # its probability is below 0.05


def test_a_setting_chooses_it():
    task = tasks.get("tag")
    recipe = task.settings(task="tag", loss="asl", gamma_neg=2.0, gamma_pos=1.0, asl_clip=0.2)
    loss = task.criterion(recipe, np.array([3, 3, 3, 3, 3]))(OUTPUTS, TARGETS)["loss"]
    assert loss.item() == pytest.approx(asymmetric(OUTPUTS, TARGETS, Asymmetry(1, 2, 0.2)).item())
