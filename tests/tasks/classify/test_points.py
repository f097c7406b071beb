"""Operating points: what is chosen on validation, how answers follow it, and what an evaluation says of it."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import binomtest

import resnets
from resnets.engine.values import Question
from resnets.errors import InputError
from resnets.measures.curves import predictive
from resnets.tasks import get
from resnets.tasks.classify import confidence, points
from resnets.tasks.classify.settings import ClassifySettings
from resnets.verbs.evaluate import evaluate
from resnets.verbs.train import train
from tests.verbs.train.made import TINY, arrays, pictures

LABELS = ("healthy", "ill")


def sample(num=400, share=0.3, seed=0):
    """Logits of two classes, and the truth."""
    random = np.random.default_rng(seed)
    truth = (random.random(num) < share).astype(np.int64)
    score = random.normal(size=num) + 1.5 * truth
    return np.stack([np.zeros(num), score], 1), truth


# --- explaining ---


def test_an_explanation_is_of_what_is_answered():
    """By the operating point, with the probability after the temperature."""
    decision = {"temperature": 2.0, "positive": LABELS[1], "operating_point": {"threshold": 0.2}}
    header = SimpleNamespace(labels=LABELS, decision=decision)
    output = np.zeros(len(LABELS), np.float32)
    output[0] = 1.0
    (found,) = get("classify").explained(output, header, Question())
    expected = float(points.probability(output[None] / 2, 1)[0])
    assert expected > 0.2 and (found.label, found.chance(output)) == (1, pytest.approx(expected))
    assert found.name == f"{LABELS[1]} {expected:.2f}"


# --- choosing ---


@pytest.mark.parametrize(
    ("rule", "wanted"), [("sensitivity", 0.95), ("specificity", 0.9), ("sensitivity", 0.5), ("specificity", 0.99)]
)
def test_a_share_is_reached_on_validation_and_hardly_more(rule, wanted):
    logits, truth = sample()
    found = points.decide(logits, truth, LABELS, {rule: wanted})
    assert json.loads(json.dumps(found)) == found and found["positive"] == "ill"
    kept = found["operating_point"]
    assert (kept["rule"], kept["wanted"], kept["prevalence"]) == (rule, wanted, None)
    num = {"sensitivity": truth.sum(), "specificity": (1 - truth).sum()}[rule]
    assert wanted <= kept["validation"][rule] <= wanted + 2 / num + 1e-9
    called = logits[:, 1] - logits[:, 0] >= np.log(kept["threshold"] / (1 - kept["threshold"]))
    by_hand = {"sensitivity": called[truth == 1].mean(), "specificity": (~called)[truth == 0].mean()}
    assert {name: kept["validation"][name] for name in by_hand} == pytest.approx(by_hand)


def test_the_least_cost_depends_on_the_prevalence():
    logits, truth = sample()
    asked = [{"cost": "1:10"}, {"cost": "1:1"}, {"cost": "1:10", "prevalence": 0.001}]
    low, middle, high = (points.decide(logits, truth, LABELS, each)["operating_point"]["threshold"] for each in asked)
    assert low < middle < high, "a miss that is dear makes more positive, a rare one fewer"


def test_one_class_of_several_against_the_rest():
    logits = np.random.default_rng(0).normal(size=(300, 3))
    truth = np.random.default_rng(1).integers(3, size=300)
    logits[np.arange(300), truth] += 1
    found = points.decide(logits, truth, "abc", {"positive": "a", "sensitivity": 0.9})
    result = points.result(logits, truth, "abc", found)
    assert result["positive"] == "a" and result["num_positive"] == (truth == 0).sum() and result["sensitivity"] >= 0.9
    for row, scores in zip(points.said(logits, "abc", found), logits, strict=True):
        assert row["positive"] == (row["answer"] == "a")
        assert row["positive"] or row["answer"] == "bc"[scores[1:].argmax()]
    assert points.decide(logits, truth, "abc", {"positive": "b"}) == {"positive": "b"}
    assert points.result(logits, truth, "abc", {"positive": "b"}).keys() >= {"auc", "average_precision"}
    assert points.result(logits, truth, "abc", {}) == {} == points.decide(logits, truth, "abc", {})


@pytest.mark.parametrize(
    ("asked", "counts", "said"),
    [
        ({"sensitivity": 0.99}, (500, 12), "^sensitivity=99%: 12 positive .*'?ill.* takes 99 at least; .*at most 92.3%$"),
        ({"specificity": 0.95}, (18, 500), "^specificity=95%: 18 negative .* takes 19 at least; .*at most 94.7%"),
        ({"sensitivity": 0.5}, (9, 0), "0 positive ones .* takes 1 at least"),
        ({"cost": "1:2"}, (9, 0), "^cost: nothing positive in the validation split"),
        ({"positive": "sick", "cost": "1:2"}, (9, 9), "^positive='sick': there is no such class; the data has healthy, ill$"),
    ],
)
def test_what_validation_does_not_support_is_refused(asked, counts, said):
    with pytest.raises(InputError, match=said):
        points.check(asked, LABELS, np.array(counts))
    truth = np.repeat([0, 1], counts)
    with pytest.raises(InputError, match=said):
        points.decide(np.zeros((len(truth), 2)), truth, LABELS, asked)


def test_of_several_classes_one_is_to_be_named():
    with pytest.raises(InputError, match=r"^sensitivity: which of 3 classes is to be found.*by positive, one of a, b, c$"):
        points.check({"sensitivity": 0.9}, "abc", np.full(3, 50))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"sensitivity": 0.9, "cost": "1:2"}, "^sensitivity and cost exclude each other"),
        ({"prevalence": 0.1}, "^prevalence is for an operating point; give"),
        ({"cost": "5"}, "^cost='5': give .* such as 1:10$"),
        ({"cost": "0:1"}, "^cost='0:1'"),
        ({"cost": "1:inf"}, "^cost='1:inf'"),
        ({"cost": "1:2:3"}, "^cost='1:2:3'"),
    ],
)
def test_settings_that_say_nothing_are_refused(asked, said):
    with pytest.raises(InputError, match=said):
        ClassifySettings(**asked)


def test_a_damaged_point_is_refused():
    for damaged in (
        {"positive": "gone"},
        {"positive": "ill", "operating_point": {}},
        {"positive": "ill", "operating_point": 3},
    ):
        with pytest.raises(InputError, match="damaged"):
            points.said(np.zeros((1, 2)), LABELS, damaged)


# --- judging ---


def test_shares_and_intervals_by_hand():
    logits, truth = sample()
    decision = points.decide(logits, truth, LABELS, {"sensitivity": 0.9, "prevalence": 0.02})
    other, there = sample(num=150, seed=5)
    found = points.result(other, there, LABELS, decision)
    called = np.array([row["positive"] for row in points.said(other, LABELS, decision)])
    true, false = there == 1, there == 0
    cells = {"sensitivity": (called & true, true), "specificity": (~called & false, false), "ppv": (called & true, called)}
    cells["npv"] = (~called & false, ~called)
    for name, (hits, among) in cells.items():
        exact = binomtest(int(hits.sum()), int(among.sum())).proportion_ci(0.95, "exact")
        assert found[name] == pytest.approx(hits.sum() / among.sum())
        assert found[f"{name}_interval"] == pytest.approx([exact.low, exact.high], abs=1e-9)
    assert found["ppv_at_prevalence"] == pytest.approx(predictive(found["sensitivity"], found["specificity"], 0.02)[0])
    low, high = found["ppv_at_prevalence_interval"]
    assert low < found["ppv_at_prevalence"] < high < found["ppv"]
    assert found["operating_point"]["reached"] is True and json.loads(json.dumps(found)) == found


def test_the_interval_at_a_prevalence_holds_the_truth():
    """Of a test of sensitivity 0.9 and specificity 0.8, at a prevalence of 5 %; it is wider than it need be, by design."""
    truth_there, held = predictive(0.9, 0.8, 0.05)[0], 0
    random = np.random.default_rng(0)
    for _ in range(200):
        positive = np.arange(120) < 40
        called = np.where(positive, random.random(120) < 0.9, random.random(120) < 0.2)
        low, high = points._at_prevalence(called, positive, None, 0.05)["ppv_at_prevalence_interval"]
        held += low <= truth_there <= high
    assert held >= 190


def test_what_is_not_reached_is_said():
    logits, truth = sample()
    decision = points.decide(logits, truth, LABELS, {"sensitivity": 0.95})
    worse = logits - np.array([0, 2.5]) * (truth == 1)[:, None]
    found = points.result(worse, truth, LABELS, decision)
    assert found["operating_point"]["reached"] is False
    lines = points.told(found | {"num_images": 400, "split": "test"})
    assert lines[-1] == "  sensitivity is below the 95% that was asked for, and so is its whole interval"
    assert lines[0].startswith(f"ill against the rest ({truth.sum()} of 400): AUC ")
    fine = points.told(points.result(logits, truth, LABELS, decision) | {"num_images": 400, "split": "val"})
    assert fine[-1].endswith("only a test split can judge it") and not any("below" in line for line in fine)


def test_costs_are_told_beside_those_of_calling_all_alike():
    logits, truth = sample()
    decision = points.decide(logits, truth, LABELS, {"cost": "1:10", "prevalence": 0.05})
    found = points.result(logits, truth, LABELS, decision)
    assert found["cost_all_positive"] == pytest.approx(0.95) and found["cost_all_negative"] == pytest.approx(0.5)
    missed, alarms = 1 - found["sensitivity"], 1 - found["specificity"]
    assert found["expected_cost"] == pytest.approx(0.05 * missed * 10 + 0.95 * alarms) and found["expected_cost"] < 0.5


def test_a_split_without_positive_pictures_has_no_shares_of_them():
    logits, truth = sample()
    decision = points.decide(logits, truth, LABELS, {"sensitivity": 0.9, "prevalence": 0.1})
    found = points.result(logits[truth == 0], truth[truth == 0], LABELS, decision)
    assert found["auc"] is found["sensitivity"] is found["ppv_at_prevalence"] is found["operating_point"]["reached"] is None
    assert found["specificity"] > 0.5 and points.told(found | {"num_images": 9, "split": "test"})


def test_intervals_are_by_groups():
    logits, truth = (np.repeat(part, 5, axis=0) for part in sample(80))
    groups = np.repeat(np.arange(80), 5)
    decision = points.decide(logits, truth, LABELS, {"sensitivity": 0.8})
    wide, careless = (points.result(logits, truth, LABELS, decision, own) for own in (groups, None))
    for name in ("auc", "average_precision", "sensitivity", "specificity", "ppv", "npv"):
        assert wide[name] == careless[name]
        assert np.diff(wide[f"{name}_interval"]) > 1.6 * np.diff(careless[f"{name}_interval"]), name


# --- a run ---


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("points")
    data = arrays(folder / "d.npz", classes=2, train=24, val=16, test=14)
    return train(data, out=folder / "run", sensitivity=0.75, prevalence="20%", **TINY), data


def test_a_run_keeps_its_point_and_answers_by_it(run):
    run, data = run
    kept = resnets.load(run.path).decision
    assert (
        kept["positive"] == "11" and kept["operating_point"]["wanted"] == 0.75 and kept["operating_point"]["prevalence"] == 0.2
    )
    assert kept["operating_point"]["validation"]["num_positive"] == 8
    assert run.result["positive"] == "11" and 0 <= run.result["sensitivity"] <= 1 and run.result["auc_interval"]
    assert {"roc.png", "precision_recall.png"} <= {path.name for path in (run.path / "plots").iterdir()}
    again = evaluate(run.path, data)
    assert {key: again[key] for key in run.result if key in again and key != "selected"} == {
        key: value for key, value in run.result.items() if key != "selected"
    }
    with (run.path / "predictions.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    answers = ["11" if float(row["p_11"]) >= kept["operating_point"]["threshold"] else "10" for row in rows]
    assert [row["answer"] for row in rows] == answers
    true = [answer == row["truth"] for row, answer in zip(rows, answers, strict=True) if row["truth"] == "11"]
    assert run.result["sensitivity"] == pytest.approx(sum(true) / len(true))
    page = (run.path / "report.html").read_text()
    assert 'id="roc"' in page and "<dt>sensitivity</dt>" in page and "PPV at the stated prevalence" in page


def test_predict_answers_by_the_point(run):
    images = np.load(run[1])["test_images"]
    model = resnets.load(run[0].path)
    for row in model.predict(list(images)):
        score = next(entry["probability"] for entry in row["top"] if entry["label"] == "11")
        assert row["positive"] == (score >= model.decision["operating_point"]["threshold"]) == (row["answer"] == "11")
        assert row["label"] == row["top"][0]["label"]


def test_it_is_refused_before_a_folder_is_made(tmp_path):
    data = arrays(tmp_path / "d.npz", classes=2, train=24, val=16)
    with pytest.raises(InputError, match=r"^sensitivity=95%: 8 positive ones"):
        train(data, out=tmp_path / "run", sensitivity="95%", **TINY)
    assert not (tmp_path / "run").exists()


def test_a_run_that_validation_does_not_support_in_the_end_is_kept(tmp_path):
    """A picture that cannot be read is found out by reading it."""
    data = pictures(tmp_path / "data")
    (tmp_path / "data/val/b/1.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"^sensitivity=66.6%: 1 positive .* all else of the run is in .*run"):
        train(data, out=tmp_path / "run", sensitivity=0.666, **TINY)
    assert (tmp_path / "run/report.html").exists() and (tmp_path / "run/evaluation.json").exists()
    assert "operating_point" not in resnets.load(tmp_path / "run").decision


def test_an_operating_point_and_abstaining_exclude_each_other():
    with pytest.raises(InputError, match="sensitivity and abstain_at exclude each other"):
        points.check({"sensitivity": 0.9, "abstain_at": 0.01}, ("a", "b"), np.array([50, 50]))
    decision = {"operating_point": {"threshold": 0.3}, "validation": {"num_images": 100, "num_errors": 1}}
    with pytest.raises(InputError, match="the model answers by an operating point"):
        confidence.revise(decision, {"abstain_at": 0.05})
