"""Pairwise and BCubed agreement, against their definitions, pair by pair and image by image."""

import numpy as np
import pytest

from resnets.measures.clusters import ALONE, agreement


def by_definition(clusters, labels):
    same_cluster, same_label = clusters[:, None] == clusters, labels[:, None] == labels
    same_cluster[np.diag_indices_from(same_cluster)] = True
    alone = clusters == ALONE
    same_cluster[np.ix_(alone, alone)] = np.eye(alone.sum(), dtype=bool)
    upper = np.triu_indices(len(labels), 1)
    both = (same_cluster & same_label)[upper].sum()
    return {
        "pairwise_precision": both / same_cluster[upper].sum(),
        "pairwise_recall": both / same_label[upper].sum(),
        "bcubed_precision": ((same_cluster & same_label).sum(1) / same_cluster.sum(1)).mean(),
        "bcubed_recall": ((same_cluster & same_label).sum(1) / same_label.sum(1)).mean(),
    }


@pytest.mark.parametrize("seed", range(5))
def test_as_defined(seed):
    random = np.random.default_rng(seed)
    clusters, labels = random.integers(-1, 6, 60), random.integers(0, 5, 60)
    found = agreement(clusters, np.array(list("abcde"))[labels])
    for name, value in by_definition(clusters, labels).items():
        assert found[name] == pytest.approx(value)
    for kind in ("pairwise", "bcubed"):
        one, other = found[f"{kind}_precision"], found[f"{kind}_recall"]
        assert found[f"{kind}_f"] == pytest.approx(2 / (1 / one + 1 / other))


def test_four_images_by_hand():
    found = agreement(np.array([0, 0, 0, 1]), np.array(["a", "a", "b", "b"]))
    assert (found["pairwise_precision"], found["pairwise_recall"]) == pytest.approx((1 / 3, 1 / 2))
    assert (found["bcubed_precision"], found["bcubed_recall"]) == pytest.approx((2 / 3, 3 / 4))
    same = agreement(np.array([5, 5, 2, 2]), np.array(["a", "a", "b", "b"]))
    assert set(same.values()) == {1.0}


def test_without_pairs_there_is_no_ratio():
    found = agreement(np.full(4, ALONE), np.array([0, 0, 1, 2]))
    assert found["pairwise_precision"] is None and found["pairwise_recall"] == 0 and found["pairwise_f"] is None
    assert found["bcubed_precision"] == 1 and found["bcubed_recall"] == pytest.approx((0.5 + 0.5 + 1 + 1) / 4)
    assert agreement(np.array([0, 0]), np.array([0, 1]))["pairwise_recall"] is None


def test_the_clusters_are_not_changed():
    clusters = np.array([-1, -1, 0])
    agreement(clusters, np.array([0, 0, 0]))
    assert clusters.tolist() == [-1, -1, 0]
