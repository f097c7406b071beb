"""Surfaces of volumes: a ball of known area, the authors' own program, and what is ignored."""

import numpy as np
import pytest

from resnets.data.targets import IGNORE
from resnets.tasks.segment import surfaces
from resnets.tasks.segment.boundaries import surface_dice
from resnets.tasks.segment.surfaces import surface, surface_hits

metrics = pytest.importorskip("surface_distance.metrics")


def ball(radius, spacing, shape=(24, 30, 36), beside=(0, 0, 0)):
    """uint8 of 0 and 1, the radius and what it is moved by in mm."""
    grid = np.indices(shape).T * spacing - (np.array(shape) - 1) * spacing / 2 - np.array(beside)
    return ((grid**2).sum(-1) <= radius**2).T.astype(np.uint8)


def noisy(seed):
    volumes = np.zeros((2, 14, 16, 15), np.uint8)
    random = np.random.default_rng(seed)
    volumes[0, 3:9, 4:12, 0:8] = random.random((6, 8, 8)) < 0.9  # at the edge of the volume
    volumes[1, 4:10, 3:11, 1:9] = random.random((6, 8, 8)) < 0.9
    return volumes


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.5, 1.0, 0.7)])
def test_the_area_of_a_ball(spacing):
    mask = ball(8, np.array(spacing), (40, 40, 40)) > 0
    found = surface(mask, np.zeros_like(mask), spacing)
    assert 1 < found.areas.sum() / (4 * np.pi * 8**2) < 1.13  # steps make it rougher than a ball


@pytest.mark.parametrize("tolerance", [0.0, 1.0, 1.2, 3.0])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 1.0, 0.7)])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_surface_dice_and_hausdorff_are_the_authors(spacing, tolerance):
    ours, theirs = noisy(0)
    hits, far = surface_hits(ours, theirs, 2, tolerance, spacing, 0)
    known = metrics.compute_surface_distances(theirs > 0, ours > 0, spacing)
    assert surface_dice(hits)[1] == pytest.approx(metrics.compute_surface_dice_at_tolerance(known, tolerance))
    near = metrics.compute_surface_overlap_at_tolerance(known, tolerance)
    assert (hits[1, 3] / hits[1, 2], hits[1, 1] / hits[1, 0]) == pytest.approx(near)
    assert far[1] == pytest.approx(metrics.compute_robust_hausdorff(known, 95))
    assert not hits[0].any() and np.isnan(far[0]), "the background has no surface of its own"


def test_balls_beside_each_other():
    spacing = np.array([1.0, 1.0, 1.0])
    one, other = ball(8, spacing, (30, 30, 40)), ball(8, spacing, (30, 30, 40), (0, 0, 3))
    (_, row), (_, far) = surface_hits(one, other, 2, 3, spacing, 0)
    assert row[1] == pytest.approx(row[0]) and row[3] == pytest.approx(row[2]), "moved by 3 mm, no place is farther"
    assert 2 < far <= 3
    missed = surface_hits(np.zeros_like(one), one, 2, 3, spacing, 0)
    assert surface_dice(missed[0])[1] == 0 and np.isnan(missed[1][1])
    nothing = surface_hits(np.zeros_like(one), np.zeros_like(one), 2, 3, spacing, 0)
    assert np.isnan(surface_dice(nothing[0])[1])


def test_surfaces_beside_what_is_ignored_do_not_count():
    truth = np.zeros((10, 10, 10), np.uint8)
    truth[2:8, 2:8, 2:5] = 1
    found = truth.copy()
    found[2:8, 2:8, 5:8] = 1  # goes on where nothing is known
    truth[:, :, 5:] = IGNORE
    hits, _ = surface_hits(found, truth, 2, 0, (1, 1, 1), 0)
    assert surface_dice(hits)[1] == 1
    truth[:, :, 5:] = 0
    assert surface_dice(surface_hits(found, truth, 2, 0, (1, 1, 1), 0)[0])[1] < 0.8


def test_a_mask_of_noise_has_no_surface(monkeypatch):
    monkeypatch.setattr(surfaces, "MOST", 100)
    hits, far = surface_hits(*noisy(1), 2, 1, (1, 1, 1), 0)
    assert np.isnan(surface_dice(hits)[1]) and np.isnan(far[1])
