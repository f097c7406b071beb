"""Outputs to answers: units, CORN's probabilities, and prediction intervals that hold what they promise."""

import numpy as np
import pytest

from resnets.errors import InputError
from resnets.tasks.grade import answers

GRADES = ("1", "2", "3", "4")


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_numbers_come_back_in_their_own_units(scale):
    values = np.array([0.0, 3.0, 250.0])
    on_scale = answers.scaled(values, scale)
    config = {"loss": "huber", "mean": float(on_scale.mean()), "std": float(on_scale.std()), "scale": scale}
    outputs = (on_scale - on_scale.mean()) / on_scale.std()
    found = answers.of_outputs(outputs[:, None].astype(np.float32), ("count",), config)
    assert found[:, 0] == pytest.approx(values, abs=1e-4) and found[:, 1] == pytest.approx(outputs)


def test_an_untrained_networks_answer_is_finite():
    config = {"loss": "huber", "mean": 0.0, "std": 1.0, "scale": "log"}
    assert np.isfinite(answers.of_outputs(np.array([[1e6]]), ("count",), config)).all()


def test_probabilities_of_grades_by_hand():
    """Above grade 1 with 0.8; if so, above 2 with 0.5; if so, above 3 with 0.25."""
    logits = np.log([[9.9, 0.8 / 0.2, 1.0, 0.25 / 0.75]])
    chances = answers.probabilities(logits)
    assert chances == pytest.approx(np.array([[0.2, 0.4, 0.3, 0.1]]))
    assert answers.ranks(chances).tolist() == [1], "above 1 with 0.8, above 2 with 0.4: the second grade"
    (answer,) = answers.of_outputs(logits, GRADES, {"loss": "corn"})
    assert answer[0] == pytest.approx(0.2 * 1 + 0.4 * 2 + 0.3 * 3 + 0.1 * 4)
    assert answers.probabilities(np.array([0.0, -1e4, 0.0, 1e4])) == pytest.approx(np.array([1.0, 0, 0, 0]))


def test_the_half_width_is_the_conformal_quantile():
    errors = np.arange(1.0, 20.0)  # 19: the 18th smallest, of 20 positions that a new one may have
    assert answers.half_width(errors, 0.9) == 18
    assert answers.half_width(errors[:9], 0.9) == 9 and answers.half_width(errors[:8], 0.9) is None
    assert (answers.least_validation(0.9), answers.least_validation(0.95)) == (9, 19)


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_intervals_hold_the_share_that_was_asked_for(scale):
    """Over 400 draws of 30 validation pictures; split conformal prediction promises 0.9 to 0.9 + 1 / 31."""
    random, held = np.random.default_rng(0), []
    for _ in range(400):
        truth = random.gamma(3, 10, 130)
        values = truth * np.exp(random.normal(0, 0.3, 130))
        errors = np.abs(answers.scaled(values, scale) - answers.scaled(truth, scale))
        decision = {"coverage": 0.9, "half_width": answers.half_width(errors[:30], 0.9), "scale": scale}
        low, high = answers.intervals(values[30:], ("count",), decision)
        held.append(((low <= truth[30:]) & (truth[30:] <= high)).mean())
    assert 0.9 - 0.01 < np.mean(held) < 0.9 + 1 / 31 + 0.01


def test_intervals_stay_where_truths_can_be():
    decision = {"coverage": 0.9, "half_width": 2.0, "scale": "linear"}
    low, high = answers.intervals(np.array([1.5, 3.0]), GRADES, decision)
    assert low.tolist() == [1, 1] and high.tolist() == [3.5, 4]
    low, _ = answers.intervals(np.array([0.5, 0.0]), ("count",), decision | {"scale": "log"})
    assert low.tolist() == [0, 0]
    assert answers.intervals(np.array([1.0]), GRADES, {}) is None


def test_grades_of_a_damaged_header_that_are_no_numbers():
    with pytest.raises(InputError, match="header is damaged: its grades"):
        answers.of_outputs(np.zeros((2, 2)), ("mild", "none"), {"loss": "corn"})
    with pytest.raises(InputError, match="header is damaged: std is"):
        answers.of_outputs(np.zeros((2, 1)), ("age",), {"std": "x"})
