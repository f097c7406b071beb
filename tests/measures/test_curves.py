"""Curves and areas against scikit-learn's, DeLong's interval by definition and simulation, thresholds by what they promise."""

import math

import numpy as np
import pytest
from sklearn import metrics

from resnets.measures import curves
from resnets.measures.curves import auc, average_precision, curve, delong, needed, newcombe, predictive


def sample(num, share=0.4, shift=1.0, seed=0, decimals=None):
    """Scores of pictures, with ties where rounded, and which are positive."""
    random = np.random.default_rng(seed)
    positive = random.random(num) < share
    scores = 1 / (1 + np.exp(-(random.normal(size=num) + shift * positive)))
    return (scores if decimals is None else scores.round(decimals)), positive


@pytest.mark.parametrize("decimals", [None, 2, 1])
def test_curves_and_areas_are_those_of_scikit_learn(decimals):
    scores, positive = sample(300, decimals=decimals)
    found = curve(scores, positive)
    alarms, sensitivity, thresholds = metrics.roc_curve(positive, scores, drop_intermediate=False)
    assert np.allclose(1 - found.specificity, alarms) and np.allclose(found.sensitivity, sensitivity)
    assert (found.scores == thresholds).all()
    precision, recall, _ = metrics.precision_recall_curve(positive, scores)
    assert np.allclose(found.precision[1:][::-1], precision[:-1]) and np.allclose(found.sensitivity[1:][::-1], recall[:-1])
    groups = np.arange(300) // 3
    for own in (None, groups):
        assert auc(scores, positive, own).value == pytest.approx(metrics.roc_auc_score(positive, scores))
        assert average_precision(scores, positive, own).value == pytest.approx(
            metrics.average_precision_score(positive, scores)
        )


def test_a_weighted_figure_is_that_of_the_pictures_themselves():
    scores, positive = sample(80, decimals=1)
    at = np.random.default_rng(1).integers(80, size=80)
    found = [curves._weighted(scores, positive, of)(at) for of in (curves._area, curves._precision)]
    assert found == pytest.approx(
        [metrics.roc_auc_score(positive[at], scores[at]), metrics.average_precision_score(positive[at], scores[at])]
    )


def test_delongs_variance_by_its_definition():
    """DeLong et al. 1988, equations 1 to 5: each picture's placement among those of the other class."""
    scores, positive = sample(60, decimals=1)
    above = np.array([[1.0 if x > y else 0.5 if x == y else 0.0 for y in scores[~positive]] for x in scores[positive]])
    variance = above.mean(1).var(ddof=1) / above.shape[0] + above.mean(0).var(ddof=1) / above.shape[1]
    assert delong(scores, positive) == pytest.approx((above.mean(), math.sqrt(variance)))


def test_delongs_interval_holds_the_truth_as_often_as_it_says():
    """Normal scores a standard deviation apart have the area Phi(1 / sqrt 2)."""
    truth, held = 0.5 * (1 + math.erf(0.5)), 0
    for seed in range(400):
        low, high = auc(*sample(120, seed=seed)).interval
        held += low <= truth <= high
    assert 0.92 <= held / 400 <= 0.98


def test_intervals_by_groups_are_wider_where_groups_say_the_same():
    scores, positive = (np.repeat(part, 6) for part in sample(60))
    groups = np.repeat(np.arange(60), 6)
    for area in (auc, average_precision):
        alone, wide, careless = area(*sample(60)), area(scores, positive, groups), area(scores, positive)
        assert np.diff(wide.interval) == pytest.approx(np.diff(alone.interval), rel=0.15)
        assert np.diff(careless.interval) < 0.6 * np.diff(wide.interval)


def test_an_area_of_all_or_nothing_has_a_width():
    scores, positive = np.array([0.1, 0.2, 0.3, 0.8, 0.9]), np.array([0, 0, 0, 1, 1], bool)
    low = newcombe(2, 3)
    assert auc(scores, positive) == (1.0, [low, 1.0]) and auc(1 - scores, positive) == (0.0, [0.0, 1 - low])
    assert auc(scores, positive, np.array([0, 0, 0, 1, 1])).interval == [newcombe(1, 1), 1.0], "two groups, not five pictures"
    # From (1 - A)^2 = z^2 V(A), by Hanley and McNeil's variance.
    spread = 1 + 1.5 * ((1 - low) / (2 - low) + low / (1 + low))
    assert (1 - low) ** 2 == pytest.approx(1.959964**2 * low * (1 - low) * spread / 6)
    assert newcombe(20, 30) < newcombe(200, 300) < 1
    assert average_precision(scores, positive) == (1.0, None)


def test_where_a_class_is_missing_there_is_no_area():
    scores = np.array([0.1, 0.9])
    assert auc(scores, np.array([True, True])) is None and auc(scores, np.array([False, False])) is None
    assert average_precision(scores, np.array([False, False])) is None
    assert auc(np.array([0.1, 0.5, 0.4]), np.array([False, True, False])).interval is not None, "all in order"
    assert auc(np.array([0.1, 0.3, 0.4]), np.array([False, True, False])).interval is None, "of one picture"


# --- thresholds ---


@pytest.mark.parametrize(("wanted", "num"), [(0.5, 1), (0.9, 9), (0.95, 19), (0.99, 99), (0.999, 999)])
def test_a_share_needs_so_many_pictures(wanted, num):
    assert needed(wanted) == num
    positive = np.ones(num, bool)
    scores = np.linspace(0.1, 0.9, num)
    assert curves.at_sensitivity(curve(scores, positive), wanted) is not None
    assert curves.at_sensitivity(curve(scores[1:], positive[1:]), wanted) is None
    assert curves.at_specificity(curve(scores, ~positive), wanted) is not None
    assert curves.at_specificity(curve(scores[1:], ~positive[1:]), wanted) is None


@pytest.mark.parametrize(("choose", "kind"), [(curves.at_sensitivity, True), (curves.at_specificity, False)])
@pytest.mark.parametrize("wanted", [0.8, 0.95])
def test_on_average_a_new_picture_is_treated_as_wanted(choose, kind, wanted):
    """Over validation splits of 50 pictures; the threshold of 0.8 is not much better than asked for either."""
    random, reached = np.random.default_rng(0), []
    for _ in range(600):
        positive = np.arange(80) < (50 if kind else 30)
        found = curve(random.random(80), positive)  # uniform, so that a threshold is the share below it
        threshold = found.threshold(choose(found, wanted))
        reached.append(1 - threshold if kind else threshold)
    assert wanted - 0.004 <= np.mean(reached) <= wanted + 0.03


def test_a_threshold_lies_midway_and_ties_stay_together():
    scores, positive = np.array([0.9, 0.6, 0.6, 0.2]), np.array([1, 1, 0, 0], bool)
    found = curve(scores, positive)
    assert (found.hits.tolist(), found.alarms.tolist()) == ([0, 1, 2, 2], [0, 0, 1, 2])
    assert [found.threshold(index) for index in range(4)] == pytest.approx([0.95, 0.75, 0.4, 0.1])
    for index in range(4):
        called = scores >= found.threshold(index)
        assert (called & positive).sum() == found.hits[index] and (called & ~positive).sum() == found.alarms[index]
    sure = curve(np.array([1.0, np.nextafter(1.0, 0)]), np.array([True, False]))
    assert sure.threshold(0) > 1 and (np.array([1.0, np.nextafter(1.0, 0)]) >= sure.threshold(1)).tolist() == [True, False]


def test_the_least_cost_is_the_least_of_all_thresholds():
    scores, positive = sample(200, decimals=2)
    found = curve(scores, positive)
    for false_alarm, miss, prevalence in ((1, 1, 0.4), (1, 20, 0.4), (50, 1, 0.4), (1, 10, 0.01)):
        at = curves.at_cost(found, false_alarm, miss, prevalence)
        by_hand = []
        for threshold in (2.0, *np.unique(scores)):
            called = scores >= threshold
            missed, alarms = (~called)[positive].mean(), called[~positive].mean()
            by_hand.append(prevalence * missed * miss + (1 - prevalence) * alarms * false_alarm)
        assert curves.costs(found, false_alarm, miss, prevalence)[at] == pytest.approx(min(by_hand))


def test_a_precision_is_reached_by_the_most_objects_that_do():
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    found = curve(scores, np.array([0, 1, 1, 1, 0, 0], bool))
    assert found.threshold(curves.at_precision(found, 0.75)) == pytest.approx(0.55)
    assert curves.at_precision(found, 0.9) is None and needed(0.75) == 3
    assert curves.at_precision(curve(scores[:2], np.ones(2, bool)), 0.75) is None, "two objects say nothing of one in four"


def test_predictive_values_by_bayes_rule():
    """The textbook test of 99 % and 95 % for what one in a thousand has; in whole numbers, of 100,000."""
    ppv, npv = predictive(0.99, 0.95, 0.001)
    assert ppv == pytest.approx(99 / (99 + 4995)) and npv == pytest.approx(94905 / (94905 + 1))
    assert predictive(0.0, 1.0, 0.5) == (None, 0.5) and predictive(1.0, 0.0, 0.5) == (0.5, None)
