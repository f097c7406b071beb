"""The nearest of many vectors, against scikit-learn's brute force."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from resnets.errors import InputError
from resnets.measures import neighbours
from resnets.measures.neighbours import METRICS, distance, lengths_of, nearest


@pytest.fixture(scope="module")
def vectors():
    return np.random.default_rng(0).normal(0.3, 1, (500, 12)).astype(np.float32)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(neighbours, "ROWS", 7)
    monkeypatch.setattr(neighbours, "COLUMNS", 33)
    monkeypatch.setattr(neighbours, "MOST_COLUMNS", 50)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("metric", METRICS)
def test_as_brute_force(vectors, small_blocks, metric, known):
    queries = np.random.default_rng(1).normal(0.3, 1, (20, 12)).astype(np.float32)
    found = nearest(queries, vectors, 9, metric=metric, lengths=lengths_of(vectors) if known else None)
    brute = NearestNeighbors(n_neighbors=9, metric=metric, algorithm="brute").fit(vectors.astype(np.float64))
    distances, positions = brute.kneighbors(queries.astype(np.float64))
    np.testing.assert_array_equal(found.positions, positions)
    np.testing.assert_allclose(found.distances, distances, rtol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("topk", [5, 500, 900])
def test_a_vector_without_itself(vectors, small_blocks, metric, topk):
    own = np.array([3, 77, 410])
    found = nearest(vectors[own], vectors, topk, metric=metric, without=own)
    assert found.positions.shape == (3, min(topk, 499)) and not (found.positions == own[:, None]).any()
    with_it = nearest(vectors[own], vectors, topk + 1, metric=metric)
    np.testing.assert_array_equal(found.positions, with_it.positions[:, 1:])
    np.testing.assert_array_equal(with_it.positions[:, 0], own)


def test_copies_and_near_copies_far_from_the_origin(small_blocks):
    """A product in float32 cannot tell these: of lengths of 4,000 its error is about 1."""
    centre = np.full((1, 16), 1000.0, np.float32)
    steps = np.random.default_rng(0).permutation(100).astype(np.float32)[:, None] / 16
    found = nearest(centre, centre + steps, 100, metric="euclidean")
    np.testing.assert_array_equal(found.positions[0], np.argsort(steps[:, 0]))
    np.testing.assert_allclose(found.distances[0], np.arange(100) / 4, rtol=1e-6)
    copies = nearest(centre, np.repeat(centre, 90, 0), 90)
    assert (copies.distances == 0).all() and copies.positions[0].tolist() == list(range(90))


def test_a_vector_of_length_0_is_as_far_as_one_at_a_right_angle():
    found = nearest(np.array([[1.0, 0.0]]), np.array([[0.0, 0.0], [0.0, 2.0], [-1.0, 0.0], [3.0, 0.0]], np.float32), 4)
    assert found.positions.tolist() == [[3, 0, 1, 2]] and found.distances.tolist() == [[0.0, 1.0, 1.0, 2.0]]
    assert distance(np.zeros(3), np.zeros(3)) == 1


def test_nothing_to_search_by_and_nothing_to_search():
    assert nearest(np.zeros((0, 3)), np.zeros((5, 3)), 2).positions.shape == (0, 0)
    assert nearest(np.ones((2, 3)), np.zeros((0, 3)), 2).positions.shape == (2, 0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("metric", METRICS)
def test_what_is_not_finite_is_refused(vectors, metric, value):
    bad = vectors.copy()
    bad[40, 3] = value
    with pytest.raises(InputError, match="to search by is not finite"):
        nearest(bad[40:41], vectors, 2, metric=metric)
    with pytest.raises(InputError, match="not finite"):
        nearest(-bad[41:42] if value < 0 else bad[41:42], bad, 500, metric=metric)
