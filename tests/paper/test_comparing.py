"""Verdicts from a few values, by hand."""

import pytest

from resnets.paper import comparing
from resnets.paper.published import TABLE6
from resnets.paper.scales import SCALES

# Means 10, 12 and 12.5; each deviation is 1 of three runs, so the error of a difference is sqrt(2 / 3) = 0.816.
VALUES = {"a": [9.0, 10.0, 11.0], "b": [11.0, 12.0, 13.0], "c": [11.5, 12.5, 13.5], "one": [5.0]}


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        ("a", "b", "holds"),
        ("b", "a", "fails"),
        ("b", "c", "inconclusive"),
        ("c", "b", "inconclusive"),
        ("one", "b", "inconclusive"),
        ("a", "one", "inconclusive"),
    ],
)
def test_two_standard_errors_decide(low, high, expected):
    assert comparing.standard_error(VALUES["a"], VALUES["b"]) == pytest.approx((2 / 3) ** 0.5)
    assert comparing.is_below(VALUES[low], VALUES[high]) == expected


@pytest.mark.parametrize(
    ("names", "expected"), [("ab", "holds"), ("abc", "inconclusive"), ("bac", "fails"), ("a", "inconclusive"), ("cba", "fails")]
)
def test_an_ordering_is_that_of_its_neighbours(names, expected):
    verdict = comparing.ordering("a claim", list(names), VALUES)
    assert verdict.holds == expected
    assert all(name in verdict.because for name in names) or len(names) == 1


def test_equal_values_decide_nothing():
    assert comparing.is_below([1.0, 1.0], [1.0, 1.0]) == "inconclusive"
    assert comparing.is_below([1.0, 1.0], [1.1, 1.1]) == "holds"


@pytest.mark.parametrize(
    ("error", "whole", "expected"), [(8.3, True, "holds"), (9.3, True, "fails"), (8.75, False, "inconclusive")]
)
def test_beside_the_paper(error, whole, expected):
    verdict = comparing.beside_paper("resnet20_cifar", [error], TABLE6, SCALES["full"], whole=whole)
    assert verdict.holds == expected and "8.75" in verdict.claim and f"{error:.2f}" in verdict.because


def test_how_figures_and_networks_are_written():
    assert comparing.mean_of([8.0, 9.0]) == "8.50 ± 0.71" and comparing.mean_of([8.754]) == "8.75"
    names = {
        "resnet20_cifar": "ResNet-20",
        "plain56_cifar": "plain-56",
        "preresnet110_cifar": "pre-ResNet-110",
        "resnet56_cifar,order=pre": "pre-ResNet-56",
        "preresnet164_cifar,order=post": "ResNet-164",
        "resnet32_cifar,shortcut=B": "ResNet-32 B",
        "bottleneck-38": "bottleneck-38",
    }
    assert {name: comparing.short(name) for name in names} == names
