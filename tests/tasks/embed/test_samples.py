"""Batches of P x K."""

import numpy as np
import pytest

from resnets.data.identities import Identities
from resnets.data.loader import Loader
from resnets.data.pictures.stored import ArrayImages
from resnets.data.preprocess import Preprocess
from resnets.data.transforms import Augment
from resnets.data.types import Split
from resnets.data.workers import BadImages
from resnets.tasks.embed.samples import IdentitySamples, plain

COUNTS = (8, 8, 8, 3, 1, 16)


def samples(per_identity=4, train=True, seed=0):
    codes = np.repeat(np.arange(len(COUNTS)), COUNTS)
    pixels = np.random.default_rng(0).integers(0, 255, (len(codes), 8, 8, 3)).astype(np.uint8)
    half = (0.5,) * 3
    return IdentitySamples(
        split=Split(ArrayImages(pixels, "train"), Identities(codes, list("abcdef"))),
        preprocess=Preprocess(size=(8, 8), resize="squash", crop_pct=1.0, mean=half, std=half),
        num_classes=len(COUNTS),
        augment=Augment() if train else None,
        seed=seed,
        per_identity=per_identity,
    )


@pytest.mark.parametrize("epoch", [0, 1])
def test_each_identity_comes_k_at_a_time(epoch):
    own = samples()
    order = own.order(epoch)
    assert len(order) == len(own) == 4 * (2 + 2 + 2 + 1 + 1 + 4)
    codes = own.split.targets.values[order].reshape(-1, 4)
    assert (codes == codes[:, :1]).all()
    assert np.bincount(codes[:, 0]).tolist() == [2, 2, 2, 1, 1, 4]
    for code, count in enumerate(COUNTS):
        positions = order[own.split.targets.values[order] == code]
        assert len(np.unique(positions)) == min(count, len(positions)), "none twice where there are enough"


def test_rounds_lie_evenly_over_the_epoch():
    """So that no batch of four identities has one of them alone."""
    own = samples()
    codes = own.split.targets.values[own.order(3)].reshape(-1, 16)
    assert all(len(np.unique(batch)) >= 3 for batch in codes)


def test_an_epoch_is_a_function_of_seed_and_epoch():
    assert np.array_equal(samples().order(5), samples().order(5))
    assert not np.array_equal(samples().order(5), samples().order(6))
    assert not np.array_equal(samples().order(5), samples(seed=1).order(5))


def test_the_loader_makes_batches_of_p_identities():
    own = samples()
    batches = list(Loader(samples=own, batch_size=12, bad=BadImages(0)).epoch(0))
    assert len(batches) == 4 and all(len(batch.images) == 12 for batch in batches)
    assert all((np.bincount(batch.targets.numpy()) % 4 == 0).all() for batch in batches)


def test_one_a_time_is_every_picture_once():
    for own in (samples(1), plain(samples())):
        assert len(own) == sum(COUNTS) and sorted(own.order(0)) == list(range(sum(COUNTS)))


def test_in_evaluation_targets_are_names():
    (batch,) = Loader(samples=samples(train=False), batch_size=100, bad=BadImages(0)).epoch(0)
    assert batch.targets.tolist() == [name for name, num in zip("abcdef", COUNTS, strict=True) for _ in range(num)]
