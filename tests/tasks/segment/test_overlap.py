"""Segmentation measured: cases worked by hand."""

import json
import math

import numpy as np
import pytest

from resnets.data.targets import IGNORE
from resnets.errors import InputError
from resnets.tasks.segment.boundaries import edge_hits, edges
from resnets.tasks.segment.overlap import Counted, confusion

LABELS = ["ground", "cell", "dirt"]
TRUTH = np.array([[0, 0, 1, 1], [0, 0, 1, IGNORE]], np.uint8)
FOUND = np.array([[0, 1, 1, 1], [0, 0, 0, 2]], np.uint8)  # the 2 lies where nothing is known


def rows(result):
    return {row["label"]: row for row in result["per_class"]}


def test_a_picture_worked_by_hand():
    counted = Counted(LABELS)
    own = counted.add(FOUND, TRUTH).counts
    result = counted.result()
    assert result["confusion"] == [[3, 1, 0], [1, 2, 0], [0, 0, 0]]
    ground, cell, dirt = (rows(result)[name] for name in LABELS)
    assert (ground["iou"], ground["dice"], ground["recall"], ground["pixels"]) == (3 / 5, 6 / 8, 3 / 4, 4)
    assert (cell["iou"], cell["dice"], cell["precision"]) == (2 / 4, 4 / 6, 2 / 3)
    assert (dirt["iou"], dirt["dice"], dirt["precision"], dirt["recall"]) == (None,) * 4  # nowhere: out of every mean
    assert result["miou"] == (3 / 5 + 2 / 4) / 2
    assert own.tolist() == result["confusion"]
    assert result["pixel_accuracy"] == 5 / 7
    assert result["fwiou"] == pytest.approx((4 * 3 / 5 + 3 * 2 / 4) / 7)
    assert result["dice"] == result["dice_per_image"] == (6 / 8 + 4 / 6) / 2
    assert json.loads(json.dumps(result)) == result
    assert "boundary_f" not in result


def test_a_class_that_is_only_predicted_counts_as_missed():
    counted = Counted(LABELS)
    counted.add(np.array([[0, 2]]), np.array([[0, 0]]))
    assert rows(counted.result())["dirt"]["iou"] == 0
    assert counted.result()["miou"] == (1 / 2 + 0) / 2


def test_background_is_left_out_of_dice_and_not_of_miou():
    counted = Counted(LABELS, background=0)
    counted.add(FOUND, TRUTH)
    assert counted.result()["dice"] == 4 / 6
    assert counted.result()["miou"] == (3 / 5 + 2 / 4) / 2


def test_baselines_are_the_better_of_two_guesses_without_a_look():
    """4 of 7 pixels are ground. Drawn by frequency, a class of share p has IoU p / (2 - p) and Dice p; ground everywhere is
    right on 4 of 7."""
    counted = Counted(LABELS)
    counted.add(FOUND, TRUTH)
    result = counted.result()
    assert result["baseline_miou"] == pytest.approx((4 / 10 + 3 / 11) / 2)
    assert result["baseline_dice"] == pytest.approx((4 / 7 + 3 / 7) / 2)
    assert result["baseline_pixel_accuracy"] == pytest.approx(4 / 7)


def test_pixels_are_pooled_and_dice_per_image_is_not():
    counted = Counted(["ground", "cell"], background=0)
    counted.add(np.array([[1, 1, 1, 1]]), np.array([[1, 1, 1, 1]]))
    counted.add(np.array([[0, 0, 0, 0]]), np.array([[0, 0, 0, 1]]))
    counted.add(np.array([[0, 0, 0, 0]]), np.array([[0, 0, 0, 0]]))  # without the class: not in its mean
    assert counted.result()["dice"] == pytest.approx(2 * 4 / (4 + 5))
    assert counted.result()["dice_per_image"] == (1 + 0) / 2


def test_nothing_to_measure_is_none():
    empty = Counted(LABELS, boundary_share=0.01)
    assert (empty.result()["miou"], empty.result()["pixel_accuracy"], empty.result()["fwiou"]) == (None, None, None)
    assert not empty.add(np.zeros((2, 2), int), np.full((2, 2), IGNORE)).counts.any()
    assert empty.result()["num_images"] == 1 and empty.result()["boundary_f"] is None


def test_large_pictures_are_counted_in_pieces(monkeypatch):
    found, truth = np.random.default_rng(1).integers(0, 3, (2, 40, 50), dtype=np.uint8)
    whole = confusion(found, truth, 3)
    monkeypatch.setattr("resnets.tasks.segment.overlap.CHUNK", 7)
    np.testing.assert_array_equal(confusion(found, truth, 3), whole)


@pytest.mark.parametrize(
    ("found", "truth", "words"),
    [
        ([[0, 3]], [[0, 0]], "prediction holds class 3"),
        ([[0, 0]], [[0, -1]], "truth holds class -1"),
        ([[0]], [[0, 1]], "shape"),
    ],
)
def test_what_cannot_be_is_said(found, truth, words):
    with pytest.raises(InputError, match=words):
        Counted(LABELS).add(np.array(found), np.array(truth))


# --- boundaries ---


def square(top, left, side=4, shape=(12, 14)):
    classes = np.zeros(shape, np.uint8)
    classes[top : top + side, left : left + side] = 1
    return classes


def test_edges_are_between_classes_and_not_at_the_border_nor_at_what_is_ignored():
    classes = np.array([[1, 1, 0, 0, 0, 1]])
    known = np.array([[True, True, True, True, False, True]])
    assert edges(classes, known).tolist() == [[False, True, True, False, False, False]]


def test_boundary_f_of_a_shift_of_one_pixel():
    """The 12 edge pixels of a square of 4, moved by one to the right: 3 + 3 of the rows stay, and of the sides none."""
    hits = edge_hits(square(3, 4), square(3, 3), 2, 0, np.ones(2))
    assert hits[1].tolist() == [12, 6 + 0, 12, 6]
    assert edge_hits(square(3, 4), square(3, 3), 2, 1, np.ones(2))[1].tolist() == [12, 12, 12, 12]  # at most a pixel apart
    counted = Counted(LABELS[:2], background=0, boundary_distance=0)
    counted.add(square(3, 4), square(3, 3))
    assert counted.result()["boundary_f"] == counted.result()["surface_dice"] == 0.5


def test_precision_and_recall_of_boundaries_are_averaged_harmonically():
    """A square that is found, and another that is not there: precision 1/2, recall 1."""
    counted = Counted(LABELS[:2], background=0, boundary_distance=1)
    counted.add(square(1, 1) + square(1, 9), square(1, 1))
    assert counted.result()["boundary_f"] == pytest.approx(2 * 0.5 * 1 / 1.5)
    assert counted.result()["surface_dice"] == pytest.approx((12 + 12) / 36)


def test_an_object_that_is_missed_has_boundary_0_and_the_share_is_of_the_diagonal():
    counted = Counted(LABELS[:2], background=0, boundary_share=2 / math.hypot(12, 14))
    counted.add(square(3, 5), square(3, 3))  # two pixels apart: just within
    assert counted.result()["boundary_f"] == 1
    counted.add(square(0, 0, 0), square(3, 3))
    assert counted.result()["boundary_f"] == 0.5
    nearly = Counted(LABELS[:2], background=0, boundary_share=1.9 / math.hypot(12, 14))
    nearly.add(square(3, 5), square(3, 3))
    assert nearly.result()["boundary_f"] < 1


def test_tolerances_are_in_units_of_the_spacing():
    truth = np.zeros((8, 8, 8), np.uint8)
    truth[2:5, 2:5, 2:5] = 1
    moved = np.roll(truth, 1, axis=0)  # by one slice of 5 mm
    scores = []
    for distance in (4.9, 5.0):
        counted = Counted(LABELS[:2], background=0, boundary_distance=distance)
        counted.add(moved, truth, spacing=(5.0, 1.0, 1.0))
        scores.append(counted.result()["surface_dice"])
    assert scores[0] < 1 and scores[1] == 1


def test_of_a_share_and_a_distance_the_one_is_for_pictures_and_the_other_for_volumes():
    counted = Counted(LABELS[:2], background=0, boundary_share=0, boundary_distance=1)
    assert counted.add(square(3, 4), square(3, 3)).surface_dice[1] == 0.5
    ours, theirs = (np.repeat(np.pad(square(3, left), 1)[None], 6, 0) for left in (4, 3))
    assert counted.add(ours, theirs).surface_dice[1] == 1
    assert counted.result()["hausdorff95_mm"] == 1
