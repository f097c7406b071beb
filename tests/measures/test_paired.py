"""Comparisons of two models, against statsmodels' and SciPy's, and by simulation."""

import numpy as np
import pytest

from resnets.measures.paired import holm, mcnemar, of_runs, paired_bootstrap, right_together


@pytest.mark.parametrize(("only_first", "only_second"), [(5, 15), (15, 5), (0, 3), (7, 7), (121, 59)])
def test_mcnemar_is_statsmodels(only_first, only_second):
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    expected = tables.mcnemar([[100, only_first], [only_second, 40]], exact=True).pvalue
    assert mcnemar(only_first, only_second) == pytest.approx(expected)


def test_models_that_never_differ():
    assert mcnemar(0, 0) == 1.0


def test_a_difference_that_is_there_and_one_that_is_not():
    random = np.random.default_rng(0)
    hard = random.random(500)
    right = [hard < 0.8, hard < 0.7, (hard < 0.7) ^ (random.random(500) < 0.02)]
    figures = [lambda at, own=own: float(own[at].mean()) for own in right]
    clear, none = paired_bootstrap(figures[0], figures[1], 500), paired_bootstrap(figures[2], figures[1], 500)
    assert clear.value == pytest.approx(right[0].mean() - right[1].mean()) and clear.interval[0] > 0.05 and clear.p_value < 0.01
    assert none.interval[0] < 0 < none.interval[1] and none.p_value > 0.05
    swapped = paired_bootstrap(figures[1], figures[0], 500)
    assert swapped.interval == pytest.approx([-clear.interval[1], -clear.interval[0]], abs=0.01)


def test_the_interval_is_that_of_the_paired_differences():
    """Normal theory: the standard error of the mean of differences."""
    random = np.random.default_rng(1)
    first, second = (random.random(300) < 0.8).astype(float), (random.random(300) < 0.75).astype(float)
    found = paired_bootstrap(lambda at: float(first[at].mean()), lambda at: float(second[at].mean()), 300)
    error = (first - second).std(ddof=1) / 300**0.5
    assert found.interval[1] - found.interval[0] == pytest.approx(2 * 1.96 * error, rel=0.12)


def test_groups_of_pictures_are_drawn_whole():
    random = np.random.default_rng(2)
    own = np.repeat(random.normal(size=(2, 30)), 20, axis=1)
    groups = np.repeat([f"patient {n}" for n in range(30)], 20)
    figures = [lambda at, one=one: float(one[at].mean()) for one in own]
    careless, careful = (paired_bootstrap(*figures, 600, given) for given in (None, groups))
    ratio = (careful.interval[1] - careful.interval[0]) / (careless.interval[1] - careless.interval[0])
    assert ratio == pytest.approx(20**0.5, rel=0.15)


def test_figures_without_a_value():
    found = paired_bootstrap(lambda at: float("nan"), lambda at: 0.0, 5)
    assert np.isnan(found.p_value)


def test_right_together():
    first, second = np.array([1, 1, 1, 0, 0], bool), np.array([1, 0, 0, 1, 0], bool)
    found = right_together(first, second)
    assert found == {"both": 1, "neither": 1, "only_first": 2, "only_second": 1, "p_value": mcnemar(2, 1)}


def test_several_p_values_are_statsmodels():
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    values = [0.04, 0.001, 0.6, 0.02, 0.02]
    assert holm(values) == pytest.approx(multitest.multipletests(values, method="holm")[1])
    assert holm([]) == [] and np.isnan(holm([np.nan, 0.01])[0]) and holm([np.nan, 0.01])[1] == 0.01


def test_means_over_runs_are_compared_by_their_own_deviations():
    """By hand: where both deviate alike, Welch's degrees of freedom are 2 + 2 - 2."""
    found = of_runs([0.92, 0.94], [0.90, 0.92])
    half = 4.302653 * np.sqrt(2 * 0.0002 / 2)  # Student's t of 2 degrees of freedom at 97.5 %
    assert found.value == pytest.approx(0.02) and found.interval == pytest.approx([0.02 - half, 0.02 + half])
    assert of_runs([0.9], [0.8, 0.7]) is None and of_runs([0.9, 0.9], [0.9, 0.9]) is None
