"""Doubtful labels by hand, and beside cleanlab."""

import numpy as np
import pytest

from resnets.measures.mislabelled import doubts, doubts_of_each, thresholds


def drawn(num=400, classes=4, wrong=40, seed=0):
    """Probabilities, and labels drawn by them, of which some are then drawn anew."""
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.full(classes, 0.4), num)
    labels = np.array([random.choice(classes, p=row) for row in probabilities])
    labels[:wrong] = random.integers(0, classes, wrong)
    return probabilities, labels


def test_by_hand():
    probabilities = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.3, 0.7, 0.0], [0.1, 0.6, 0.3], [0.55, 0.45, 0.0]])
    labels = np.array([0, 0, 1, 1, 0])
    assert thresholds(probabilities, labels) == pytest.approx([0.55, 0.65, np.inf])
    found = doubts(probabilities, labels)
    assert found.confidence == pytest.approx([0.9, 0.2, 0.7, 0.6, 0.55])
    assert found.likely.tolist() == [False, True, False, False, False], "only the second believes in another class"
    assert found.suggested.tolist() == [1, 1, 0, 2, 1], "the others have the likeliest other class"


def test_a_class_that_no_image_has_is_never_believed():
    found = doubts(np.array([[0.1, 0.9], [0.2, 0.8]]), np.array([0, 0]))
    assert not found.likely.any() and found.suggested.tolist() == [1, 1]


def test_labels_that_do_not_exclude_each_other_are_questions_of_their_own():
    probabilities, labels = drawn(classes=2)
    other, more = drawn(classes=2, seed=1)
    found = doubts_of_each(np.stack([probabilities[:, 1], other[:, 1]], 1), np.stack([labels, more], 1) > 0)
    for column, (each, given) in enumerate([(probabilities, labels), (other, more)]):
        alone = doubts(each, given)
        for name in ("confidence", "likely", "suggested"):
            np.testing.assert_allclose(getattr(found, name)[:, column], getattr(alone, name))


@pytest.mark.slow  # its import takes many seconds
def test_as_cleanlab_has_it():
    pytest.importorskip("cleanlab", reason="cleanlab is not installed: pip install cleanlab")
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    for seed in range(5):
        probabilities, labels = drawn(seed=seed)
        found = doubts(probabilities, labels)
        theirs = find_label_issues(labels, probabilities, filter_by="confident_learning", min_examples_per_class=0)
        assert 0 < theirs.sum() < 200 and found.likely.tolist() == theirs.tolist()
        scores = get_label_quality_scores(labels, probabilities, method="self_confidence")
        np.testing.assert_allclose(found.confidence, scores)
