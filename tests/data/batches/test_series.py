"""Batches of series: the same bits from memory and from files, in any parts; and what augmentation does."""

import numpy as np
import pytest
import torch

from resnets.data.batches.series import SeriesAugment, SeriesSamples, warped
from resnets.data.loader import Loader
from resnets.data.preprocess import Preprocess
from resnets.data.series.series import ArraySeries, FileSeries
from resnets.data.types import Split
from resnets.data.workers import BadImages
from tests.data.series.made import bumps

RULE = Preprocess(size=(32,), resize="squash", crop_pct=1.0, mean=(0.1, 0.2), std=(1.0, 2.0))
ALL = SeriesAugment(jitter=0.1, scaling=0.1, window_warp=0.5, hflip=0.5, mixup=0.4)
X, Y = bumps(10, chans=2)


def batches(images, augment=None, epoch=0, part=None, workers=0):
    samples = SeriesSamples(split=Split(images, Y.astype(np.int64)), preprocess=RULE, num_classes=2, augment=augment, seed=3)
    return list(Loader(samples=samples, batch_size=4, bad=BadImages(0), part=part, workers=workers).epoch(epoch))


def test_files_give_what_memory_gives_with_any_number_of_workers(tmp_path):
    for number, series in enumerate(X):
        np.savetxt(tmp_path / f"{number}.csv", series.T, "%.9g", delimiter=",")
    stored = FileSeries([f"{number}.csv" for number in range(10)], 2, tmp_path)
    memory = batches(ArraySeries(X, "train"), ALL)
    for workers in (0, 2):
        for one, other in zip(memory, batches(stored, ALL, workers=workers), strict=True):
            assert torch.equal(one.images, other.images) and torch.equal(one.targets, other.targets)
    assert not torch.equal(memory[0].images, batches(ArraySeries(X, "train"), ALL, epoch=1)[0].images)


def test_evaluation_is_in_order_and_not_normalised():
    found = batches(ArraySeries(X, "val"))
    assert torch.equal(torch.cat([batch.images for batch in found]), torch.from_numpy(X))
    assert torch.cat([batch.indices for batch in found]).tolist() == list(range(10))


def test_parts_of_a_batch_are_augmented_as_in_the_whole():
    augment = SeriesAugment(jitter=0.1, scaling=0.1, window_warp=0.5, hflip=0.5)
    whole = batches(ArraySeries(X, "train"), augment)[0].images
    parts = [
        batches(ArraySeries(X, "train"), augment, part=lambda num, one=one: slice(*one))[0].images for one in ((0, 1), (1, 4))
    ]
    assert torch.equal(torch.cat(parts), whole)


def test_mixing_gives_the_share_of_each_class():
    x, targets = SeriesAugment(mixup=1.0).batch(torch.eye(4)[:, None], torch.tensor([0, 1, 0, 1]), 2)
    assert targets.shape == (4, 2) and torch.allclose(targets.sum(1), torch.ones(4))
    assert torch.allclose(x.sum(2)[:, 0], torch.ones(4))


@pytest.mark.parametrize("slow", [True, False])
def test_a_warped_window_keeps_ends_and_order(slow):
    """Of a rising line no value is new, none goes back, and the window takes twice or half its part of the time."""
    line = torch.linspace(0, 1, 200)[None, None].expand(3, 2, -1)
    found = warped(line, torch.tensor([0.0, 0.5, 1.0]), torch.tensor([slow] * 3))
    assert found.shape == line.shape and (found.diff(dim=2) >= -1e-6).all()
    assert torch.allclose(found[..., 0], torch.zeros(3, 2), atol=1e-6) and torch.allclose(
        found[..., -1], torch.ones(3, 2), atol=1e-2
    )
    inside = ((found[1, 0] > 0.451) & (found[1, 0] < 0.549)).sum()
    expected = 200 * (0.2 / 1.1 if slow else 0.05 / 0.95)
    assert abs(int(inside) - expected) < 4


def test_what_cannot_be_read_is_noted(tmp_path):
    (tmp_path / "0.csv").write_text("no,number\n1,x\n")
    samples = SeriesSamples(
        split=Split(FileSeries(["0.csv"], 2, tmp_path), np.zeros(1, np.int64)), preprocess=RULE, num_classes=2
    )
    bad = BadImages(5)
    (batch,) = Loader(samples=samples, batch_size=1, bad=bad).epoch(0)
    assert len(batch.images) == 0 and list(bad.reasons) == [str(tmp_path / "0.csv")]
