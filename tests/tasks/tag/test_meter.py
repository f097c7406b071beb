"""Tagging's scores beside scikit-learn's, and by hand."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from resnets import tasks
from resnets.data.types import Batch
from resnets.tasks.tag.losses import criterion, positive_weights
from resnets.tasks.tag.meter import mean_precision

LABELS = ("cat", "dog", "owl")


def made(num=40, seed=0):
    random = np.random.default_rng(seed)
    targets = (random.random((num, 3)) < (0.5, 0.3, 0.1)).astype(np.float32)
    outputs = (2 * targets - 1 + random.normal(0, 1.5, (num, 3))).astype(np.float32)
    return outputs, targets


def batch(targets, positions):
    return Batch(torch.empty(len(targets), 0), torch.from_numpy(targets), torch.as_tensor(positions))


def test_the_scores_are_scikit_learns():
    outputs, targets = made()
    meter = tasks.get("tag").meter(LABELS, {})
    order = np.random.default_rng(1).permutation(len(outputs))
    for some in np.array_split(order, 3):
        meter.add(outputs[some], batch(targets[some], some))
    result, said = meter.result(len(outputs)), outputs > 0
    assert result["map"] == pytest.approx(average_precision_score(targets, outputs, average="macro"))
    assert result["auc"] == pytest.approx(roc_auc_score(targets, outputs, average="macro"))
    assert result["f1"] == pytest.approx(f1_score(targets, said, average="micro"))
    assert result["macro_f1"] == pytest.approx(f1_score(targets, said, average="macro"))
    assert result["exact"] == pytest.approx((said == (targets > 0)).all(1).mean())
    assert [row["support"] for row in result["per_class"]] == targets.sum(0).tolist()
    assert np.diag(result["cooccurrence"]).tolist() == targets.sum(0).tolist()


def test_a_label_that_no_picture_has_is_left_out_of_means():
    outputs, targets = made()
    targets[:, 2] = 0
    meter = tasks.get("tag").meter(LABELS, {})
    meter.add(outputs, batch(targets, np.arange(len(outputs))))
    result = meter.result(len(outputs))
    assert result["map"] == pytest.approx(average_precision_score(targets[:, :2], outputs[:, :2], average="macro"))
    assert result["per_class"][2]["ap"] is None


def test_training_counts_hits_and_errors():
    meter = tasks.get("tag").meter(LABELS, {}, quick=criterion(0.0, None))
    meter.learn(torch.tensor([[1.0, -1, 2], [-1, 3, -2]]), torch.tensor([[1.0, 1, 0], [0, 1, 0]]))
    assert meter.sums["hits_extra_missed"].tolist() == [2, 1, 1]
    assert meter.result(2) == {"f1": pytest.approx(4 / 6)}


def test_rare_labels_weigh_more_and_none_without_bounds():
    assert positive_weights(np.array([100, 50, 1, 0])).tolist() == [1, 2, 20, 1]
    outputs, targets = torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])
    plain, weighted = criterion(0.0, None), criterion(0.0, torch.tensor([3.0, 1.0]))
    assert weighted(outputs, targets)["loss"] == pytest.approx(2 * float(plain(outputs, targets)["loss"]))


def test_the_interval_is_by_groups():
    outputs, targets = made(24)
    groups = np.array([f"patient {n % 6}" for n in range(30)])
    positions = np.arange(24) + 6  # the first six could not be read
    meter = tasks.get("tag").meter(LABELS, {})
    meter.add(outputs, batch(targets, positions))
    result = meter.result(24, groups)
    low, high = result["map_interval"]
    assert result["num_groups"] == 6 and low < result["map"] < high
    found = []
    random = np.random.default_rng(5)
    for _ in range(200):
        at = np.concatenate([np.flatnonzero(groups[positions] == f"patient {n}") for n in random.integers(6, size=6)])
        known = targets[at].any(0) & ~targets[at].all(0)
        found.append(average_precision_score(targets[at][:, known], outputs[at][:, known], average="macro"))
    assert [low, high] == pytest.approx(np.quantile(found, [0.025, 0.975]).tolist(), abs=0.05)
    assert "by 6 groups" in tasks.get("tag").rows.told(result | {"split": "val", "bad_images": {}}, False)
    assert "map_interval" not in meter.result(24)


def test_the_figure_of_draws_is_scikit_learns():
    outputs, targets = made(30)
    outputs = outputs.round()  # many are equal
    figure, random = mean_precision(outputs, targets > 0.5), np.random.default_rng(0)
    for _ in range(20):
        at = random.integers(30, size=random.integers(1, 40))
        known = targets[at].any(0) & ~targets[at].all(0)
        expected = (
            average_precision_score(targets[at][:, known], outputs[at][:, known], average="macro") if known.any() else np.nan
        )
        assert figure(at) == pytest.approx(expected, nan_ok=True)
