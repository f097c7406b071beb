"""Volumes case by case: millilitres, means over cases with intervals, rows."""

import numpy as np
import pytest
import torch

from resnets.data.targets import Truth
from resnets.data.types import Batch
from resnets.tasks.segment import rows
from resnets.tasks.segment.meter import SegmentMeter

LABELS = ["background", "organ", "cyst"]
SPACING = (5.0, 2.0, 1.0)  # a voxel is 0.01 ml


def meter(sizes, tolerance=1.0):
    """Of cases with an organ of 4 slices of 10 x 10 voxels; found is one of so many slices, from the same place."""
    made = SegmentMeter(LABELS, quick=False, tolerance=tolerance)
    for number, size in enumerate(sizes):
        truth, found = np.zeros((2, 12, 14, 14), np.uint8)
        truth[2:6, 2:12, 2:12] = found[2 : 2 + size, 2:12, 2:12] = 1
        made.add([found], Batch(torch.empty(1, 0), [Truth(number, truth.shape, truth, SPACING)], torch.tensor([number])))
    return made


def by_class(result):
    return {row["label"]: row for row in result["per_class"]}


def test_millilitres_by_hand():
    result = meter([4, 5, 3, 6]).result(4)
    organ = by_class(result)["organ"]
    assert (organ["true_ml"], organ["predicted_ml"], organ["num_cases"]) == (4.0, 4.5, 4)
    assert organ["bias_ml"] == 0.5 and organ["limits_ml"] == pytest.approx([0.5 - 1.96 * 1.2909944, 0.5 + 1.96 * 1.2909944])
    for label in ("background", "cyst"):  # is no organ; is nowhere
        assert by_class(result)[label]["bias_ml"] is by_class(result)[label]["limits_ml"] is None
    dice = [1, 8 / 9, 6 / 7, 8 / 10]
    assert organ["dice_per_image"] == pytest.approx(np.mean(dice)) == result["dice_per_image"]
    low, high = organ["dice_per_image_interval"]
    assert min(dice) <= low < np.mean(dice) < high <= 1 and result["dice_per_image_interval"] == [low, high]
    assert 0 < organ["hausdorff95_mm"] <= 10 and result["surface_tolerance_mm"] == 1


def test_a_tolerance_of_a_slice_forgives_a_slice():
    scores = [by_class(meter([5, 3], tolerance).result(2))["organ"]["surface_dice"] for tolerance in (1, 5)]
    assert scores[0] < 0.9 and scores[1] == 1


def test_intervals_are_by_patients():
    found = meter([4, 4, 8, 8])
    one, two = found.result(4), found.result(4, np.array(["a", "b", "c", "d"]))
    assert one["dice_per_image_interval"] == pytest.approx(two["dice_per_image_interval"], abs=0.05)
    patients = found.result(4, np.array(["a", "a", "b", "b"]))
    assert patients["dice_per_image_interval"] == pytest.approx([2 / 3, 1])  # one patient, or the other
    assert "dice_per_image_interval" not in found.result(4, np.full(4, "a"))


def test_a_row_has_what_was_measured():
    found = meter([4, 6])
    (_, first), (position, second) = found.records()
    assert position == 1 and (second["ml_true_organ"], second["ml_predicted_organ"]) == (4.0, 6.0)
    assert (first["surface_dice_organ"], first["hausdorff95_mm_organ"]) == (1.0, 0.0)
    assert second["surface_dice_organ"] < 1 and second["hausdorff95_mm_organ"] == 10.0
    assert (first["surface_dice_cyst"], first["ml_true_cyst"]) == (None, 0.0)
    assert not any(name.endswith("ml_background") for name in first)
    assert rows.recorded({name: str(value) for name, value in first.items()}, {}).labels == ["background", "organ"]


def test_what_is_told():
    told = rows.told(meter([4, 5, 3, 6]).result(4) | {"split": "val", "bad_images": {}}, True)
    assert "by case: Dice 88.65% (95 % interval " in told and "surface Dice at 1 mm" in told
    assert "organ: predicted less true +0.5 ml (95 % interval " in told
    assert "limits of agreement -2.03 to +3.03, of 4 ml on average in 4 cases" in told
    pictures = SegmentMeter(LABELS, quick=False)
    flat = np.zeros((4, 4), np.uint8)
    pictures.add([flat], Batch(torch.empty(1, 0), [Truth(0, flat.shape, flat, None)], torch.tensor([0])))
    assert "by case" not in rows.told(pictures.result(1) | {"split": "val", "bad_images": {}}, True)
