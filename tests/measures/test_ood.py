"""The score of being unlike the training data, and how well it tells, against torch and scikit-learn."""

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_curve

from resnets.measures.ood import auroc, energy, fpr_at_tpr, num_needed, threshold

RANDOM = np.random.default_rng(0)
KNOWN, UNKNOWN = RANDOM.normal(0, 1, 700), np.round(RANDOM.normal(1.2, 1.5, 400), 1)


def test_energy_is_that_of_torch():
    logits = RANDOM.normal(0, 30, (50, 7)).astype(np.float32)
    assert energy(logits) == pytest.approx(-torch.tensor(logits).double().logsumexp(1).numpy(), rel=1e-12)


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
