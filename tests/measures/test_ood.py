"""The score of being unlike the training data, and how well it tells, against torch and scikit-learn."""

import json

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu
from sklearn.covariance import EmpiricalCovariance
from sklearn.metrics import roc_curve

from resnets.measures.ood import Reference, auroc, distance, energy, fpr_at_tpr, num_needed, threshold, unlikeness

RANDOM = np.random.default_rng(0)
KNOWN, UNKNOWN = RANDOM.normal(0, 1, 700), np.round(RANDOM.normal(1.2, 1.5, 400), 1)


def test_energy_is_that_of_torch():
    logits = RANDOM.normal(0, 30, (50, 7)).astype(np.float32)
    assert energy(logits) == pytest.approx(-torch.tensor(logits).double().logsumexp(1).numpy(), rel=1e-12)


def logits_of(num, seed, shift=0.0):
    """Of pictures of four classes; `shift` moves them to where no class is."""
    random = np.random.default_rng(seed)
    truth = random.integers(4, size=num)
    return 8 * np.eye(4)[truth] + random.normal(size=(num, 4)) + shift


def test_the_distance_is_scikit_learns():
    logits = logits_of(400, 1)
    reference, answers = Reference.fit(logits), logits.argmax(1)
    means = np.stack([logits[answers == index].mean(0) for index in range(4)])
    common = EmpiricalCovariance(assume_centered=True).fit(logits - means[answers])
    new = logits_of(50, 2)
    expected = np.min([common.mahalanobis(new - mean) for mean in means], axis=0)
    assert distance(new, reference.means, reference.precision) == pytest.approx(expected, rel=1e-4)


def test_sure_of_what_no_class_looks_like():
    """Logits far above all: the energy takes them for the surest of all, and the sum does not."""
    reference = Reference.fit(logits_of(400, 1))
    new, strange = logits_of(300, 3), logits_of(300, 4, shift=10.0)
    assert auroc(energy(new), energy(strange)) < 0.01
    assert auroc(unlikeness(new, reference), unlikeness(strange, reference)) > 0.99
    weak = logits_of(300, 5) / 4
    assert auroc(unlikeness(new, reference), unlikeness(weak, reference)) > auroc(energy(new), energy(weak)) - 0.02


def test_a_reference_as_json_says_the_same():
    reference = Reference.fit(logits_of(400, 1))
    again, new = Reference.parse(json.loads(json.dumps(reference.to_json()))), logits_of(50, 2)
    assert unlikeness(new, again) == pytest.approx(unlikeness(new, reference), rel=1e-4, abs=1e-4)
    assert np.array_equal(unlikeness(new, None), energy(new))
    with pytest.raises(ValueError, match="4 classes for 3"):
        unlikeness(new[:, :3], again)


@pytest.mark.parametrize(
    "change",
    [{"means": [[1.0]]}, {"precision": [1.0]}, {"tail": [0, 1]}, {"centre": [float("nan"), 0]}, {"means": "x"}, {"means": []}],
)
def test_a_damaged_reference_is_refused(change):
    with pytest.raises((ValueError, TypeError, IndexError)):
        Reference.parse(Reference.fit(logits_of(400, 1)).to_json() | change)


def test_too_few_pictures_or_too_many_classes_have_no_reference():
    assert Reference.fit(logits_of(39, 0)) is None and Reference.fit(np.zeros((2000, 60))) is None
    assert Reference.fit(np.zeros((100, 4))) is None  # all alike


def test_auroc_is_the_share_of_pairs_in_order():
    assert auroc(KNOWN, UNKNOWN) == pytest.approx(mannwhitneyu(UNKNOWN, KNOWN).statistic / (700 * 400))
    assert auroc(KNOWN, KNOWN + 100) == 1 and auroc(KNOWN, KNOWN) == pytest.approx(0.5)


@pytest.mark.parametrize("tpr", [0.8, 0.95, 1.0])
def test_fpr_is_that_of_the_curve_of_scikit_learn(tpr):
    """Whose positive class is the known one here, as in the literature."""
    truth = np.repeat([1, 0], [len(KNOWN), len(UNKNOWN)])
    false, true, _ = roc_curve(truth, -np.concatenate([KNOWN, UNKNOWN]), drop_intermediate=False)
    assert fpr_at_tpr(KNOWN, UNKNOWN, tpr) == pytest.approx(false[true >= tpr - 1e-12].min())


@pytest.mark.parametrize("num", [99, 150, 1000])
def test_so_many_of_new_pictures_are_called_unknown_on_average(num):
    rates = []
    for seed in range(600):
        random = np.random.default_rng(seed)
        rates.append((random.normal(size=2000) > threshold(random.normal(size=num), 0.01)).mean())
    error = 3.5 * np.std(rates) / 600**0.5
    assert 0.01 - 1 / (num + 1) - error <= np.mean(rates) <= 0.01 + error


def test_too_few_pictures_have_no_threshold():
    assert threshold(KNOWN[:98], 0.01) is None and threshold(KNOWN[:99], 0.01) == KNOWN[:99].max()
    assert (num_needed(0.01), num_needed(0.05)) == (99, 19)
