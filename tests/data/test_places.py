"""Where a class is, in the picture and in the input."""

from dataclasses import replace

import numpy as np

from resnets.data.places import as_input, place_at, places_of
from resnets.data.preprocess import Preprocess
from resnets.data.targets import Boxes


def test_boxes_masks_and_classes():
    xyxy = np.array([[1, 2, 4, 5], [0, 0, 2, 2], [3, 3, 9, 9]], np.float32)
    boxes = Boxes(xyxy, np.array([1, 0, 1]), np.array([False, False, True]))
    (place,) = places_of(boxes, 1, (6, 8))
    expected = np.zeros((6, 8), bool)
    expected[2:5, 1:4] = True
    assert np.array_equal(place, expected)
    mask = np.arange(48, dtype=np.uint8).reshape(6, 8) % 3
    assert np.array_equal(places_of(mask, 2, (6, 8)), [mask == 2])
    assert places_of(np.int64(3), 3, (6, 8)) is None and places_of(np.zeros(5), 0, (6, 8)) is None
    outlines = np.zeros((3, 6, 8), bool)
    outlines[0, 3, 2] = True
    assert np.array_equal(places_of(replace(boxes, masks=outlines), 1, (6, 8)), outlines[:1])


def test_the_object_in_a_box_is_the_one_that_fills_it():
    places = np.zeros((2, 6, 8), bool)
    places[0, 1:4, 1:4] = places[1, 1:4, 3:7] = True
    assert np.array_equal(place_at(places, (slice(1, 4), slice(2, 6))), places[1])
    assert np.array_equal(place_at(places, (slice(1, 4), slice(1, 3))), places[0])
    for box in (None, (slice(4, 6), slice(0, 8))):
        assert np.array_equal(place_at(places, box), places.any(0))
    assert not place_at(places[:0], None).any()


def test_a_place_goes_the_way_of_its_picture():
    """The middle of a wide picture; then its left half is out of sight."""
    place = np.zeros((20, 40), bool)
    place[:, 20:] = True
    crop = as_input(place, Preprocess(size=(10, 10), crop_pct=1.0))
    assert crop.shape == (10, 10) and not crop[:, :4].any() and crop[:, 6:].all()
    assert np.array_equal(as_input(place, Preprocess(size=(20, 40), resize="keep")), place)
    assert as_input(np.ones((2, 3, 4), bool), Preprocess()).shape == (2, 3, 4)
