"""Prediction sets: coverage by simulation, the rank by counting."""

import json

import numpy as np
import pytest

from resnets.measures.conformal import COVERAGES, below, num_needed, rank, sets, tabulate, threshold


def drawn(num, random, num_classes=6):
    logits = random.normal(0, 2, (num, num_classes))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    truth = (random.random((num, 1)) > np.cumsum(p**0.5 / (p**0.5).sum(1, keepdims=True), 1)).sum(1)  # p is too sure
    return p, truth


@pytest.mark.parametrize("num", [19, 60, 200])
@pytest.mark.parametrize("coverage", [0.8, 0.95])
def test_coverage_over_draws_of_validation_and_test(coverage, num):
    """On average at least what is asked for, and at most 1 / (N + 1) more, but for the likeliest class, which is in always."""
    random, held, without = np.random.default_rng(0), [], []
    for _ in range(400):
        p, truth = drawn(num + 200, random)
        of_truth = p[np.arange(len(p)), truth]
        least = threshold(tabulate(of_truth[:num]), coverage)
        new = slice(num, None)
        held.append(sets(p[new], least)[np.arange(200), truth[new]].mean())
        without.append((of_truth[new] >= least).mean())
    error = 3.5 * np.std(without) / 20
    assert coverage - error <= np.mean(without) <= coverage + 1 / (num + 1) + error
    assert np.mean(held) >= np.mean(without)


def test_the_rank_is_that_of_the_theorem():
    """At most k of N + 1 exchangeable pictures lie below the k-th of N, by trying all places of the new one."""
    for num in (9, 19, 20, 99, 100):
        for coverage in (0.5, 0.9, 0.95, 0.99):
            k = rank(coverage, num)
            assert k / (num + 1) <= 1 - coverage + 1e-12 < (k + 1) / (num + 1) + 1e-12
    assert (rank(0.95, 19), rank(0.95, 18), num_needed(0.95), num_needed(0.99)) == (1, 0, 19, 99)


def test_a_table_gives_the_next_higher_coverage_and_never_a_lower_one():
    p, truth = drawn(1000, np.random.default_rng(0))
    table = json.loads(json.dumps(tabulate(p[np.arange(1000), truth])))
    assert threshold(table, 0.955) == threshold(table, 0.96) <= threshold(table, 0.95)
    assert table["probability"] == sorted(table["probability"], reverse=True) and table["coverage"] == [
        each for each in COVERAGES if each <= 0.999
    ]
    assert threshold(table, 0.9999) is None and threshold(tabulate(p[:5, 0]), 0.95) is None
    assert len(json.dumps(table)) < 2000


def test_sets_are_never_empty():
    p = np.array([[0.4, 0.35, 0.25], [0.9, 0.1, 0.0]])
    assert sets(p, 0.95).tolist() == [[True, False, False], [True, False, False]]
    assert sets(p, 0.3).tolist() == [[True, True, False], [True, False, False]]


@pytest.mark.parametrize("value", [0.0, 1e-300, 3.14159265e-7, 0.1, 0.123456, 1.0])
def test_rounded_down(value):
    assert value * (1 - 3e-4) <= below(value) <= value
