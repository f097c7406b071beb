"""Batches of whole volumes: the same bits with any workers and parts; and what augmentation does."""

import math

import numpy as np
import pytest
import torch

from resnets.data.batches.whole_volumes import VolumeAugment, WholeVolumes, turned
from resnets.data.loader import Loader
from resnets.data.pictures.stored import FileImages
from resnets.data.pictures.volumes import Volumes
from resnets.data.preprocess import Preprocess
from resnets.data.types import Split
from resnets.data.workers import BadImages
from tests.data.made_scans import classes

RULE = Preprocess(size=(8, 8, 8), resize="pad", crop_pct=1.0, mean=(0.0,), std=(1.0,))
ALL = VolumeAugment(mirror=(0.5, 0.5, 0.5), shift=0.1, rotation=10.0, zoom=0.1, scaling=0.1, jitter=0.1)


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    root = classes(tmp_path_factory.mktemp("scans"), train=6)
    (root / "train/small/7.nii.gz").write_bytes(b"nothing")
    paths = sorted(root.rglob("*.nii.gz"))
    return Split(Volumes(FileImages(paths, 1), 1), np.array([0, 0, 0, 1, 1, 1, 1]))


def batches(split, augment=None, epoch=0, part=None, workers=0):
    samples = WholeVolumes(split=split, preprocess=RULE, num_classes=2, augment=augment, seed=3)
    loader = Loader(samples=samples, batch_size=4, bad=BadImages(1), part=part, workers=workers)
    return list(loader.epoch(epoch)), loader.bad


def test_workers_and_epochs(split):
    alone, bad = batches(split, ALL)
    assert sum(len(batch.images) for batch in alone) == 6 and [*bad.reasons] == [split.images.name(6)]
    for one, other in zip(alone, batches(split, ALL, workers=2)[0], strict=True):
        assert torch.equal(one.images, other.images) and torch.equal(one.targets, other.targets)
    assert not torch.equal(alone[0].images, batches(split, ALL, epoch=1)[0][0].images)


def test_evaluation_is_in_order_and_normalised(split):
    found = torch.cat([batch.images for batch in batches(split)[0]])
    assert found.shape == (6, 1, 8, 8, 8) and found.dtype == torch.float32
    assert torch.cat([batch.indices for batch in batches(split)[0]]).tolist() == list(range(6))


def test_parts_of_a_batch_are_augmented_as_in_the_whole(split):
    whole = batches(split.subset(np.arange(4)), ALL)[0][0].images
    parts = [
        batches(split.subset(np.arange(4)), ALL, part=lambda num, one=one: slice(*one))[0][0].images for one in ((0, 1), (1, 4))
    ]
    assert torch.allclose(torch.cat(parts), whole, atol=1e-6)


# --- what augmentation does ---


def at(*place):
    """A volume (1, 1, 9, 7, 5) with a single bright voxel."""
    x = torch.zeros(1, 1, 9, 7, 5)
    x[(0, 0, *place)] = 1.0
    return x


NOTHING = {"angles": torch.zeros(1, 3), "zooms": torch.ones(1), "shifts": torch.zeros(1, 3)}


def test_a_shift_moves_voxels_along_the_axis_it_names():
    for axis, place in enumerate([(6, 3, 2), (4, 5, 2), (4, 3, 4)]):
        shifts = torch.zeros(1, 3)
        shifts[0, axis] = 2
        assert torch.allclose(turned(at(4, 3, 2), **NOTHING | {"shifts": shifts}), at(*place), atol=1e-5)


def test_turns_are_about_the_axis_that_they_name_whatever_the_sides():
    cube, box = torch.rand(1, 1, 5, 5, 5), torch.rand(1, 1, 9, 7, 5)
    for axis in range(3):
        others = [2 + other for other in range(3) if other != axis]
        for turns in (1, 2):
            angles = torch.zeros(1, 3)
            angles[0, axis] = turns * math.pi / 2
            found, expected = turned(cube, **NOTHING | {"angles": angles}), cube.rot90(turns, others)
            assert torch.allclose(found, expected, atol=1e-5), (axis, turns)
        assert torch.allclose(turned(box, **NOTHING | {"angles": angles}), box.flip(*others), atol=1e-5)


def test_zooming_enlarges_about_the_middle_and_nothing_changes_nothing():
    x = torch.zeros(2, 1, 12, 10, 14)
    x[:, :, 5:7, 4:6, 6:8] = 5.0
    found = turned(x, torch.zeros(2, 3), torch.tensor([2.0, 0.5]), torch.zeros(2, 3))
    assert torch.equal(found[0] > 1.7, torch.nn.functional.max_pool3d(x[0], 3, 1, 1) > 0)  # corners: 5 * 0.75^3
    assert abs(float(found[0].sum()) - 320) < 1e-2 and 0 < int((found[1] > 0).sum()) <= 8
    y = torch.rand(1, 1, 12, 10, 14)
    assert torch.allclose(turned(y, **NOTHING), y, atol=1e-5)


def test_mirroring_is_along_the_axes_that_are_named():
    x, targets = torch.rand(64, 1, 3, 4, 5), torch.zeros(64, dtype=torch.int64)
    for axis in range(3):
        mirror = tuple(float(each == axis) for each in range(3))
        assert torch.equal(VolumeAugment(mirror=mirror).batch(x, targets, 2)[0], x.flip(axis + 2))
    half = VolumeAugment(mirror=(0.0, 0.0, 0.5)).batch(x, targets, 2)[0]
    same = (half == x).flatten(1).all(1)
    assert 16 < int(same.sum()) < 48 and torch.equal(half[~same], x[~same].flip(4))


def test_mixing_gives_the_share_of_each_class():
    targets = VolumeAugment(mixup=1.0).batch(torch.rand(4, 1, 2, 2, 2), torch.tensor([0, 1, 0, 1]), 2)[1]
    assert targets.shape == (4, 2) and torch.allclose(targets.sum(1), torch.ones(4))
