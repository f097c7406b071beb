"""What is decided on validation, and what it makes of answers: in rows, evaluations and records."""

import copy
import json

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from torch.nn import functional as F

from resnets.data.types import Batch
from resnets.errors import InputError
from resnets.measures.calibration import calibration
from resnets.models.answering import Wanted
from resnets.tasks.classify import confidence, rows
from resnets.tasks.classify.meter import ClassifyMeter
from tests.engine.made import planned

LABELS = ("cat", "dog", "owl", "emu")
ASKED = {"temperature": True, "abstain_at": 0.05, "sets": 0.95, "unknown_at": 0.01}


def drawn(num, seed, temperature=2.0):
    """float32 logits of a network that is too sure, and the truth."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 4, (num, 4)) * temperature
    weights = np.exp(logits / temperature)
    truth = (random.random((num, 1)) > np.cumsum(weights / weights.sum(1, keepdims=True), 1)).sum(1)
    return logits.astype(np.float32), truth


VALIDATION, TEST = drawn(2000, 0), drawn(1500, 1)
DECISION = confidence.decide(*VALIDATION, ASKED)


def judged(logits, truth, decision):
    meter = ClassifyMeter(LABELS, quick=None)
    meter.decision = decision
    targets = torch.as_tensor(truth)
    meter.add(logits, Batch(torch.empty(len(targets), 0), targets, torch.arange(len(targets))))
    return meter


def test_a_decision_is_json_and_small():
    assert json.loads(json.dumps(DECISION)) == DECISION and len(json.dumps(DECISION)) < 12_000
    assert DECISION["temperature"] == pytest.approx(2, rel=0.1)
    assert DECISION["validation"] == {"num_images": 2000, "num_errors": int((VALIDATION[0].argmax(1) != VALIDATION[1]).sum())}


def test_the_likeliest_class_and_the_loss_stay_and_the_calibration_error_falls():
    plain, found = (judged(*TEST, decision).result(1500) for decision in ({}, DECISION))
    changed = {"ece"}
    assert {key: found[key] for key in plain if key not in changed} == {key: plain[key] for key in plain if key not in changed}
    assert found["ece_before"] == plain["ece"] > 2 * found["ece"]
    p = F.softmax(torch.tensor(TEST[0]) / DECISION["temperature"], 1).numpy()
    assert found["ece"] == pytest.approx(calibration(p.max(1), p.argmax(1) == TEST[1]).ece, abs=1e-6)


def test_rows_evaluation_and_records_say_the_same():
    meter = judged(*TEST, DECISION)
    result, records = meter.result(1500), [record for _, record in meter.records()]
    made = [rows.row(logits, LABELS, Wanted(2, decision=DECISION)) for logits in TEST[0]]
    assert [row["answer"] for row in made] == [record["answer"] for record in records]
    assert [row["ood_score"] for row in made] == pytest.approx([record["ood_score"] for record in records], abs=1e-4)
    for row, record in zip(made[:50], records, strict=False):
        assert row["probability"] == pytest.approx(record[f"p_{row['label']}"], abs=1e-6)
        assert row["answer"] in (row["label"], "unsure", "unknown") and row["label"] in row["set"]
    answers = np.array([row["answer"] for row in made])
    given, truth = ~np.isin(answers, ["unsure", "unknown"]), np.array(LABELS)[TEST[1]]
    num_wrong = int((answers != truth)[given].sum())
    assert (result["num_answers"], result["num_wrong_answers"]) == (given.sum(), num_wrong)
    interval = binomtest(num_wrong, int(given.sum())).proportion_ci(0.95, method="exact")
    assert result["answer_error_interval"] == pytest.approx([interval.low, interval.high])
    assert result["unanswered"] == pytest.approx(1 - given.mean()) and result["unknown"] == (answers == "unknown").mean()
    assert result["set_coverage"] == pytest.approx(np.mean([true in row["set"] for row, true in zip(made, truth, strict=True)]))
    assert result["set_size"] == pytest.approx(np.mean([len(row["set"]) for row in made]))


def test_what_was_asked_for_holds_on_new_pictures():
    result = judged(*TEST, DECISION).result(1500)
    assert result["answer_error"] <= 0.05 < 1 - result["top1"] and 0.2 < result["unanswered"] < 0.9
    assert 0.93 < result["set_coverage"] < 0.97 and 0.002 < result["unknown"] < 0.03


def test_another_risk_or_coverage_needs_no_data():
    """Asked for later it is what it would have been at once; and the rule of unknown pictures can be left out."""
    plain = confidence.decide(*VALIDATION, ASKED | {"abstain_at": None, "sets": None})
    assert confidence.rule(plain).doubt == np.inf and confidence.rule(plain).probability is None
    assert confidence.revise(plain, {"abstain_at": 0.05, "sets": 0.95}) == DECISION
    without = confidence.revise(DECISION, {"unknown_at": 0})
    expected = confidence.decide(*VALIDATION, ASKED | {"unknown_at": 0})
    assert {**without, "abstain": {**without["abstain"], "known": 0}} == {
        **expected,
        "abstain": {**expected["abstain"], "known": 0},
    }
    assert confidence.revise(DECISION, {}) == DECISION, "what it has stays"


def test_the_guarantee_holds_with_the_rule_of_unknown_pictures():
    """Whose limit is a score of the same validation pictures: over draws of validation, of 150 chance allows 16 failures."""
    logits, _ = drawn(8000, 5)
    error = 1 - F.softmax(torch.tensor(logits).double() / 2, 1).max(1).values.numpy()  # of each answer, in truth
    failures = 0
    for seed in range(150):
        decision = confidence.decide(*drawn(500, 100 + seed), ASKED | {"abstain_at": 0.1, "sets": None, "temperature": False})
        found = confidence.apply(logits, confidence.rule(decision))
        given = ~(found.unsure | found.unknown)
        failures += error[given].mean() > 0.1
    assert failures <= 16


def test_without_a_decision_all_is_as_it_was():
    logits = np.array([0.0, 3.0, -1.0, 1.0], np.float32)
    row = rows.row(logits, LABELS, Wanted(2))
    assert row["answer"] == row["label"] == "dog" and "set" not in row
    assert row["probability"] == pytest.approx(float(torch.tensor(logits).softmax(0)[1]), abs=1e-6)
    result = judged(*TEST, {}).result(1500)
    assert not {"temperature", "num_answers", "set_size", "notes"} & result.keys()
    with pytest.raises(InputError, match="keeps no rule for --abstain-at or --sets; choose it anew by `resnets calibrate`"):
        confidence.revise({}, {"abstain_at": 0.01})


def test_few_pictures_decide_nothing_and_say_so():
    decision = confidence.decide(*drawn(60, 0), {"temperature": True, "unknown_at": 0.01})
    assert confidence.rule(decision) == confidence.Rule()
    temperature, unknown = confidence.notes(decision)
    assert "temperature stays 1: validation has only 60, and to fit it takes 100" in temperature
    assert "nothing is called unknown: validation has only 60, and 0.01 takes 99" in unknown


@pytest.mark.parametrize(
    ("num", "asked", "num_lines"),
    [
        (60, {"temperature": True, "unknown_at": 0.01}, 2),
        (99, {"temperature": True, "unknown_at": 0.01}, 1),
        (100, {"temperature": True, "unknown_at": 0.01}, 0),
        (60, {"temperature": False, "unknown_at": 0}, 0),
    ],
)
def test_the_same_is_known_before_a_training(num, asked, num_lines):
    said = confidence.too_few(num, asked)
    assert len(said) == num_lines and said == confidence.notes(confidence.decide(*drawn(num, 0), asked))


@pytest.mark.parametrize(("splits", "remedy"), [({}, "; --val-fraction gives it more"), ({"val": 12}, "")])
def test_a_training_says_so_at_its_start(splits, remedy, tmp_path):
    data = tmp_path / "data.npz"
    random = np.random.default_rng(0)
    sizes = {"train": 60} | splits
    np.savez(
        data,
        **{f"{name}_images": random.integers(0, 256, (num, 8, 8), dtype=np.uint8) for name, num in sizes.items()},
        **{f"{name}_labels": np.arange(num) % 3 for name, num in sizes.items()},
    )
    plan, lines = planned(data=str(data), device="cpu"), []
    plan.task.notes(plan.source, plan.recipe, plan.task.class_counts(plan.source.splits["train"], 3), lines.append)
    num = len(plan.source.splits["val"])
    assert lines[-2:] == [
        f"note     the temperature stays 1: validation has only {num}, and to fit it takes 100{remedy}",
        f"note     nothing is called unknown: validation has only {num}, and 0.01 takes 99{remedy}",
    ]


@pytest.mark.parametrize(
    ("num", "asked", "words"),
    [
        (60, {"abstain_at": 0.01}, "a validation split of 60 supports no such rule; it takes at least 332"),
        (
            400,
            {"abstain_at": 0.01},
            r"a validation split of 400 .*; with errors as here it takes about [\d,]{3,}",
        ),
        (60, {"sets": 0.99}, "sets=0.99: takes a validation split of 99 at least, and it had 60"),
    ],
)
def test_what_validation_does_not_support_is_refused_with_what_it_takes(num, asked, words):
    with pytest.raises(InputError, match=words):
        confidence.decide(*drawn(num, 0), asked)


def test_where_the_surest_answers_are_wrong_no_number_of_pictures_helps():
    logits, _ = drawn(900, 0)
    with pytest.raises(InputError, match="even of the surest answers too many are wrong"):
        confidence.decide(logits, logits.argmin(1), {"abstain_at": 0.05})


def test_a_split_that_is_too_small_is_refused_before_training():
    confidence.check_size(400, {"abstain_at": 0.01, "sets": None})
    with pytest.raises(InputError, match=r"abstain_at=0.01: takes a validation split of at least 332, and it has 300; "):
        confidence.check_size(300, {"abstain_at": 0.01})


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("temperature",), 0), (("temperature",), "warm"), (("temperature",), None), (("abstain",), 3),
        (("abstain", "limit"), "1e"), (("sets", "limit"), [1]), (("unknown", "limit"), float("nan")), (("unknown",), [1]),
    ],
)  # fmt: skip
def test_a_damaged_rule_is_an_input_error(place, value):
    decision = copy.deepcopy(DECISION)
    inner = decision
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(InputError, match="cannot be read, the header is damaged"):
        rows.row(TEST[0][0], LABELS, Wanted(decision=decision))


@pytest.mark.parametrize("place", [("abstain", "known"), ("abstain", "known", "answers"), ("sets", "coverage")])
def test_a_damaged_table_is_an_input_error(place):
    decision = copy.deepcopy(DECISION)
    inner = decision
    for key in place[:-1]:
        inner = inner[key]
    for value in (7, "x", None, ["a"]):
        inner[place[-1]] = value
        with pytest.raises(InputError, match="damaged"):
            confidence.revise(decision, {"abstain_at": 0.05, "sets": 0.9})


def test_intervals_are_by_groups_where_there_are_some():
    groups = np.repeat(np.arange(150).astype(str), 10)
    plain, grouped = (judged(*TEST, DECISION).result(1500, groups=each) for each in (None, groups))
    assert grouped["answer_error"] == plain["answer_error"]
    low, high = grouped["answer_error_interval"]
    assert low < plain["answer_error"] < high and grouped["answer_error_interval"] != plain["answer_error_interval"]


# --- as text ---


def test_told():
    text = rows.told({"split": "test", "bad_images": {}, **judged(*TEST, DECISION).result(1500)}, per_class=False).splitlines()
    assert text[0].endswith(f"before temperature {DECISION['temperature']:.3g})")
    answers, sets = text[-2:]
    assert answers.startswith("answers to ") and "asked for: at most 5%, with 95% confidence)" in answers
    assert sets.startswith("sets of ") and sets.endswith("asked for: 95%)")


@pytest.mark.parametrize(
    ("answer", "labels", "said"),
    [
        ("cat", None, "cat"),
        ("unsure", None, "unsure"),
        ("unknown", ["cat", "dog"], "unknown"),
        ("cat", ["cat", "dog"], "cat|dog"),
    ],
)
def test_the_answer_in_text_and_csv(answer, labels, said):
    top = [{"label": "cat", "probability": 0.6}, {"label": "dog", "probability": 0.4}]
    row = {"path": "a.png", "top": top, "answer": answer} | ({} if labels is None else {"set": labels})
    shown = "" if said == "cat" else f"{said}:  "
    assert rows.line(row) == f"a.png  {shown}cat 60.0%  dog 40.0%"
    assert rows.csv_lines(row, 2) == f"a.png,cat,0.600000,dog,0.400000,{said},"
