"""The losses against pytorch-metric-learning's, and what their margins do."""

import numpy as np
import pytest
import torch

from resnets.tasks.embed import losses
from resnets.tasks.embed.losses import Cosines, criterion


def made(num=12, size=6, num_identities=4, seed=0):
    torch.manual_seed(seed)
    return torch.randn(num, size), torch.arange(num) % num_identities, Cosines(size, num_identities)


@pytest.mark.parametrize("loss", ["arcface", "cosface"])
@pytest.mark.parametrize("margin", [0.0, 0.3, 1.4])
def test_by_a_margin_they_are_those_of_pytorch_metric_learning(loss, margin):
    theirs = pytest.importorskip("pytorch_metric_learning.losses")
    embeddings, targets, cosines = made()
    kind = {"arcface": theirs.ArcFaceLoss, "cosface": theirs.CosFaceLoss}[loss]
    other = kind(num_classes=4, embedding_size=6, margin=np.degrees(margin) if loss == "arcface" else margin, scale=16)
    other.W.data = cosines.weight.data.t().clone()
    one, two = embeddings.clone().requires_grad_(), embeddings.clone().requires_grad_()
    ours = criterion(loss, margin, 16.0, 0.1)(cosines(one), targets)["loss"]
    expected = other(two, targets)
    assert ours.item() == pytest.approx(expected.item(), rel=1e-5)
    ours.backward()
    expected.backward()
    assert torch.allclose(one.grad, two.grad, atol=1e-5)
    assert torch.allclose(cosines.weight.grad, other.W.grad.t(), atol=1e-5)


def test_the_margin_of_the_own_identity_falls_on_and_never_rises():
    own = torch.linspace(-1, 1, 201)[:, None]
    moved = losses.arcface(own, torch.zeros(201, dtype=torch.int64), 0.5)[:, 0]
    assert (moved.diff() > 0).all() and (moved <= own[:, 0] + 1e-6).all()
    assert moved[-1].item() == pytest.approx(np.cos(0.5), abs=1e-3)


def test_gradients_are_finite_where_a_cosine_is_one():
    own = torch.tensor([[1.0, 0.2], [-1.0, 0.1]], requires_grad=True)
    criterion("arcface", 0.3, 16.0, 0.1)(own, torch.tensor([0, 0]))["loss"].backward()
    assert own.grad.isfinite().all()


@pytest.mark.parametrize("loss", ["triplet", "supcon"])
def test_by_pairs_what_is_together_is_better(loss):
    pytest.importorskip("pytorch_metric_learning")
    measure, targets = criterion(loss, None, 16.0, 0.1), torch.tensor([0, 0, 1, 1])
    together = torch.tensor([[1.0, 0], [1, 0.1], [0, 1], [0.1, 1]])
    assert measure(together, targets)["loss"] < measure(together[[0, 2, 1, 3]], targets)["loss"]


def test_without_the_library_the_extra_is_named(monkeypatch):
    import sys

    from resnets.errors import InputError

    monkeypatch.setitem(sys.modules, "pytorch_metric_learning", None)
    with pytest.raises(
        InputError, match=r"loss=supcon needs pytorch-metric-learning; install it by `pip install 'resnets\[embed\]'`"
    ):
        criterion("supcon", None, 16.0, 0.1)
