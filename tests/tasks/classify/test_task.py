"""Figures of classification, against others' arithmetic and by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from resnets.engine.contract import Task
from resnets.engine.recipe import Recipe
from resnets.errors import InputError
from resnets.tasks import get
from resnets.tasks.classify.task import Classify, wilson, worst_errors

TASK = Classify()

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
    return TASK.evaluate(OUTPUTS, TARGETS, "abcdef")


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
    found = TASK.evaluate(torch.randn(9, 3), torch.arange(9) % 3, "abc")
    assert found["top5"] == 1.0


@pytest.mark.parametrize(
    ("hits", "num", "interval"),
    [
        (5, 10, (0.2366, 0.7634)), (0, 10, (0.0, 0.2775)), (10, 10, (0.7225, 1.0)), (81, 263, (0.2553, 0.3662)),
        (9000, 10_000, (0.8940, 0.9057)),
    ],
)  # fmt: skip
def test_wilson_interval_is_that_of_the_books(hits, num, interval):
    """81 of 263 is the example of Newcombe (1998): 0.2553 to 0.3662."""
    assert wilson(hits, num) == pytest.approx(interval, abs=5e-5)


# --- losses ------------------------------------------------------------------------------------------------------------

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 1.0, -2.0], [-0.5, 0.3, 0.1]])
HARD = torch.tensor([0, 2, 1])
SOFT = torch.tensor([[0.7, 0.3, 0.0], [0.0, 0.15, 0.85], [0.5, 0.0, 0.5]])
COUNTS = np.array([6, 3, 1])


def loss(targets, **settings):
    return float(TASK.criterion(Recipe(**settings), COUNTS)(LOGITS, targets)["loss"])


@pytest.mark.parametrize("targets", [HARD, SOFT], ids=["hard", "soft"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_by_hand(targets, smoothing):
    soft = F.one_hot(targets, 3).float() if targets.ndim == 1 else targets
    soft = soft * (1 - smoothing) + smoothing / 3
    assert loss(targets, smoothing=smoothing) == pytest.approx(float(-(soft * LOGITS.log_softmax(1)).sum(1).mean()), abs=1e-6)


@pytest.mark.parametrize(
    ("targets", "present"),
    [(HARD, [[1, 0, 0], [0, 0, 1], [0, 1, 0]]), (SOFT, [[1, 1, 0], [0, 0, 1], [1, 0, 1]])],
    ids=["hard", "soft"],
)
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_binary_cross_entropy_says_yes_to_all_that_is_there(targets, present, smoothing):
    """Of a mixed picture both, unless one makes up a fifth or less."""
    said = np.array(present) * (1 - smoothing) + smoothing / 3
    p = 1 / (1 + np.exp(-LOGITS.numpy()))
    expected = -(said * np.log(p) + (1 - said) * np.log(1 - p)).mean()
    assert loss(targets, loss="bce", smoothing=smoothing) == pytest.approx(expected, abs=1e-6)


def test_class_weights_even_out_the_classes():
    """Each class has the same share of the loss over the training pictures, whose weights are 1 on average."""
    targets = torch.tensor([0] * 6 + [1] * 3 + [2])
    outputs = torch.randn(10, 3, generator=torch.Generator().manual_seed(0))
    found = TASK.criterion(Recipe(balance="loss"), COUNTS)(outputs, targets)["loss"]
    each = F.cross_entropy(outputs, targets, reduction="none")
    assert float(found) == pytest.approx(float(torch.stack([each[targets == c].mean() for c in range(3)]).mean()), abs=1e-6)
    weight = torch.tensor(10 / (3 * COUNTS), dtype=torch.float32)
    assert float(weight[targets].mean()) == pytest.approx(1)
    assert float(found) == pytest.approx(float((each * weight[targets]).mean()), abs=1e-6)


@pytest.mark.parametrize("kind", ["ce", "bce"])
@pytest.mark.parametrize("balance", ["none", "loss"])
def test_the_loss_is_float32_and_has_a_gradient(kind, balance):
    outputs = LOGITS.to(torch.bfloat16).requires_grad_()
    found = TASK.criterion(Recipe(loss=kind, balance=balance), COUNTS)(outputs, HARD)["loss"]
    found.backward()
    assert found.dtype == torch.float32 and outputs.grad.isfinite().all()


# --- counting ----------------------------------------------------------------------------------------------------------


def test_counting_takes_the_larger_part_of_a_mixed_picture():
    outputs = torch.eye(3)
    assert int(TASK.count(outputs, torch.tensor([0, 1, 0]))["top1"]) == 2
    assert int(TASK.count(outputs, torch.tensor([[0.6, 0.4, 0.0], [0.6, 0.4, 0.0], [0.0, 0.1, 0.9]]))["top1"]) == 2


def test_counts_of_batches_add_up():
    one, two = TASK.count(OUTPUTS[:4], TARGETS[:4]), TASK.count(OUTPUTS[4:], TARGETS[4:])
    assert TASK.summarise({"top1": one["top1"] + two["top1"]}, 11, "abcdef") == {"top1": pytest.approx(7 / 11)}


def test_worst_errors_are_the_surest_wrong_answers():
    outputs = torch.tensor([[9.0, 0.0], [0.0, 1.0], [4.0, 0.0], [0.0, 3.0]])
    targets = torch.tensor([1, 1, 1, 0])
    assert worst_errors(outputs, targets, most=9) == [0, 2, 3]
    assert worst_errors(outputs, targets, most=1) == [0]
    assert worst_errors(outputs, outputs.argmax(1), most=9) == []


def test_the_table_of_tasks():
    assert isinstance(get("classify"), Task) and get("classify").name == "classify"
    with pytest.raises(InputError, match="no task 'embed'; this version has: classify, detect, segment"):
        get("embed")
