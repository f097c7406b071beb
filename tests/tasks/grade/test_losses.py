"""The losses of numbers beside those of NumPy, and CORN's beside scikit-learn's, question by question."""

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from resnets.tasks.grade import losses


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_errors_are_in_standard_deviations(scale):
    targets, outputs = np.array([3.0, 40.0, 500.0]), np.array([0.2, -0.3, 4.0])
    on_scale = np.log1p(targets) if scale == "log" else targets
    errors = outputs - (on_scale - 2) / 5
    huber = np.where(abs(errors) < 1, errors**2 / 2, abs(errors) - 0.5).mean()
    expected = {"l1": abs(errors).mean(), "mse": (errors**2).mean(), "huber": huber}
    for name, value in expected.items():
        criterion = losses.of_numbers(name, 2.0, 5.0, scale)
        found = criterion(torch.tensor(outputs)[:, None].float(), torch.tensor(targets).float())
        assert float(found["loss"]) == pytest.approx(value, rel=1e-5)


def test_corn_asks_each_question_of_those_that_it_concerns():
    random = np.random.default_rng(0)
    outputs, targets = random.normal(size=(20, 4)), random.integers(0, 4, 20)
    total = num = 0
    for step in range(3):
        asked = targets >= step
        chances = 1 / (1 + np.exp(-outputs[asked, step + 1]))  # the first output is not asked
        total += log_loss(targets[asked] > step, chances, labels=[False, True], normalize=False)
        num += asked.sum()
    found = losses.corn(torch.tensor(outputs), torch.tensor(targets))["loss"]
    assert float(found) == pytest.approx(total / num, rel=1e-5)
