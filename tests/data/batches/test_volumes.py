"""Patches of volumes: what they show, where they lie, that they come again, and what is read for them."""

import numpy as np
import pytest
import torch

from resnets.data.batches import volumes
from resnets.data.batches.volumes import Opened, Patches
from resnets.data.pictures.images import BadPicture
from resnets.data.pictures.volume import Volume
from resnets.data.pictures.volumes import open_volume
from resnets.data.preprocess import Preprocess
from resnets.data.sources import open_source
from resnets.data.workers import BadImages
from tests.data import made_volumes
from tests.data.made import volume_loader
from tests.data.made_volumes import BALL, BOX, phantom, save

SIZE = (8, 6, 10)
PREPROCESS = Preprocess(size=SIZE, resize="keep", crop_pct=1.0, mean=(0.0,), std=(1.0,))


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    return open_source(made_volumes.folder(tmp_path_factory.mktemp("phantoms")), None).splits["train"]


def pair(split, index=0):
    volume = split.images[index]
    return volume, split.targets.open(index, volume)


def loader(split, *, bad=None, **settings):
    settings = {"batch_size": 2, "augment": Patches(size=SIZE, jitter=0.2), "seed": 5} | settings
    return volume_loader(split, preprocess=PREPROCESS, bad=bad or BadImages(10), **settings)


# --- statistics ---------------------------------------------------------------------------------------------------------


def test_each_volume_is_normalised_by_itself_whatever_the_part(split, monkeypatch):
    volume, _ = pair(split)
    whole = volume[:].astype(np.float64)
    monkeypatch.setattr("resnets.data.pictures.volume.SLAB", 500)  # in several slabs
    mean, deviation = volume.statistics
    assert mean == pytest.approx(whole.mean(), rel=1e-5) and deviation == pytest.approx(whole.std(), rel=1e-5)
    found = volume.normalised()
    assert found.shape == (1, *volume.shape) and found.dtype == np.float32
    assert np.allclose(found[0], (whole - whole.mean()) / whole.std(), atol=1e-4)
    assert (volume.normalised(np.s_[2:5, :, 3:9]) == found[:, 2:5, :, 3:9]).all()


def test_what_is_not_finite_or_has_no_contrast_is_zero(tmp_path):
    values = np.full((4, 4, 4, 2), 0.1, np.float32)  # two channels; the first is flat
    values[..., 1] = np.arange(64).reshape(4, 4, 4)
    values[0, 0, 0, 1], values[1, 1, 1, 1] = np.nan, np.inf
    volume = open_volume(save(tmp_path / "a.nii", values))
    known = np.delete(np.arange(64.0), [0, 21])
    assert volume.statistics[0][1] == pytest.approx(known.mean()) and volume.statistics[1][1] == pytest.approx(known.std())
    found = volume.normalised()
    assert found.shape == (2, 4, 4, 4) and np.abs(found[0]).max() < 1e-6
    assert found[1, 0, 0, 0] == found[1, 1, 1, 1] == 0 and np.isfinite(found).all()
    assert found[1, 3, 3, 3] == pytest.approx((63 - known.mean()) / known.std())


# --- where patches lie --------------------------------------------------------------------------------------------------


def test_a_patch_shows_the_volume_and_its_labels_at_one_place(split):
    volume, labels = pair(split)
    pixels, target = Patches(size=SIZE, hflip=0)(volume, labels, seed=0, epoch=0, index=0)
    whole, classes = volume.normalised()[0], labels[...]
    corners = [
        corner
        for corner in np.ndindex(*(length - side + 1 for length, side in zip(whole.shape, SIZE, strict=True)))
        if np.array_equal(whole[(part := tuple(slice(c, c + s) for c, s in zip(corner, SIZE, strict=True)))], pixels[0])
        and np.array_equal(classes[part], target)
    ]
    assert len(corners) == 1
    mirrored, its_target = Patches(size=SIZE, hflip=1)(volume, labels, seed=0, epoch=0, index=0)
    assert torch.equal(mirrored, pixels.flip(3)) and (its_target == target[..., ::-1]).all()


def test_patches_are_drawn_around_each_class_of_the_foreground(split):
    volume, labels = pair(split)
    assert [len(positions) for positions in labels.positions] == [(labels[...] == index).sum() for index in (BALL, BOX)]
    small = {"size": (3, 3, 3), "hflip": 0.0}
    middles = [Patches(**small, foreground=1.0)(volume, labels, seed=0, epoch=0, index=n)[1][1, 1, 1] for n in range(80)]
    assert set(middles) == {BALL, BOX} and 20 < middles.count(BALL) < 60  # the box has far more voxels
    shares = [(Patches(**small, foreground=share)(volume, labels, seed=0, epoch=0, index=n)[1] > 0).any()
              for share in (0.0, 1 / 3) for n in range(120)]  # fmt: skip
    anywhere, third = np.mean(shares[:120]), np.mean(shares[120:])
    assert third == pytest.approx(1 / 3 + 2 / 3 * anywhere, abs=0.12)


def test_around_a_volume_that_is_smaller_there_is_nothing_to_learn(split):
    volume, labels = pair(split)
    size = tuple(length + 5 for length in volume.shape)
    corners = set()
    for index in range(6):
        pixels, target = Patches(size=size, hflip=0)(volume, labels, seed=0, epoch=0, index=index)
        known = target != 255
        assert (
            pixels.shape == (1, *size)
            and known.sum() == np.prod(volume.shape)
            and not pixels[0][torch.from_numpy(~known)].any()
        )
        assert (target[known].reshape(volume.shape) == labels[...]).all()
        corners.add(tuple(np.argwhere(known)[0]))
    assert len(corners) > 1


def test_jitter_changes_contrast_and_brightness_only(split):
    volume, labels = pair(split)
    plain, _ = Patches(size=SIZE, hflip=0)(volume, labels, seed=3, epoch=1, index=2)
    changed, _ = Patches(size=SIZE, hflip=0, jitter=0.3)(volume, labels, seed=3, epoch=1, index=2)
    slope, offset = np.polyfit(plain.ravel(), changed.ravel(), 1)
    assert 0.7 <= slope <= 1.3 and abs(offset) <= 0.3 and (slope, offset) != pytest.approx((1, 0), abs=1e-3)
    assert torch.allclose(changed, plain * slope + offset, atol=1e-4)


# --- the loader ---------------------------------------------------------------------------------------------------------


def same(one, two):
    return all(torch.equal(a.images, b.images) and torch.equal(a.targets, b.targets) for a, b in zip(one, two, strict=True))


def test_batches_are_of_seed_epoch_and_place_alone(split):
    first = list(loader(split, repeats=2).epoch(1))
    assert [tuple(batch.images.shape) for batch in first] == [(2, 1, *SIZE)] * 4
    assert first[0].targets.shape == (2, *SIZE) and first[0].targets.dtype == torch.int64
    again = loader(split, repeats=2)
    list(again.epoch(0))  # what was read before does not count
    assert same(first, list(again.epoch(1))) and same(first[2:], list(again.epoch(1, start=2)))
    assert same(first, list(loader(split, repeats=2, workers=1).epoch(1)))
    assert not same(first, list(again.epoch(2)))


def test_evaluation_has_whole_volumes_and_their_truth(split):
    batches = list(loader(split, augment=None, batch_size=1).epoch(0))
    assert len(batches) == len(split)
    for index, batch in enumerate(batches):
        volume, labels = pair(split, index)
        (truth,) = batch.targets
        assert np.array_equal(batch.images[0], volume.normalised())
        assert (truth.index, truth.size, truth.spacing) == (index, volume.shape, (2.0, 1.5, 1.0))
        assert (truth.target == labels[...]).all()


def test_a_volume_that_cannot_be_read_is_named_and_left_out(tmp_path):
    made_volumes.folder(tmp_path, train=3, val=0)
    path = tmp_path / "train/images/1.nii.gz"
    path.write_bytes(path.read_bytes()[:-900])
    _, classes = phantom(2)
    save(tmp_path / "train/labels/2.nii.gz", classes + np.uint8(5) * (classes == BALL))
    bad = BadImages(10)
    for augment in (Patches(size=SIZE), None):
        bad.reasons.clear()
        found = loader(open_source(tmp_path, None).splits["train"], bad=bad, batch_size=3, augment=augment)
        for epoch in range(2):
            assert [batch.indices.tolist() for batch in found.epoch(epoch)] == [[0]]
        (cut, why), (strange, what) = sorted(bad.reasons.items())
        assert cut.endswith("1.nii.gz") and "truncated" in why and strange.endswith("2.nii.gz") and "no class" in what
    nothing = list(loader(open_source(tmp_path, None).splits["train"].subset(np.array([1])), bad=bad).epoch(0))
    assert [tuple(batch.images.shape) for batch in nothing] == [(0, 1, *SIZE)]


# --- what is read, and kept ---------------------------------------------------------------------------------------------


def test_an_uncompressed_file_is_read_in_parts(tmp_path, monkeypatch):
    split = open_source(made_volumes.folder(tmp_path, train=2, val=0, suffix=".nii"), None).splits["train"]
    opened, seen, read = Opened(split), [], Volume.__getitem__
    _ = opened[0][0].statistics  # of the whole, once
    monkeypatch.setattr(Volume, "__getitem__", lambda volume, part: seen.append(part) or read(volume, part))
    for index in range(5):
        Patches(size=SIZE)(*opened[0], seed=0, epoch=0, index=index)
        opened.leave(0)
    assert [tuple(axis.stop - axis.start for axis in part) for part in seen] == [SIZE] * 5
    assert "_stored" not in vars(opened[0][0])  # no map stays open


def test_decoded_volumes_are_kept_as_far_as_there_is_room(split, monkeypatch):
    volume, labels = pair(split)
    one = volume.num_bytes + labels.volume.num_bytes
    assert one == np.prod(volume.shape) * 3  # int16 and uint8
    monkeypatch.setattr(volumes, "KEPT_BYTES", int(2.5 * one))
    opened = Opened(split)
    for index in (3, 0, 1, 2):
        Patches(size=SIZE)(*opened[index], seed=0, epoch=0, index=0)
        opened.leave(index)
    held = ["_stored" in vars(opened[index][0]) for index in range(4)]
    assert held == [True, False, False, True] and opened.kept == {0, 3}
    assert all("statistics" in vars(opened[index][0]) and "positions" in vars(opened[index][1]) for index in range(4))


def test_what_is_broken_is_read_once(tmp_path, monkeypatch):
    made_volumes.folder(tmp_path, train=2, val=0)
    path = tmp_path / "train/images/1.nii.gz"
    path.write_bytes(path.read_bytes()[:-900])
    split, read = open_source(tmp_path, None).splits["train"], []
    opened, images = Opened(split), type(split.images).__getitem__
    monkeypatch.setattr(type(split.images), "__getitem__", lambda volumes, index: read.append(index) or images(volumes, index))
    for _ in range(3):
        with pytest.raises(BadPicture, match="truncated"):
            opened[1]
    assert read == [1]


def test_whole_volumes_are_not_read_ahead(split):
    for augment, workers in ((None, 0), (Patches(size=SIZE), 1)):
        found = loader(split, augment=augment, batch_size=1 if augment is None else 2, workers=1)
        next(found.epoch(0))
        assert found._stream.batches.num_workers == workers
