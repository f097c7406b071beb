"""Calibration and temperature, against a direct search of the loss and by what must hold."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from resnets.measures.calibration import HIGHEST, LEAST_IMAGES, LOWEST, calibration, fit_temperature


def drawn(num, temperature, seed=0, num_classes=5):
    """Logits of a network that is right as often as softmax(logits / temperature) says, and the truth."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2.5, (num, num_classes)) * temperature
    weights = np.exp(logits / temperature)
    shares = np.cumsum(weights / weights.sum(1, keepdims=True), axis=1)
    return logits, (random.random((num, 1)) > shares).sum(1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_true_temperature_is_found(temperature):
    logits, truth = drawn(20_000, temperature)
    assert fit_temperature(logits, truth) == pytest.approx(temperature, rel=0.03)


def test_it_is_the_least_cross_entropy_of_torch():
    logits, truth = drawn(300, 2.0)
    found = fit_temperature(logits, truth)
    steps = np.exp(np.linspace(np.log(LOWEST), np.log(HIGHEST), 2001))
    losses = [float(F.cross_entropy(torch.tensor(logits / step), torch.tensor(truth))) for step in steps]
    assert found == pytest.approx(steps[int(np.argmin(losses))], rel=0.005)


def test_it_makes_confidence_agree_with_accuracy():
    logits, truth = drawn(20_000, 3.0)

    def ece(temperature):
        p = torch.tensor(logits / temperature).softmax(1).numpy()
        return calibration(p.max(1), p.argmax(1) == truth).ece

    assert ece(1.0) > 0.15 and ece(fit_temperature(logits, truth)) < 0.015


def test_it_stays_bounded():
    logits, truth = drawn(LEAST_IMAGES, 3.0)
    right = logits.argmax(1)
    assert fit_temperature(logits[1:], truth[1:]) == 1.0, "too few pictures"
    assert fit_temperature(logits / 50, right) == 1.0, "all right: nothing shows how sure is too sure"
    assert fit_temperature(logits, logits.argmin(1)) == pytest.approx(HIGHEST, rel=1e-3), "all wrong"
    assert fit_temperature(np.zeros_like(logits), truth) >= LOWEST
    huge = fit_temperature(logits * 1e30, truth)
    assert LOWEST <= huge <= HIGHEST * 1.001
