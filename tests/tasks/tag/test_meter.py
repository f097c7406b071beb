"""Tagging's scores beside scikit-learn's, and by hand."""

import numpy as np
import pytest
import torch
from scipy.stats import bootstrap
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from resnets import tasks
from resnets.data.types import Batch
from resnets.errors import InputError
from resnets.tasks.tag.losses import criterion
from resnets.tasks.tag.meter import evaluation
from resnets.tasks.tag.scores import Judgement

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


def test_a_label_that_all_pictures_have_has_no_score():
    """Nor has one that none has; and where there is no other the best epoch cannot be chosen."""
    outputs, targets = made()
    targets[:, 1], targets[:, 2] = 1, 0
    meter = tasks.get("tag").meter(LABELS, {})
    meter.add(outputs, batch(targets, np.arange(len(outputs))))
    result = meter.result(len(outputs))
    scores = ("ap", "auc", "precision", "recall", "f1", "ap_interval", "f1_interval")
    assert [[row[name] for name in scores] == [None] * len(scores) for row in result["per_class"]] == [False, True, True]
    assert result["map"] == result["per_class"][0]["ap"]
    table = tasks.get("tag").rows.told(result | {"split": "val", "bad_images": {}}, True).splitlines()
    assert table[4].split() == ["dog", *"-----", "0.5000", "40"] and table[2].split()[0] == "label"
    quick = tasks.get("tag").meter(LABELS, {}, quick=criterion(0.0, None))
    quick.add(torch.from_numpy(outputs[:, :]), batch(np.ones_like(targets), np.arange(len(outputs))))
    with pytest.raises(InputError, match="every label is on all or on none of the 40 validation pictures"):
        quick.result(len(outputs))


def test_pictures_that_count_several_times_are_scikit_learns_with_weights():
    outputs, targets = made(num=50, seed=2)
    outputs = outputs.round(1)  # with equal ones
    times = np.random.default_rng(0).integers(0, 4, 50)
    scores = Judgement(outputs, outputs > 0, targets > 0).scores(times)
    for i in range(3):
        pair, weights = (targets[:, i], outputs[:, i]), {"sample_weight": times}
        assert scores.ap[i] == pytest.approx(average_precision_score(*pair, **weights))
        assert scores.auc[i] == pytest.approx(roc_auc_score(*pair, **weights))
        assert scores.f1[i] == pytest.approx(f1_score(targets[:, i], outputs[:, i] > 0, **weights))
    assert scores.exact == pytest.approx(np.average(((outputs > 0) == (targets > 0)).all(1), weights=times))


def test_intervals_are_scipys_bootstrap_and_by_groups_wider():
    outputs, targets = made(num=120, seed=5)

    def precision(positions):
        return average_precision_score(targets[positions.astype(int)], outputs[positions.astype(int)])

    low, high = evaluation(outputs, targets, LABELS)["map_interval"]
    theirs = bootstrap((np.arange(120),), precision, vectorized=False, n_resamples=300, method="percentile", random_state=1)
    assert (low, high) == pytest.approx(theirs.confidence_interval, abs=0.02)
    whole = evaluation(np.repeat(outputs, 4, 0), np.repeat(targets, 4, 0), LABELS, groups=np.repeat(np.arange(120), 4))
    assert whole["map_interval"] == pytest.approx([low, high], abs=0.02)  # copies say nothing new
    alone = evaluation(np.repeat(outputs, 4, 0), np.repeat(targets, 4, 0), LABELS)["map_interval"]
    assert alone[1] - alone[0] < 0.6 * (high - low)


def test_groups_are_found_by_the_position_in_the_split():
    outputs, targets = made()
    meter, order = tasks.get("tag").meter(LABELS, {}), np.arange(40)[::-1].copy()
    meter.add(outputs[order], batch(targets[order], order + 2))  # the first two could not be read
    groups = np.array(["x", "y", *np.repeat(np.arange(10), 4).astype(str)])
    assert meter.result(40, groups) == evaluation(outputs, targets, LABELS, groups=groups[2:]) | {"num_groups": 10}
