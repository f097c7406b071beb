"""Calibration by hand, and its figure."""

import math

import pytest

from resnets.draw.reliability import draw_reliability
from resnets.measures.calibration import calibration


def test_calibration_by_hand():
    bins = calibration([0.05, 0.95, 0.95, 0.99, 1.0], [0, 1, 0, 1, 1], num_bins=10)
    assert bins.counts.tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0, 4]
    assert bins.accuracy[-1] == 0.75 and math.isnan(bins.accuracy[5])
    assert bins.ece == pytest.approx((1 * 0.05 + 4 * (0.9725 - 0.75)) / 5)
    upper, _ = draw_reliability([0.9, 0.9], [True, False]).axes
    assert upper.get_title("left") == "calibration error (ECE) 40.00 %"
