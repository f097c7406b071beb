"""Intervals, against SciPy's, by hand, and by simulation."""

import numpy as np
import pytest
from scipy.stats import binomtest

from resnets.measures.intervals import around, bootstrap, clopper_pearson_lower, clopper_pearson_upper, draws, of_share, wilson


@pytest.mark.parametrize(
    ("hits", "num", "interval"),
    [
        (5, 10, (0.2366, 0.7634)), (0, 10, (0.0, 0.2775)), (10, 10, (0.7225, 1.0)), (81, 263, (0.2553, 0.3662)),
        (9000, 10_000, (0.8940, 0.9057)),
    ],
)  # fmt: skip
def test_wilson_interval_is_that_of_the_books(hits, num, interval):
    """81 of 263 is the example of Newcombe (1998): 0.2553 to 0.3662."""
    assert wilson(hits, num) == pytest.approx(interval, abs=5e-5)


@pytest.mark.parametrize(("hits", "num"), [(0, 50), (1, 50), (7, 900), (50, 50)])
def test_exact_bounds_are_scipys(hits, num):
    upper = binomtest(hits, num, alternative="less").proportion_ci(0.9, "exact").high
    lower = binomtest(hits, num, alternative="greater").proportion_ci(0.9, "exact").low
    assert clopper_pearson_upper(hits, num, 0.9) == pytest.approx(upper, abs=1e-9)
    assert clopper_pearson_lower(hits, num, 0.9) == pytest.approx(lower, abs=1e-9)


def test_the_rule_of_three():
    assert clopper_pearson_upper(0, 1000) == pytest.approx(3 / 1000, rel=0.01)


def test_bootstrap_of_a_mean_is_as_wide_as_its_standard_error():
    values = np.random.default_rng(0).normal(size=400)
    low, high = bootstrap(lambda at: float(values[at].mean()), 400)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.02)


def test_pictures_of_one_group_count_as_one():
    """Forty groups of ten equal values say what forty values say."""
    values = np.random.default_rng(0).normal(size=40)
    groups = np.repeat([f"patient {n}" for n in range(40)], 10)
    low, high = bootstrap(lambda at: float(np.repeat(values, 10)[at].mean()), 400, groups)
    alone = bootstrap(lambda at: float(values[at].mean()), 40)
    assert high - low == pytest.approx(alone[1] - alone[0], rel=0.1)
    careless = bootstrap(lambda at: float(np.repeat(values, 10)[at].mean()), 400)
    assert (high - low) / (careless[1] - careless[0]) == pytest.approx(10**0.5, rel=0.15)


def test_draws_without_a_value_are_left_out():
    """AUC has none where one class is missing."""
    values = np.array([np.nan, 1.0, 1.0])
    assert bootstrap(lambda at: float(values[at].mean()), 3) == [1.0, 1.0]
    assert np.isnan(bootstrap(lambda at: float("nan"), 3)).all()


@pytest.mark.parametrize(("hits", "num"), [(0, 12), (5, 12), (12, 12), (93, 263)])
def test_two_sided_exact_interval_is_scipys(hits, num):
    right = np.arange(num) < hits
    for confidence in (0.95, 0.975):
        found = binomtest(hits, num).proportion_ci(confidence, "exact")
        assert of_share(right, None, confidence) == pytest.approx([found.low, found.high], abs=1e-9)


def test_a_share_by_groups_is_that_of_as_many_as_there_are_groups():
    random = np.random.default_rng(0)
    right = np.repeat(random.random(50) < 0.7, 8)
    groups = np.repeat(np.arange(50), 8)
    wide, of_one_each = of_share(right, groups), around(right.mean(), draws(lambda at: right[::8][at].mean(), 50))
    assert np.diff(wide) == pytest.approx(np.diff(of_one_each), rel=0.15)
    sure = np.ones(400, bool)
    assert of_share(sure, groups) == of_share(np.ones(50, bool)) and of_share(sure[:0], groups[:0]) is None


def test_interval_on_the_scale_of_log_odds():
    """Of a fraction it is the delta method's: 0.9 of 100 has the standard error 0.03, in log odds 1 / 3."""
    right = np.arange(100) < 90
    low, high = around(0.9, draws(lambda at: float(right[at].mean()), 100, num_draws=4000))
    odds = [np.log(p / (1 - p)) for p in (low, 0.9, high)]
    assert np.diff(odds) == pytest.approx(1.96 / 3, rel=0.05)
    assert around(1.0, np.ones(9)) is None and around(0.5, np.full(9, np.nan)) is None
