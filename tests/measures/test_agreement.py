"""How far two ways of measuring agree: worked by hand."""

import numpy as np
import pytest

from resnets.measures.agreement import agreement

TRUE = np.array([10.0, 20.0, 30.0, 40.0])
APART = np.array([1.0, -1.0, 3.0, 1.0])


def test_bias_and_limits_by_hand():
    found = agreement(TRUE + APART, TRUE)
    half = 1.96 * np.sqrt((0 + 4 + 4 + 0) / 3)
    assert (found.bias, found.limits) == (1.0, pytest.approx([1 - half, 1 + half]))
    low, high = found.bias_interval
    assert -1 <= low < 1 < high <= 3


def test_patients_are_drawn_whole():
    """Two visits of each patient, which differ alike: as sure as of half as many."""
    apart = np.repeat(np.random.default_rng(0).normal(size=20), 2)
    alone, together = (agreement(apart, np.zeros(40), groups) for groups in (None, np.repeat(np.arange(20), 2)))
    width = [np.ptp(each.bias_interval) for each in (alone, together)]
    assert width[1] == pytest.approx(np.sqrt(2) * width[0], rel=0.15) and alone.limits == together.limits


def test_what_few_pairs_cannot_say():
    one = agreement(np.array([2.0]), np.array([1.0]))
    assert (one.bias, one.bias_interval, one.limits) == (1.0, None, None)
    same = agreement(np.array([2.0, 3.0]), np.array([1.0, 1.0]), np.array(["a", "a"]))
    assert same.bias_interval is None and same.limits is not None
