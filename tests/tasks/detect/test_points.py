"""The threshold at a wanted precision: by hand, and the shares of an evaluation there."""

import numpy as np
import pytest

from resnets.errors import InputError
from resnets.models.answering import Wanted
from resnets.tasks.detect import points, rows
from resnets.tasks.detect.average_precision import Collected
from resnets.tasks.detect.meter import DetectMeter
from resnets.tasks.detect.task import Detect
from tests.tasks.detect.made import LABELS, boxes, found

SQUARE = [(20 * n, 0, 20 * n + 10, 10) for n in range(4)]


@pytest.fixture
def meter():
    """Two pictures. In the first, of three objects two are found, with a wrong box between, and a box on what is to be ignored;
    in the second one of one, of the second class, and a box of the first class there."""
    meter = DetectMeter(LABELS, {}, quick=False)
    meter.sums["found"] = Collected(LABELS)
    first = found((0, 40, 10, 50), SQUARE[0], SQUARE[1], SQUARE[3], labels=[0, 0, 1, 0], scores=[0.7, 0.9, 0.6, 0.95])
    truth = boxes(*SQUARE, labels=[0, 1, 1, 0], ignore=[False, False, False, True])
    meter.collected.add(0, first, truth)
    second = found(SQUARE[0], SQUARE[0], labels=[1, 0], scores=[0.8, 0.4])
    meter.collected.add(1, second, boxes(SQUARE[0], labels=[1]))
    return meter


def test_boxes_of_all_classes_count_together(meter):
    boxes = meter.collected.pooled()
    order = np.argsort(-boxes.scores)
    assert boxes.scores[order] == pytest.approx([0.9, 0.8, 0.7, 0.6, 0.4])
    assert boxes.hits[order].tolist() == [True, True, False, True, False]
    assert boxes.pictures[order].tolist() == [0, 1, 0, 0, 1] and boxes.num_objects.tolist() == [3, 1]
    columns = [(row["truth"], row["answer"], row["score"]) for _, row in meter.records() if row["answer"]]
    assert sorted(score for truth, answer, score in columns if truth == answer) == pytest.approx([0.6, 0.8, 0.9])


def test_the_threshold_is_the_lowest_with_that_precision_and_is_kept(meter):
    decided = Detect().decide(meter, {"precision_at": 0.7})
    assert decided["threshold"] == pytest.approx(0.5) == rows.least_score(Wanted(decision=decided))
    kept = decided["operating_point"]
    assert kept["validation"]["precision"] == kept["validation"]["recall"] == 0.75 and kept["wanted"] == 0.7
    assert Detect().decide(meter, {"precision_at": None}) == {}


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (0.79, "precision on validation is at most 75.0%, at a score of 0.5;"),
        (0.9, "5 objects were found .* takes 9 at least;"),
    ],
)
def test_a_precision_that_validation_does_not_support_is_refused(wanted, said, meter):
    with pytest.raises(InputError, match=f"^precision_at={wanted}: {said} ask for less"):
        Detect().decide(meter, {"precision_at": wanted})


def test_an_evaluation_says_precision_and_recall_at_the_threshold(meter):
    plain = meter.result(2)
    assert (plain["threshold"], plain["precision"], plain["recall"]) == (0.5, 0.75, 0.75) and "operating_point" not in plain
    low, high = plain["precision_interval"]
    assert 0 < low < 0.75 < high < 1
    meter.decision = {"threshold": 0.85, "operating_point": {"rule": "precision_at", "wanted": 0.9, "validation": {}}}
    result = meter.result(2)
    assert (result["precision"], result["recall"], result["operating_point"]["reached"]) == (1.0, 0.25, True)
    text = rows.told(result | {"split": "test", "bad_images": {}}, per_class=False).splitlines()
    assert text[1].startswith(
        "objects with a score of 0.85 or more, chosen on validation for a precision of 90.00%: precision 100.00%,"
    )
    meter.decision = {"threshold": 0.0, "operating_point": {"rule": "precision_at", "wanted": 0.99, "validation": {}}}
    result = meter.result(2, np.array(["a", "b"]))
    assert result["precision"] == 0.6 and result["operating_point"]["reached"] == (result["precision_interval"][1] >= 0.99)


def test_intervals_draw_pictures_not_boxes():
    """Forty pictures of five boxes that are all right or all wrong say what forty boxes say."""
    right = np.random.default_rng(0).random(40) < 0.7
    ones = points.Pooled(np.ones(40), right, np.arange(40), np.ones(40, np.int64))
    fives = points.Pooled(np.ones(200), np.repeat(right, 5), np.repeat(np.arange(40), 5), np.full(40, 5))
    of_fives, of_ones = (points.shares(boxes, 0.5, None) for boxes in (fives, ones))
    for name, value in of_ones.items():
        assert of_fives[name] == pytest.approx(value), name


def test_where_nothing_is_found_there_is_no_precision():
    nothing = points.Pooled(np.zeros(0), np.zeros(0, bool), np.zeros(0, np.int64), np.array([2, 0]))
    found = points.result(nothing, 0.5, {"operating_point": {"wanted": 0.9}}, None)
    assert found["precision"] is None and found["recall"] == 0.0 and found["operating_point"]["reached"] is None
    with pytest.raises(InputError, match=r"^precision_at=0.5: 0 objects were found"):
        points.decide(nothing, {"precision_at": 0.5})
