"""Colours that can be told apart, and what is painted with them."""

import itertools

import numpy as np
import pytest

from resnets.data.targets import IGNORE
from resnets.draw import paint

PICTURE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)

# Machado et al. 2009, severity 1, on linear RGB: no deficiency, deuteranopia, protanopia, tritanopia.
SEEN = {
    "all": np.eye(3),
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(colours, seen):
    """CIELAB of sRGB colours (N, 3) in [0, 1]."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]])
    xyz = np.clip(linear @ np.transpose(seen), 0, 1) @ to_xyz.T / [0.95047, 1, 1.08883]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


@pytest.mark.parametrize("kind", list(SEEN))
def test_twelve_colours_can_be_told_apart_by_everyone(kind):
    points = lab(paint.colours(12) / 255, SEEN[kind])
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(points, 2)) > 25


def test_more_classes_have_colours_of_their_own():
    assert len({tuple(colour) for colour in paint.colours(100).tolist()}) == 100
    assert paint.hex_colours(3) == list(paint.COLOURS[:3])
    assert paint.colours(0).shape == (0, 3)


def test_paint_leaves_the_background_and_stripes_what_is_ignored():
    classes = np.zeros((60, 80), np.uint8)
    classes[20:40, 20:40], classes[50:, 60:] = 1, IGNORE
    painted = paint.paint(PICTURE, classes, background=0)
    np.testing.assert_array_equal(painted[:15, :15], PICTURE[:15, :15])
    np.testing.assert_allclose(painted[25:35, 25:35].mean((0, 1)), 0.7 * paint.colours(2)[1] + 0.3 * 128, atol=8)
    assert painted[52:, 62:].mean() < 0.45 * PICTURE[52:, 62:].mean()
    grey = paint.paint(PICTURE[:, :, :1], np.full((60, 80), IGNORE), background=None)
    assert grey.shape == (60, 80, 3)


def test_of_masks_that_overlap_the_smallest_lie_on_top():
    masks = np.zeros((2, 60, 80), bool)
    masks[0, 10:20, 10:20], masks[1, 5:50, 5:50] = True, True
    numbers = paint.numbered(masks)
    assert (numbers == 1).sum() == 100 and (numbers == 2).sum() == 45 * 45 - 100


def test_objects_are_outlined_in_their_colours():
    numbers = np.zeros((60, 80), int)
    numbers[10:30, 10:30], numbers[10:30, 30:50] = 1, 13  # the same colour, side by side
    painted = paint.paint_instances(np.zeros((60, 80, 3), np.uint8), numbers)
    first = paint.colours(1)[0]
    np.testing.assert_array_equal(painted[20, 29], first)  # between the two
    np.testing.assert_allclose(painted[20, 20], 0.45 * first, atol=1)
    np.testing.assert_allclose(painted[20, 40], 0.45 * first, atol=1)
    assert painted[20, 9].tolist() == [255] * 3 and painted[20, 5].tolist() == [0] * 3
