"""Patches of volumes that are turned, scaled and changed: where each voxel comes from, and what stays as it was."""

from random import Random

import numpy as np
import pytest
import torch

from resnets.data.batches import volume_augment
from resnets.data.batches.volume_augment import CHANGES, Warp, changed, warp
from resnets.data.targets import IGNORE

SIZE = (5, 6, 7)


def grid(shape=SIZE, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(2, *shape)).astype(np.float32), random.integers(0, 3, shape, dtype=np.uint8)


def apply(found, pixels, labels):
    box = found.box(labels.shape)
    return found(np.ascontiguousarray(pixels[(slice(None), *box)]), labels[box], box)


def middle(shape):
    return (np.array(shape) - 1) / 2


def test_the_identity_changes_nothing():
    pixels, labels = grid()
    patch, target = apply(Warp(np.eye(3), middle(SIZE), SIZE), pixels, labels)
    assert np.allclose(patch, pixels, atol=1e-5) and (target == labels).all()


@pytest.mark.parametrize(
    ("turn", "axes"), [([[1, 0, 0], [0, 0, -1], [0, 1, 0]], (1, 2)), ([[0, -1, 0], [1, 0, 0], [0, 0, 1]], (0, 1))]
)
def test_a_right_angle_is_numpys(turn, axes):
    pixels, labels = grid((5, 5, 5))
    patch, target = apply(Warp(np.array(turn), middle((5, 5, 5)), (5, 5, 5)), pixels, labels)
    assert (target == np.rot90(labels, -1, axes)).all() or (target == np.rot90(labels, 1, axes)).all()
    back = 1 if (target == np.rot90(labels, 1, axes)).all() else -1
    assert np.allclose(patch, np.rot90(pixels, back, [axis + 1 for axis in axes]), atol=1e-5)


def test_outside_is_zero_and_ignored_and_only_what_is_needed_is_read():
    pixels, labels = grid()
    found = Warp(np.eye(3), np.array([0.0, 2.5, 3.0]), SIZE)
    assert found.box(SIZE) == (slice(0, 3), slice(0, 6), slice(0, 7))
    patch, target = apply(found, pixels, labels)
    assert (target[:2] == IGNORE).all() and not patch[:, :2].any()
    assert (target[2:] == labels[:3]).all() and np.allclose(patch[:, 2:], pixels[:, :3], atol=1e-5)
    assert found.box((1, 1, 1)) == (slice(0, 1),) * 3


def test_angles_are_of_millimetres_and_sizes_within_the_limit(monkeypatch):
    monkeypatch.setattr(volume_augment, "WARPED", 1.0)
    spacing = np.array([3.0, 1.0, 0.5])
    for seed in range(20):
        found = warp(Random(seed), (2, 3, 4), SIZE, spacing, rotation=30, zoom=0.3)
        assert found.middle == pytest.approx([4, 5.5, 7])
        inside = found.matrix * spacing[:, None] / spacing  # in mm: a rotation times a factor
        factor = np.cbrt(np.linalg.det(inside))
        assert 0.7 - 1e-6 <= factor <= 1 / 0.7 + 1e-6 and abs(factor - 1) > 1e-4
        assert np.allclose(inside @ inside.T, factor**2 * np.eye(3), atol=1e-6)
    again = [warp(Random(3), (0, 0, 0), SIZE, spacing, rotation=30, zoom=0.3).matrix for _ in range(2)]
    assert (again[0] == again[1]).all()
    assert warp(Random(0), (0, 0, 0), SIZE, spacing, rotation=0, zoom=0) is None


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_each_change_keeps_the_shape_and_is_of_its_draws_alone(change):
    x = torch.from_numpy(grid((9, 8, 7))[0])
    one, two, other = (change(x.clone(), Random(seed)) for seed in (1, 1, 2))
    assert one.shape == x.shape and one.dtype == torch.float32 and torch.isfinite(one).all()
    assert torch.equal(one, two) and not torch.equal(one, other) and not torch.equal(one, x)
    flat = torch.full((1, 4, 4, 4), 2.0)
    assert torch.isfinite(change(flat, Random(1))).all()


def test_what_each_change_keeps():
    x = torch.from_numpy(grid((9, 8, 7))[0])
    for seed in range(5):
        y = volume_augment.gamma(x, Random(seed))
        assert torch.allclose(y.mean((1, 2, 3)), x.mean((1, 2, 3)), atol=1e-4)
        assert torch.allclose(y.std((1, 2, 3)), x.std((1, 2, 3)), rtol=1e-3)
        y = volume_augment.contrast(x, Random(seed))
        assert y.min() >= x.min() and y.max() <= x.max()
        y = volume_augment.blur(x, Random(seed))
        assert (y.std((1, 2, 3)) < x.std((1, 2, 3))).all()
        assert torch.allclose(volume_augment.blur(torch.ones(1, 4, 5, 6), Random(seed)), torch.ones(1, 4, 5, 6), atol=1e-6)


def test_how_often_is_a_share_of_the_probabilities():
    x = torch.from_numpy(grid((4, 4, 4))[0])
    assert all(torch.equal(changed(x, Random(seed), 0.0), x) for seed in range(20))
    often = np.mean([not torch.equal(changed(x, Random(seed)), x) for seed in range(300)])
    assert often == pytest.approx(1 - np.prod([1 - share for share in CHANGES.values()]), abs=0.08)
