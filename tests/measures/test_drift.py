"""The population stability index by hand, and what it says where nothing has changed."""

import math

import numpy as np
import pytest

from resnets.measures import drift


def test_by_hand():
    found = drift.compare([500, 500], [800, 200])
    assert found.psi == pytest.approx(0.3 * math.log(1.6) - 0.3 * math.log(0.4)) and found.warn


def test_the_same_shares_are_no_drift():
    assert drift.compare([300, 600, 100], [30, 60, 10]) == (pytest.approx(0), False)


def test_where_nothing_has_changed_few_warnings_come_whatever_the_sizes():
    rng, p = np.random.default_rng(0), np.full(20, 0.05)
    for before, now in ((100, 100), (200, 1000), (1000, 150)):
        pairs = [(rng.multinomial(before, p), rng.multinomial(now, p)) for _ in range(400)]
        assert sum(drift.compare(*pair).warn for pair in pairs) <= 4


def test_an_empty_bin_is_finite():
    assert math.isfinite(drift.compare([1000, 0], [0, 1000]).psi)


@pytest.mark.parametrize(("expected", "found"), [([99, 0], [500, 500]), ([500, 500], [99, 0]), ([1000], [1000]), ([], [])])
def test_too_little_to_say(expected, found):
    assert drift.compare(expected, found) is None


def test_bins():
    counts = {f"c{n:02}": 100 - n for n in range(30)}
    bins = drift.class_bins(counts)
    assert len(bins) == drift.MAX_BINS and next(iter(bins)) == "c00" and sum(bins.values()) == sum(counts.values())
    assert drift.in_classes(counts | {"new": 5}, bins) == [*list(bins.values())[:-1], bins[drift.REST] + 5]
    assert drift.score_bins([0, 0.05, 0.15, 1.0, 1.2]) == [2, 1, 0, 0, 0, 0, 0, 0, 0, 2]
