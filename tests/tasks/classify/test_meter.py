"""Figures of classification, against others' arithmetic and by hand."""

import pytest
import torch
import torch.nn.functional as F

from resnets.data.types import Batch
from resnets.measures.intervals import wilson
from resnets.tasks.classify.losses import criterion
from resnets.tasks.classify.meter import ClassifyMeter, evaluation, worst_errors

# Six classes, of which the last is never true. Rows are the order of answers, the surest first; the truth beside them.
ANSWERS = [
    ([0, 1, 2, 3, 4, 5], 0), ([0, 1, 2, 3, 4, 5], 0), ([1, 0, 2, 3, 4, 5], 0),
    ([1, 0, 2, 3, 4, 5], 1), ([2, 3, 4, 5, 0, 1], 1),
    ([2, 0, 1, 3, 4, 5], 2), ([5, 0, 1, 3, 4, 2], 2), ([2, 0, 1, 3, 4, 5], 2), ([2, 1, 0, 3, 4, 5], 2),
    ([3, 0, 1, 2, 4, 5], 3),
    ([0, 4, 1, 2, 3, 5], 4),
]  # fmt: skip
OUTPUTS = torch.zeros(len(ANSWERS), 6)
for row, (order, _) in enumerate(ANSWERS):
    OUTPUTS[row, order] = torch.tensor([5.0, 4.0, 3.0, 2.0, 1.0, 0.0])
TARGETS = torch.tensor([truth for _, truth in ANSWERS])
CONFUSION = [
    [2, 1, 0, 0, 0, 0],
    [0, 1, 1, 0, 0, 0],
    [0, 0, 3, 0, 0, 1],
    [0, 0, 0, 1, 0, 0],
    [1, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0],
]
PER_CLASS = [  # precision, recall, f1, support
    (2 / 3, 2 / 3, 2 / 3, 3), (1 / 2, 1 / 2, 1 / 2, 2), (3 / 4, 3 / 4, 3 / 4, 4), (1, 1, 1, 1), (0, 0, 0, 1), (0, 0, 0, 0),
]  # fmt: skip


@pytest.fixture(scope="module")
def result():
    return evaluation(OUTPUTS, TARGETS, "abcdef")


def test_evaluation_by_hand(result):
    assert (result["num_images"], result["confusion"], result["labels"]) == (11, CONFUSION, list("abcdef"))
    assert result["top1"] == pytest.approx(7 / 11)
    assert result["top5"] == pytest.approx(9 / 11)  # two have their truth in the last place
    assert result["macro_f1"] == pytest.approx((2 / 3 + 1 / 2 + 3 / 4 + 1 + 0) / 5)
    assert result["loss"] == pytest.approx(float(F.cross_entropy(OUTPUTS, TARGETS)))
    assert result["top1_interval"] == wilson(7, 11)


def test_each_class_by_hand(result):
    found = [(row["precision"], row["recall"], row["f1"], row["support"]) for row in result["per_class"]]
    assert found == [pytest.approx(row) for row in PER_CLASS]
    assert [row["label"] for row in result["per_class"]] == list("abcdef")


def test_calibration_is_the_gap_of_confidence_and_accuracy(result):
    sure = float(torch.tensor([5.0, 4.0, 3.0, 2.0, 1.0, 0.0]).softmax(0)[0])  # of every answer
    assert result["ece"] == pytest.approx(abs(7 / 11 - sure), abs=1e-6)


def test_with_few_classes_top5_is_certain():
    found = evaluation(torch.randn(9, 3), torch.arange(9) % 3, "abc")
    assert found["top5"] == 1.0


# --- the accumulator ---------------------------------------------------------------------------------------------------

PLAIN = criterion("ce", 0.0, None)


def learnt(*batches):
    """A quick meter that has seen so many batches of training, each outputs and targets."""
    meter = ClassifyMeter("abcdef", quick=PLAIN)
    for outputs, targets in batches:
        meter.learn(outputs, targets)
    return meter


def batch(targets, first=0):
    """A batch of evaluation: its pixels do not matter here."""
    return Batch(torch.empty(len(targets), 0), targets, torch.arange(first, first + len(targets)))


def test_counting_takes_the_larger_part_of_a_mixed_picture():
    outputs = torch.eye(3)
    assert int(learnt((outputs, torch.tensor([0, 1, 0]))).sums["top1"]) == 2
    mixed = torch.tensor([[0.6, 0.4, 0.0], [0.6, 0.4, 0.0], [0.0, 0.1, 0.9]])
    assert int(learnt((outputs, mixed)).sums["top1"]) == 2


def test_counts_of_batches_add_up():
    meter = learnt((OUTPUTS[:4], TARGETS[:4]), (OUTPUTS[4:], TARGETS[4:]))
    assert meter.result(11) == {"top1": pytest.approx(7 / 11)}


def test_validation_adds_up_the_loss_too_over_batches_of_any_size():
    meter = ClassifyMeter("abcdef", quick=PLAIN)
    for part in (slice(0, 4), slice(4, 11)):
        meter.add(OUTPUTS[part].numpy(), batch(TARGETS[part]))  # as another runtime than torch gives them
    assert float(meter.sums["loss"]) / 11 == pytest.approx(float(F.cross_entropy(OUTPUTS, TARGETS)))
    assert meter.result(11) == {"top1": pytest.approx(7 / 11)} and not meter.kept


def test_an_evaluation_keeps_all_outputs_with_their_positions(result):
    meter = ClassifyMeter("abcdef", quick=None)
    for part in (slice(0, 4), slice(4, 11)):
        meter.add(OUTPUTS[part], batch(TARGETS[part], first=part.start))
    outputs, targets, positions = meter.outputs
    assert torch.equal(outputs, OUTPUTS) and torch.equal(targets, TARGETS) and positions.tolist() == list(range(11))
    assert meter.result(11) == result


def test_worst_errors_are_the_surest_wrong_answers():
    outputs = torch.tensor([[9.0, 0.0], [0.0, 1.0], [4.0, 0.0], [0.0, 3.0]])
    targets = torch.tensor([1, 1, 1, 0])
    assert worst_errors(outputs, targets, most=9) == [0, 2, 3]
    assert worst_errors(outputs, targets, most=1) == [0]
    assert worst_errors(outputs, outputs.argmax(1), most=9) == []
