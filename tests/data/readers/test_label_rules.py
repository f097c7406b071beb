"""Each rule for boxes, on boxes worked by hand, in a picture of 40 x 30."""

import pickle

import numpy as np
import pytest

from resnets.data.readers.label_rules import RULES, BadLabel, NowhereError, RawBoxes, clean_boxes, clip_boxes
from tests.data.made_dense import rules

NAMES = ("cat", "dog")
SIZE = (30, 40)


def clean(*corners, labels=None, ignore=None, **settings):
    labels = [0] * len(corners) if labels is None else labels
    ignore = [False] * len(corners) if ignore is None else ignore
    raw = RawBoxes(
        np.array(corners, float).reshape(-1, 4), np.array(labels, int), np.array(ignore, bool), **{"size": SIZE} | settings
    )
    return clean_boxes(raw, SIZE, NAMES)


NAN, INF = float("nan"), float("inf")
CASES = {
    "as it should be": ((1, 2, 9, 8), [[1, 2, 9, 8]], []),
    "all of the picture": ((0, 0, 40, 30), [[0, 0, 40, 30]], []),
    "no width": ((5, 2, 5, 8), [[5, 2, 6, 8]], ["empty"]),
    "no height": ((5, 8, 9, 8), [[5, 8, 9, 9]], ["empty"]),
    "corners exchanged": ((9, 8, 1, 2), [[1, 2, 9, 8]], ["inverted"]),
    "x exchanged": ((9, 2, 1, 8), [[1, 2, 9, 8]], ["inverted"]),
    "half a pixel": ((1, 2, 1.5, 8), [[1, 2, 2, 8]], ["tiny"]),
    "past the right edge": ((30, 2, 45, 8), [[30, 2, 40, 8]], ["past_edge"]),
    "past two edges": ((-2, -2, 8, 8), [[0, 0, 8, 8]], ["past_edge"]),
    "a quarter left": ((30, 0, 70, 8), [[30, 0, 40, 8]], ["past_edge"]),
    "less than a quarter left": ((31, 0, 71, 8), [[31, 0, 40, 8]], ["outside"]),
    "less than a pixel left": ((39.5, 0, 40.4, 20), [[39.5, 0, 40, 20]], ["tiny", "outside"]),
    "a sliver left": ((39.25, 0, 41, 20), [[39.25, 0, 40, 20]], ["outside"]),
    "elsewhere": ((50, 50, 60, 60), [], ["outside"]),
}


@pytest.mark.parametrize("case", CASES)
def test_one_box(case):
    corners, expected, applied = CASES[case]
    boxes, kept, faults = clean(corners)
    assert boxes.xyxy.tolist() == expected and boxes.xyxy.dtype == np.float32 and boxes.xyxy.shape[1:] == (4,)
    assert rules(faults) == applied
    # What cannot be an object is not background either: its place counts neither way.
    assert boxes.ignore.tolist() == [bool({"empty", "tiny", "outside"} & set(applied))] * len(expected)
    assert boxes.labels.dtype == np.int64 and boxes.ignore.dtype == bool and len(kept) == len(boxes.labels) == len(boxes.ignore)


VOC = {
    "first pixel alone, of no width as written": ((1, 1, 1, 1), [[0, 0, 1, 1]], ["empty"]),
    "two pixels": ((1, 1, 2, 2), [[0, 0, 2, 2]], []),
    "all of the picture": ((1, 1, 40, 30), [[0, 0, 40, 30]], []),
    "0, which is no pixel": ((0, 0, 4, 4), [[0, 0, 4, 4]], []),
    "exchanged": ((9, 8, 3, 2), [[2, 1, 9, 8]], ["inverted"]),
    "past the edge": ((31, 1, 41, 8), [[30, 0, 40, 8]], ["past_edge"]),
}


@pytest.mark.parametrize("case", VOC)
def test_vocs_counting(case):
    corners, expected, applied = VOC[case]
    boxes, _, faults = clean(corners, inclusive=True)
    assert (boxes.xyxy.tolist(), rules(faults)) == (expected, applied)


@pytest.mark.parametrize("corners", [(1, NAN, 9, 8), (1, 2, INF, 8)])
def test_an_object_that_may_be_anywhere_leaves_no_background(corners):
    with pytest.raises(NowhereError, match=r"object 2 \(dog\) has no place"):
        clean((1, 2, 9, 8), corners, labels=[0, 1])


def test_fractions_of_the_image():
    boxes, _, faults = clean((0.25, 0.1, 0.5, 0.9), (0.9, 0, 1.1, 0.5), relative=True, size=None)
    assert boxes.xyxy.tolist() == [[10, 3, 20, 27], [36, 0, 40, 15]] and rules(faults) == ["past_edge"]


def test_duplicates_and_disputes_are_named_by_their_place_in_the_file():
    same = (1, 2, 9, 8)
    boxes, kept, faults = clean((5, 5, 5, 5), same, same, same, (1, 2, 9, 8.2), labels=[0, 0, 0, 1, 0])
    assert kept.tolist() == [0, 1, 3, 4] and boxes.labels.tolist() == [0, 0, 1, 0]
    assert [(fault.rule, fault.item) for fault in faults] == [
        ("empty", "object 1 (cat)"), ("disputed", "object 4 (dog)"), ("duplicate", "object 3 (cat)")
    ]  # fmt: skip
    assert faults[0].what == "x 5 to 5, y 5 to 5"


def test_crowds_stay_and_are_ignored():
    boxes, _, faults = clean((1, 2, 9, 8), (2, 2, 9, 8), ignore=[True, False])
    assert boxes.ignore.tolist() == [True, False] and rules(faults) == ["ignored"]


def test_no_objects_is_a_picture_to_learn_from():
    boxes, _, faults = clean()
    assert boxes.xyxy.shape == (0, 4) and rules(faults) == ["negative"]
    assert rules(clean((5, 5, 5, 5))[2]) == ["empty"]  # it was to have one


def test_another_size_makes_all_of_it_doubtful():
    with pytest.raises(ValueError, match=r"it is for 31 x 40 pixels, the image has 40 x 30$"):
        clean((1, 2, 9, 8), size=(40, 31))
    with pytest.raises(ValueError, match="as of an image that EXIF turned by 90 degrees; label the upright image"):
        clean((1, 2, 9, 8), size=(40, 30))
    assert rules(clean((1, 2, 9, 8), size=None)[2]) == ["no_size"]


def test_clip_keeps_small_boxes_that_it_does_not_cut():
    xyxy, kept = clip_boxes(np.array([[1, 1, 1.5, 1.5], [-1, 0, 1, 4]], np.float32), (4, 4))
    assert kept.tolist() == [True, True] and xyxy.tolist() == [[1, 1, 1.5, 1.5], [0, 0, 1, 4]] and xyxy.dtype == np.float32


def test_bad_labels_travel_between_processes():
    bad = pickle.loads(pickle.dumps(BadLabel("a.xml", "cut off", "bad_annotation")))
    assert (str(bad), bad.rule, bad.path, bad.reason) == ("a.xml: cut off", "bad_annotation", "a.xml", "cut off")
    assert bad.rule in RULES
