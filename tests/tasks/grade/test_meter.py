"""Grading's figures beside scikit-learn's and SciPy's, and by hand."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.metrics import (
    accuracy_score,
    cohen_kappa_score,
    confusion_matrix,
    mean_absolute_error,
    median_absolute_error,
    r2_score,
    root_mean_squared_error,
)

from resnets import tasks
from resnets.data.types import Batch
from resnets.tasks.grade import answers
from resnets.tasks.grade.losses import corn, of_numbers

NUMBER = {"loss": "huber", "target": "age", "scale": "linear", "mean": 40.0, "std": 12.0}
GRADES = ("1", "2", "3", "4")
TASK = tasks.get("grade")


def filled(labels, config, outputs, targets, quick=None):
    """The meter of outputs (N, M), which come in another order and one of them twice."""
    meter = TASK.meter(labels, config, quick=quick)
    found = answers.of_outputs(outputs, labels, config)
    order = np.random.default_rng(1).permutation(len(found))
    for some in [*np.array_split(order, 3), order[:1]]:
        batch = Batch(torch.empty(len(some), 0), torch.as_tensor(targets[some]), torch.as_tensor(some))
        meter.add(found[some], batch)
    return meter


def numbers(num=60):
    random = np.random.default_rng(0)
    truth = random.normal(40, 12, num).astype(np.float32)
    return (truth[:, None] - 40) / 12 + random.normal(0.1, 0.4, (num, 1)), truth


def grades(num=80):
    random = np.random.default_rng(2)
    ranks = random.integers(0, 4, num)
    return (ranks[:, None] - np.arange(4) + 0.5) * 2 + random.normal(0, 1.5, (num, 4)), ranks


def test_figures_of_numbers_are_scikit_learns():
    outputs, truth = numbers()
    meter = filled(("age",), NUMBER, outputs, truth)
    result, values, true = meter.result(len(truth)), outputs[:, 0] * 12 + 40, truth.astype(float)
    assert result["num_images"] == 60 and result["labels"] == ["age"]
    assert result["r2"] == pytest.approx(r2_score(true, values))
    assert result["mae"] == pytest.approx(mean_absolute_error(true, values))
    assert result["rmse"] == pytest.approx(root_mean_squared_error(true, values))
    assert result["median_error"] == pytest.approx(median_absolute_error(true, values))
    assert result["spearman"] == pytest.approx(spearmanr(true, values).statistic)
    errors = values - true
    assert result["bias"] == pytest.approx(errors.mean())
    assert np.diff(result["limits_of_agreement"]) == pytest.approx(2 * 1.96 * errors.std(ddof=1), rel=1e-4)
    assert result["mae_of_median"] == pytest.approx(mean_absolute_error(true, np.full(60, np.median(true))))
    assert result["mae_of_mean"] == pytest.approx(mean_absolute_error(true, np.full(60, 40.0)))
    for name in ("mae", "r2"):
        low, high = result[f"{name}_interval"]
        assert low < result[name] < high
    assert result["coverage"] is None and "kappa" not in result


def test_figures_of_grades_are_scikit_learns():
    outputs, ranks = grades()
    meter = filled(GRADES, {"loss": "corn"}, outputs, ranks)
    result, said = meter.result(len(ranks)), meter.said
    assert result["accuracy"] == pytest.approx(accuracy_score(ranks, said)) and 0.3 < result["accuracy"] < 1
    assert result["kappa"] == pytest.approx(cohen_kappa_score(ranks, said, weights="quadratic"))
    assert result["mae_of_grades"] == pytest.approx(mean_absolute_error(ranks, said))
    assert result["within_one"] == pytest.approx((abs(ranks - said) <= 1).mean())
    assert result["confusion"] == confusion_matrix(ranks, said).tolist()
    assert result["r2"] == pytest.approx(r2_score(ranks + 1, meter.values))
    assert [row["support"] for row in result["per_class"]] == np.bincount(ranks).tolist()
    assert result["per_class"][0]["accuracy"] == pytest.approx((said[ranks == 0] == 0).mean())
    assert [row["label"] for row in result["per_class"]] == list(GRADES)


def test_validation_measures_loss_and_score():
    outputs, truth = numbers()
    meter = filled(("age",), NUMBER, outputs, truth, quick=of_numbers("mse", 40.0, 12.0, "linear"))
    assert meter.result(60) == {"r2": pytest.approx(r2_score(truth, outputs[:, 0] * 12 + 40))}
    twice = outputs[np.random.default_rng(1).permutation(60)[0], 0], truth[np.random.default_rng(1).permutation(60)[0]]
    errors = ((outputs[:, 0] - (truth - 40) / 12) ** 2).sum() + (twice[0] - (twice[1] - 40) / 12) ** 2
    assert float(meter.sums["loss"]) == pytest.approx(errors, rel=1e-4)


@pytest.mark.parametrize("ordinal", [False, True])
def test_training_adds_up_to_the_same_score(ordinal):
    outputs, truth = grades() if ordinal else numbers()
    labels, config = (GRADES, {"loss": "corn"}) if ordinal else (("age",), NUMBER)
    meter = TASK.meter(labels, config, quick=corn)
    for some in np.array_split(np.arange(len(truth)), 4):
        meter.learn(torch.tensor(outputs[some]), torch.tensor(truth[some]))
    values = answers.of_outputs(outputs, labels, config)[:, 0]
    assert meter.result(len(truth))["r2"] == pytest.approx(r2_score(truth + ordinal, values), abs=1e-4)


def test_intervals_are_by_groups_where_there_are_groups():
    """Sixty pictures of six patients, who differ: as much as six say, not sixty."""
    random = np.random.default_rng(0)
    patients = np.repeat(np.arange(6), 10)
    truth = random.normal(40, 12, 60).astype(np.float32)
    errors = (random.normal(0, 0.1, 60) + 0.5 * (patients - 2)) * 1.0
    meter = filled(("age",), NUMBER, ((truth - 40) / 12 + errors)[:, None], truth)
    alone, grouped = meter.result(60), meter.result(60, patients.astype(str))
    assert np.diff(grouped["mae_interval"]) > 1.5 * np.diff(alone["mae_interval"])


def test_coverage_is_told_and_every_answer_is_on_record():
    outputs, truth = numbers()
    meter = filled(("age",), NUMBER, outputs, truth)
    decision = TASK.decide(meter, {"interval": None})
    assert decision["coverage"] == 0.9 and decision["num_images"] == 60 and decision["scale"] == "linear"
    meter.decision = decision
    result, rows = meter.result(60), [row for _, row in meter.records()]
    inside = [row["low"] <= row["truth"] <= row["high"] for row in rows]
    assert result["coverage"] == pytest.approx(np.mean(inside)) and 0.9 <= result["coverage"] <= 0.95
    assert result["mean_width"] == pytest.approx(2 * decision["half_width"])
    assert [row["truth"] for row in rows] == pytest.approx(truth.tolist())
    assert TASK.decide(meter, {"interval": 0.5})["half_width"] < decision["half_width"]


def test_records_of_grades_have_every_probability():
    outputs, ranks = grades()
    meter = filled(GRADES, {"loss": "corn"}, outputs, ranks)
    positions, rows = zip(*meter.records(), strict=True)
    assert list(positions) == list(range(80)) and rows[0].keys() == {
        "truth", "answer", "value", "p_1", "p_2", "p_3", "p_4", "low", "high",
    }  # fmt: skip
    assert sum(rows[3][f"p_{grade}"] for grade in GRADES) == pytest.approx(1) and rows[3]["low"] is None
    assert [row["truth"] for row in rows] == [GRADES[rank] for rank in ranks]


def test_what_has_no_value_is_none():
    outputs, _ = numbers(1)
    result = filled(("age",), NUMBER, outputs, np.array([40.0], np.float32)).result(1)
    assert [result[name] for name in ("r2", "r2_interval", "spearman", "limits_of_agreement")] == [None] * 4
    alike = filled(GRADES, {"loss": "corn"}, grades()[0], np.zeros(80, np.int64)).result(80)
    assert alike["per_class"][3] == {"label": "4", "accuracy": None, "within_one": None, "support": 0}
