"""Vectors in a plane: neighbours stay neighbours, few vectors take the short way, and nothing breaks it."""

import numpy as np
import pytest

from resnets.measures.plane import in_plane


def test_clusters_stay_together():
    random = np.random.default_rng(0)
    centres, codes = random.normal(0, 4, (3, 16)), np.repeat(np.arange(3), 50)
    places, how = in_plane(centres[codes] + random.normal(0, 1, (150, 16)))
    assert how == "t-SNE" and places.shape == (150, 2) and places.min() == 0 and places.max() == 1
    far = np.linalg.norm(places[:, None] - places, axis=2)
    nearest = np.argsort(far, axis=1)[:, 1:6]
    assert (codes[nearest] == codes[:, None]).mean() > 0.95


def test_few_vectors_take_their_principal_components():
    vectors = np.array([[0.0, 0, 0], [4, 0, 0], [0, 1, 0], [4, 1, 0]])
    places, how = in_plane(vectors)
    assert how == "two principal components"
    assert sorted(map(tuple, places.round(6).tolist())) == [(0, 0), (0, 1), (1, 0), (1, 1)]


@pytest.mark.parametrize("vectors", [np.zeros((0, 4)), np.zeros((1, 4)), np.ones((7, 3)), np.arange(5.0)[:, None]])
def test_too_little_to_lay_out(vectors):
    places, _ = in_plane(vectors)
    assert places.shape == (len(vectors), 2) and np.isfinite(places).all() and (places >= 0).all() and (places <= 1).all()
