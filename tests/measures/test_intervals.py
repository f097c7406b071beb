"""Intervals, against SciPy's, by hand, and by simulation."""

import numpy as np
import pytest
from scipy.stats import binomtest

from resnets.measures.intervals import bootstrap, clopper_pearson_lower, clopper_pearson_upper, wilson


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
