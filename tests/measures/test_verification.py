"""Verification against scikit-learn, and by hand."""

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from resnets.measures import verification as verifying
from resnets.measures.neighbours import distance


def cloud(num_people=12, num_each=6, size=8, noise=0.6, seed=0):
    """Vectors (N, D) around a centre for each person, and whose each is."""
    random = np.random.default_rng(seed)
    people = np.repeat(np.arange(num_people), num_each)
    return random.normal(size=(num_people, size))[people] + noise * random.normal(size=(len(people), size)), people


@pytest.mark.parametrize("kind", ["cosine", "euclidean"])
def test_all_pairs_and_their_distances(kind):
    vectors, people = cloud(5, 3)
    found = verifying.pairs(vectors, people, kind)
    assert len(found.same) == 15 * 14 // 2 and found.whole and (found.num_genuine, found.num_impostor) == (15, 90)
    assert (found.same == (people[found.first] == people[found.second])).all()
    assert found.distance == pytest.approx(distance(vectors[found.first], vectors[found.second], kind))
    whole = verifying.matrix(vectors, vectors, kind)
    assert found.distance == pytest.approx(whole[found.first, found.second], abs=1e-7)


def test_of_many_pairs_some_are_drawn():
    vectors, people = cloud(20, 10)
    found = verifying.pairs(vectors, people, "cosine", most=1000)
    assert len(found.same) == 1000 and not found.whole and found.same.sum() == 500
    assert (found.num_genuine, found.num_impostor) == (900, 19_000)
    assert (found.first != found.second).all()
    every, again = verifying.pairs(vectors, people, "cosine"), verifying.pairs(vectors, people, "cosine", most=1000)
    assert (again.first == found.first).all()
    exact, near = (verifying.rates(each.distance, each.same).eer for each in (every, found))
    assert near == pytest.approx(exact, abs=0.05)


@pytest.mark.parametrize("ties", [False, True])
def test_rates_are_those_of_scikit_learn(ties):
    vectors, people = cloud()
    found = verifying.pairs(vectors, people, "cosine")
    apart = np.round(found.distance, 1) if ties else found.distance
    curve = verifying.rates(apart, found.same)
    far, tar, cuts = roc_curve(found.same, -apart, drop_intermediate=False)
    assert curve.far == pytest.approx(far) and curve.tar == pytest.approx(tar)
    assert curve.threshold[1:] == pytest.approx(-cuts[1:])
    assert curve.auc == pytest.approx(roc_auc_score(found.same, -apart))
    for wanted in (0.5, 0.1, 0.01):
        assert curve.tar_at(wanted) == tar[far <= wanted].max()
    at = np.interp(curve.eer, far, tar)
    assert 1 - at == pytest.approx(curve.eer, abs=0.02)


def test_the_equal_error_rate_by_hand():
    """Of two pairs of each kind one is wrong at any threshold between."""
    assert verifying.rates(np.array([1.0, 3, 2, 4]), np.array([True, True, False, False])).eer == 0.5
    assert verifying.rates(np.array([1.0, 2, 3, 4]), np.array([True, True, False, False])).eer == 0.0
    assert math.isnan(verifying.rates(np.array([1.0, 2]), np.array([True, True])).eer)


def test_weights_count_pairs_several_times():
    vectors, people = cloud()
    found = verifying.pairs(vectors, people, "cosine")
    times = np.random.default_rng(0).integers(0, 3, len(found.same))
    twice = np.repeat(np.arange(len(times)), times)
    weighted = verifying.rates(found.distance, found.same, times.astype(float))
    repeated = verifying.rates(found.distance[twice], found.same[twice])
    assert (weighted.auc, weighted.eer) == pytest.approx((repeated.auc, repeated.eer))


@pytest.mark.parametrize(
    ("num", "measured"), [(9, [False] * 4), (10, [True, False, False, False]), (1000, [True] * 3 + [False])]
)
def test_a_rate_below_one_pair_cannot_be_measured(num, measured):
    assert [verifying.measurable(far, num) for far in verifying.FARS] == measured
    assert [verifying.far_key(far) for far in verifying.FARS] == [f"tar_at_1e-{digits}" for digits in (1, 2, 3, 4)]


# --- folds ---


def by_hand(vectors, people, num_folds, seed):
    """LFW's protocol as plainly as it can be said."""
    order, names = np.random.RandomState(seed).permutation(len(np.unique(people))), np.unique(people)
    fold_of = {names[person]: place % num_folds for place, person in enumerate(order)}
    rows = []
    for i in range(len(people)):
        for j in range(i + 1, len(people)):
            if fold_of[people[i]] == fold_of[people[j]]:
                apart = float(np.sqrt(((vectors[i] - vectors[j]) ** 2).sum()))
                rows.append((fold_of[people[i]], apart, people[i] == people[j]))
    scores = []
    for fold in range(num_folds):
        rest = [row for row in rows if row[0] != fold]

        def accuracy(cut, some):
            same = [row[1] <= cut for row in some if row[2]]
            other = [row[1] > cut for row in some if not row[2]]
            return (np.mean(same) + np.mean(other)) / 2

        cuts = [row[1] for row in rest]
        best = max(accuracy(cut, rest) for cut in cuts)
        near = sorted(cut for cut in cuts if accuracy(cut, rest) > best - 1e-12)
        scores.append((accuracy(near[len(near) // 2], [row for row in rows if row[0] == fold]), near))
    return scores


def test_folds_are_of_people_and_each_is_judged_by_the_threshold_of_the_others():
    vectors, people = cloud(8, 4, noise=0.8)
    found = verifying.fold_accuracy(verifying.pairs(vectors, people, "euclidean"), people)
    expected = by_hand(vectors, people, 4, 0)
    assert len(found.thresholds) == 4
    # Thresholds lie in the gap above the distance that is best, so no pair of the others changes sides.
    for threshold, (_, near) in zip(found.thresholds, expected, strict=True):
        assert near[len(near) // 2] <= threshold
    assert found.accuracy == pytest.approx(np.mean([score for score, _ in expected]), abs=0.05)


@pytest.mark.parametrize(("num_people", "num_folds"), [(40, 10), (20, 10), (19, 9), (4, 2)])
def test_ten_folds_or_half_as_many_as_people(num_people, num_folds):
    vectors, people = cloud(num_people, 4, noise=0.01)
    found = verifying.fold_accuracy(verifying.pairs(vectors, people, "cosine"), people)
    assert len(found.thresholds) == num_folds and found.accuracy > 0.95


def test_too_few_people_have_no_folds():
    vectors, people = cloud(3, 4)
    assert verifying.fold_accuracy(verifying.pairs(vectors, people, "cosine"), people) is None
    vectors, people = cloud(6, 1)
    assert verifying.fold_accuracy(verifying.pairs(vectors, people, "cosine"), people) is None


# --- thresholds ---


@pytest.mark.parametrize("far", [0.5, 0.1, 0.01, 1e-6])
def test_a_threshold_keeps_its_rate(far):
    vectors, people = cloud()
    found = verifying.pairs(vectors, people, "cosine")
    threshold = verifying.threshold_at(found, far)
    count = verifying.counted(found, threshold)
    assert count.far <= far and not (found.distance == threshold).any()
    above = np.sort(found.distance[~found.same & (found.distance > threshold)])[0]
    assert verifying.counted(found, above).far > far
    assert count.false_accepts == int(far * count.num_impostor)


@pytest.mark.parametrize("num", [30, 300, 3000])
def test_no_false_accept_in_n_pairs_is_at_most_three_in_n(num):
    assert verifying.Counts(1, num, 0, 0).far_bound == pytest.approx(3 / num, rel=0.06)
    assert verifying.Counts(1, 0, 0, 0).far_bound is None


# --- intervals ---


def test_intervals_by_people_are_wider_than_those_by_pairs():
    vectors, people = cloud(10, 10, noise=1.2)
    found = verifying.pairs(vectors, people, "cosine")
    spread = verifying.by_people(found, people)
    low, high = spread.figures["eer"]
    eer = verifying.rates(found.distance, found.same).eer
    assert low < eer < high
    random = np.random.default_rng(0)
    draws = [random.integers(len(found.same), size=len(found.same)) for _ in range(100)]
    narrow = np.quantile([verifying.rates(found.distance[at], found.same[at]).eer for at in draws], [0.025, 0.975])
    assert high - low > 1.5 * (narrow[1] - narrow[0])
    assert "tar_at_1e-4" not in spread.figures and spread.tar.shape == (len(spread.far), 2)


def test_one_person_has_no_interval():
    vectors, people = cloud(1, 5)
    assert set(verifying.by_people(verifying.pairs(vectors, people, "cosine"), people).figures.values()) == {None}


def test_by_group_pairs_are_within_a_group():
    vectors, people = cloud(8, 4)
    groups = np.where(people < 4, "one", "two")
    found = verifying.pairs(vectors, people, "cosine")
    rows = verifying.by_group(found, groups, 0.4)
    assert [row["group"] for row in rows] == ["one", "two"]
    assert all((row["num_genuine"], row["num_impostor"]) == (24, 96) for row in rows)
    own = groups == "one"
    alone = verifying.pairs(vectors[own], people[own], "cosine")
    assert rows[0]["eer"] == verifying.rates(alone.distance, alone.same).eer
    assert rows[0]["false_accept_rate"] == verifying.counted(alone, 0.4).far
