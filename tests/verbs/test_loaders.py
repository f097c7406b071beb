"""Loaders for one's own loop: the batches of the engine."""

import numpy as np
import pytest
import torch
from torch import nn

import resnets
from resnets.data.transforms import to_input
from resnets.errors import InputError
from resnets.verbs.train import prepare
from tests.engine.made import TINY

X = np.random.default_rng(0).integers(0, 256, (36, 8, 8, 3), dtype=np.uint8)
Y = ["a", "b", "c"] * 12
CPU = torch.device("cpu")


def test_the_batches_are_those_that_train_takes(tmp_path):
    settings = TINY | {"mixup": 0.2}
    job, plan = prepare((X, Y), out=tmp_path / "run", **settings)
    found = resnets.loaders((X, Y), **settings)
    assert found.labels == ("a", "b", "c") and found.preprocess == plan.preprocess and found.test is None
    assert (len(found.train), found.train.num_images, len(found.val)) == (len(job.train), job.train.num_images, 1)
    for epoch in range(2):
        for (x, y), batch in zip(found.train, job.train.epoch(epoch), strict=True):
            assert torch.equal(x, batch.images) and torch.equal(y, batch.targets) and x.dtype == torch.float32
    for (x, y), batch in zip(found.val, job.val.epoch(0), strict=True):
        assert torch.equal(x, to_input(batch.images, plan.preprocess, CPU)) and torch.equal(y, batch.targets)
    assert repr(found.val) == "Batches(3 images in 1 batches of 250)"


def test_a_loop_of_ones_own_learns():
    """Channel 0 says the class."""
    x = X.copy()
    x[..., 0] = np.repeat([0, 128, 255], 12)[:, None, None]
    train, val, *_ = resnets.loaders((x, np.arange(36) // 12), batch_size=8, workers=0, hflip=0, crop="none")
    torch.manual_seed(0)
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3))
    optimizer = torch.optim.Adam(net.parameters(), 0.1)
    losses = []
    for _ in range(20):
        for inputs, targets in train:
            loss = nn.functional.cross_entropy(net(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert all((net(inputs).argmax(1) == targets).all() for inputs, targets in val)


def test_inputs_of_a_model_are_its_own():
    model = resnets.create_model("resnet20_cifar", pretrained=True)
    with pytest.raises(InputError, match=r"the model has the 10 classes airplane.*model\.reset_classifier\(labels\)"):
        resnets.loaders((X, Y), model=model)
    model.reset_classifier(["a", "b", "c"])
    found = resnets.loaders((X, Y), model=model, batch_size=8, workers=0)
    assert found.preprocess == model.preprocess and next(iter(found.train))[0].shape == (8, 3, 32, 32)
    assert resnets.loaders((X, Y), model="resnet18", img_size=64, workers=0).preprocess.size == (64, 64)
    with pytest.raises(InputError, match="answers of the size of the image"):
        resnets.loaders((X, Y), task="segment")
