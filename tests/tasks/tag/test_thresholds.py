"""The probability from which a label is named: chosen on validation, and kept."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from resnets import tasks
from resnets.errors import InputError
from resnets.tasks.tag import thresholds
from resnets.verbs.export import export
from resnets.verbs.predict import predict
from resnets.verbs.train import train
from tests.tasks.contract.made import NARROW, tagged
from tests.tasks.tag.test_meter import LABELS, batch, made


def logit(probability):
    return np.log(probability / (1 - probability))


def test_a_threshold_has_the_best_f1_of_all():
    outputs, targets = made(num=60, seed=3)
    found = thresholds.best_f1(outputs[:, 0], targets[:, 0] > 0)
    f1 = f1_score(targets[:, 0], thresholds.probabilities(outputs[:, 0]) >= found)
    assert f1 == max(f1_score(targets[:, 0], outputs[:, 0] >= cut) for cut in outputs[:, 0])
    assert f1 > f1_score(targets[:, 0], outputs[:, 0] >= 0)


def test_it_lies_in_the_middle_of_what_it_parts():
    outputs = np.array([3.0, 2.0, 1.0, -2.0, -3.0], np.float32)
    assert logit(thresholds.best_f1(outputs, np.array([1, 1, 1, 0, 0], bool))) == pytest.approx(-0.5)
    # Of equals the one nearest 0.5: at 2.5 and at 0.5 F1 is 0.8.
    assert logit(thresholds.best_f1(np.array([3.0, 2, 1, 0]), np.array([1, 1, 0, 1], bool))) == pytest.approx(0, abs=1e-9)


def test_a_label_with_few_positives_keeps_a_half_and_is_named():
    outputs, targets = made(num=40)
    targets[:, 2] = 0
    targets[:4, 2] = 1
    decided = thresholds.decide(outputs, targets, LABELS)
    assert decided["thresholds"].keys() == {"cat", "dog"} and decided["unsupported"] == {"owl": 4}
    assert thresholds.of_labels(decided, LABELS)[2] == 0.5
    targets[:, 2] = 1
    assert thresholds.decide(outputs, targets, LABELS)["unsupported"] == {"owl": 40}


@pytest.mark.parametrize("kept", [{"cat": 2}, {"cat": "0.5"}, {"cat": None}, {"cat": float("nan")}, [0.1, 0.2, 0.3], 3])
def test_a_file_with_other_thresholds_is_refused(kept):
    with pytest.raises(InputError, match="thresholds that are no probabilities"):
        thresholds.of_labels({"thresholds": kept}, LABELS)


def test_the_evaluation_is_at_the_thresholds():
    outputs, targets = made(num=60, seed=3)
    task = tasks.get("tag")
    meter = task.meter(LABELS, {})
    meter.add(outputs, batch(targets, np.arange(60)))
    before = meter.result(60)
    meter.decision = task.decide(meter, {"thresholds": "f1"})
    after = meter.result(60)
    assert task.decide(meter, {"thresholds": "none"}) == {}
    said = thresholds.probabilities(outputs) >= thresholds.of_labels(meter.decision, LABELS)
    assert (
        after["macro_f1"] == pytest.approx(f1_score(targets, said, average="macro")) and after["macro_f1"] > before["macro_f1"]
    )
    assert (before["thresholds"], after["thresholds"]) == ("0.5", "validation") and before["map"] == after["map"]
    told = [task.rows.told(result | {"split": "test", "bad_images": {}}, True) for result in (before, after)]
    assert "at a probability of 0.5: F1" in told[0] and "at the thresholds chosen on validation: F1" in told[1]
    rows = [row for _, row in meter.records()]
    assert [row["answer"] for row in rows] == ["|".join(np.array(LABELS)[each]) for each in said]
    own = task.rows.told(after | {"split": "val", "bad_images": {}, "unsupported": {"owl": 3}}, True)
    assert "chosen on validation, which is this split" in own and "support no threshold: owl (3)" in own


def test_a_validation_split_without_an_example_ends_the_run_beforehand(tmp_path):
    """Where every label is on all or none of its pictures: nothing can be chosen by it."""
    path = tagged(tmp_path, train=6, val=1)
    with pytest.raises(InputError, match="every label is on all or on none of the 1 validation pictures, so that mAP"):
        train(str(path), task="tag", out=tmp_path / "run", **NARROW)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_thresholds_travel_with_a_run_and_its_exported_file(tmp_path):
    data = str(tagged(tmp_path, train=6, val=24))
    run = train(data, task="tag", out=tmp_path / "run", **NARROW)
    kept = run.model.decision["thresholds"]
    assert kept.keys() == {"red", "green"} and run.result["thresholds"] == "validation"
    out = tmp_path / "model.onnx"
    export(run.path, format="onnx", data=data, out=out)
    pictures = sorted(str(picture) for picture in (tmp_path / "val").glob("*.png"))
    rows = [[entry["label"] for entry in row["labels"]] for row in predict(out, pictures, device="cpu")]
    assert rows == [[entry["label"] for entry in row["labels"]] for row in run.model.predict(pictures)]
    everything = list(predict(out, pictures, device="cpu", threshold=0.0))
    assert rows == [
        [entry["label"] for entry in row["labels"] if entry["probability"] >= kept[entry["label"]]] for row in everything
    ]
    assert any(len(row) < 2 for row in rows)
