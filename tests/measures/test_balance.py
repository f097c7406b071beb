"""Balanced figures against scikit-learn's, their intervals against the bootstrap done plainly."""

import numpy as np
import pytest
from sklearn import metrics

from resnets.measures.balance import balanced, confusion, is_unbalanced, per_class
from resnets.measures.intervals import draws


def sample(num_classes, num, accuracy=0.8, seed=0):
    random = np.random.default_rng(seed)
    shares = random.dirichlet(np.ones(num_classes))
    truth = random.choice(num_classes, size=num, p=shares)
    return truth, np.where(random.random(num) < accuracy, truth, random.integers(num_classes, size=num))


def plain(truth, answers):
    labels = np.unique(truth)
    recall = metrics.recall_score(truth, answers, labels=labels, average="macro")
    return recall, metrics.f1_score(truth, answers, labels=labels, average="macro")


@pytest.mark.parametrize(("num_classes", "num"), [(1, 5), (3, 2), (12, 400)], ids=["one class", "classes without any", "many"])
def test_figures_of_each_class_are_those_of_scikit_learn(num_classes, num):
    truth, answers = sample(num_classes, num)
    labels = range(num_classes)
    counts = confusion(truth, answers, num_classes)
    theirs = metrics.precision_recall_fscore_support(truth, answers, labels=labels, zero_division=0)
    for own, other in zip((*per_class(counts), counts.sum(1)), theirs, strict=True):
        assert own.tolist() == other.tolist()
    if num_classes > 1:  # of one class scikit-learn's matrix warns
        assert counts.tolist() == metrics.confusion_matrix(truth, answers, labels=labels).tolist()


@pytest.mark.parametrize("num_classes", [2, 12])
def test_balanced_figures_are_those_of_scikit_learn(num_classes):
    truth, answers = sample(num_classes, 150)
    assert [each.value for each in balanced(truth, answers, num_classes)] == pytest.approx(plain(truth, answers))


def test_their_draws_are_those_of_a_plain_bootstrap():
    truth, answers = sample(5, 120)

    def recall(at):
        return np.mean([(answers[at] == c)[truth[at] == c].mean() for c in np.unique(truth[at])])

    def f1(at):
        of = [(truth[at] == c, answers[at] == c) for c in np.unique(truth[at])]
        return np.mean([2 * (true & said).sum() / (true.sum() + said.sum()) for true, said in of])

    for (value, (low, high)), by_hand in zip(balanced(truth, answers, 5), (recall, f1), strict=True):
        spread = np.std(draws(by_hand, 120, num_draws=500, seed=7))
        assert low < value < high and high - low == pytest.approx(2 * 1.96 * spread, rel=0.15)


def test_groups_are_drawn_whole():
    truth, answers = (np.repeat(part, 5) for part in sample(3, 60))
    groups = np.repeat(np.arange(60), 5)
    shuffled = np.random.default_rng(0).permutation(300)
    alone = np.diff(balanced(*sample(3, 60), 3)[0].interval)
    wide = balanced(truth[shuffled], answers[shuffled], 3, groups[shuffled])[0]
    assert np.diff(wide.interval) == pytest.approx(alone, rel=0.15)


def test_without_an_error_a_bootstrap_knows_no_interval():
    truth = np.arange(20) % 2
    assert balanced(truth, truth, 2)[0] == (1.0, None)
    assert balanced(truth, 1 - truth, 2)[1] == (0.0, None)


def test_many_small_classes_do_not_push_the_interval_off_the_figure():
    """Quantiles of the draws would: each draw leaves a third of such a class out."""
    truth = np.repeat(np.arange(100), 3)
    answers = np.where(np.random.default_rng(0).random(300) < 0.7, truth, (truth + 1) % 100)
    value, (low, high) = balanced(truth, answers, 100)[1]
    assert low < value < high


@pytest.mark.parametrize(
    ("counts", "said"), [([10, 10], False), ([19, 10], False), ([20, 10], True), ([30, 0], False), ([5, 0, 40], True)]
)
def test_classes_are_unbalanced_from_twice_as_many_on(counts, said):
    assert is_unbalanced(np.array(counts)) is said
