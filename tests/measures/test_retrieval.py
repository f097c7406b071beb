"""Retrieval against pytorch-metric-learning, and identification by hand."""

import numpy as np
import pytest

from resnets.measures import identification, retrieval
from tests.measures.test_verification import cloud


def test_scores_are_those_of_pytorch_metric_learning(monkeypatch):
    torch = pytest.importorskip("torch")
    accuracy = pytest.importorskip("pytorch_metric_learning.utils.accuracy_calculator")
    inference = pytest.importorskip("pytorch_metric_learning.utils.inference")
    distances = pytest.importorskip("pytorch_metric_learning.distances")
    vectors, people = cloud(9, 5, noise=1.0)
    vectors, people = vectors[:-3], people[:-3]  # one of them has two pictures
    theirs = accuracy.AccuracyCalculator(
        include=("precision_at_1", "r_precision", "mean_average_precision_at_r"),
        k="max_bin_count",
        knn_func=inference.CustomKNN(distances.CosineSimilarity()),
    ).get_accuracy(torch.tensor(vectors), torch.tensor(people))
    ours = retrieval.search(vectors, people, "cosine")
    assert np.nanmean(ours.precision_at_1) == pytest.approx(theirs["precision_at_1"])
    assert np.nanmean(ours.r_precision) == pytest.approx(theirs["r_precision"])
    assert np.nanmean(ours.map_at_r) == pytest.approx(theirs["mean_average_precision_at_r"])


def test_a_picture_without_another_of_its_person_is_no_query():
    vectors = np.array([[0.0], [1.0], [1.1], [5.0]])
    found = retrieval.search(vectors, np.array(["a", "a", "b", "c"]), "euclidean")
    assert np.isnan(found.map_at_r[2:]).all() and found.map_at_r[:2].tolist() == [1.0, 0.0]
    assert found.precision_at_1[:2].tolist() == [1.0, 0.0] and found.hit_at_5[:2].tolist() == [1.0, 1.0]


def test_blocks_change_nothing(monkeypatch):
    vectors, people = cloud()
    whole = retrieval.search(vectors, people, "cosine")
    monkeypatch.setattr(retrieval, "BLOCK", 100)
    assert all(np.array_equal(one, two) for one, two in zip(whole, retrieval.search(vectors, people, "cosine"), strict=True))


@pytest.mark.parametrize("people", [["a"], ["a", "b"], []])
def test_nothing_to_find(people):
    found = retrieval.search(np.zeros((len(people), 3)), np.array(people, str), "cosine")
    assert all(np.isnan(each).all() and len(each) == len(people) for each in found)


# --- one enrolled picture ---


def test_the_closed_set_is_right_where_people_are_apart():
    vectors, people = cloud(noise=0.01)
    assert identification.closed_set(vectors, people, "cosine").tolist() == [[1.0] * len(people)] * 2


def test_ranks_at_random_are_those_of_chance():
    people = np.repeat(np.arange(10), 20)
    vectors = np.random.default_rng(0).normal(size=(200, 16))
    rank_1, rank_5 = identification.closed_set(vectors, people, "cosine")
    assert np.nanmean(rank_1) == pytest.approx(0.1, abs=0.03) and np.nanmean(rank_5) == pytest.approx(0.5, abs=0.05)


def test_draws_enrol_one_picture_each_and_probe_with_the_others():
    vectors, people = cloud(6, 3)
    for probed in identification.draws(vectors, people, "cosine", 2, num_draws=5):
        assert len(probed.position) == 16 and probed.enrolled.sum() == 4
        assert (probed.rank[~probed.enrolled] == 0).all() and set(probed.rank[probed.enrolled]) <= {1, 2}
        assert (probed.right == (probed.rank == 1)).all()


def test_the_open_set_by_hand():
    """Of one enrolled person and one stranger, whose pictures are all nearer than those of the one."""
    vectors = np.array([[0.0], [2.0], [1.0], [1.0]])
    found = identification.open_set(vectors, np.array(["a", "a", "b", "b"]), "euclidean", 1)
    assert found.num_enrolled == 1
    # Whoever is enrolled: a's other picture is 2 away and strangers 1; b's other picture is 0 away and strangers 1.
    num_a = sum(each.distance.max() == 2 for each in identification.draws(vectors, np.array(list("aabb")), "euclidean", 1))
    assert found.at(0.5) == (0.0, pytest.approx(num_a / 20)) and found.at(1.5) == (1.0, pytest.approx(num_a / 20))
    assert found.at(-1) == (0.0, 1.0) and found.at(9) == (1.0, 0.0)


def test_false_alarms_against_misses():
    vectors, people = cloud(20, 6, noise=1.0)
    found = identification.open_set(vectors, people, "cosine")
    assert found.num_enrolled == 10 and (np.diff(found.fpir) >= 0).all() and (np.diff(found.fnir) <= 1e-12).all()
    assert found.fnir_at(0.1) < found.fnir_at(0.01) and found.fnir_at(1e-4) is None
    assert found.at(found.threshold[-1])[0] == 1.0
    assert identification.open_set(*cloud(1, 5), "cosine") is None
