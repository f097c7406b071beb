"""What a model that grades says of a picture, and of a split."""

import numpy as np

from resnets.models.answering import Wanted
from resnets.tasks.grade import rows

GRADES = ("0", "1", "2")
DECISION = {"coverage": 0.9, "half_width": 4.0, "scale": "linear", "num_images": 40}
NUMBER = {
    "split": "test", "num_images": 100, "bad_images": {}, "labels": ["age"], "r2": 0.875,
    "mae": 3.21, "mae_interval": [2.9, 3.5], "mae_of_mean": 12.5, "mae_of_median": 12.25,
    "rmse": 4.5, "bias": -0.25, "median_error": 2.5, "spearman": 0.9,
    "limits_of_agreement": [-9.0, 8.5], "coverage": 0.91, "coverage_wanted": 0.9,
}  # fmt: skip


def test_a_number_and_its_interval():
    answer = np.array([37.1234567, -0.2])
    assert rows.row(answer, ("age",), Wanted()) == {"value": 37.1235}
    found = rows.row(answer, ("age",), Wanted(decision=DECISION))
    assert found == {"value": 37.1235, "low": 33.1235, "high": 41.1235}
    assert rows.line({"path": "a.png"} | found) == "a.png  37.1235  (33.1235 to 41.1235)"


def test_a_grade_its_probabilities_and_the_expected_one():
    found = rows.row(np.array([0.95, 7.0, *np.log([0.75 / 0.25, 0.25 / 0.75])]), GRADES, Wanted())
    assert found == {"value": 0.95, "grade": 1, "probabilities": {"0": 0.25, "1": 0.5625, "2": 0.1875}}
    assert rows.line({"path": "a.png"} | found) == "a.png  1 56.2%, expected 0.95"


def test_a_line_of_csv_reads_back():
    row = {"path": "a,b.png"} | rows.row(np.array([1.0, 7.0, 0.0, 0.0]), GRADES, Wanted(decision=DECISION))
    line = rows.csv_lines(row, 5)
    assert line == '"a,b.png",1.0,0.0,2.0,0,0.500000|0.250000|0.250000,'
    assert rows.csv_path(line, 5) == "a,b.png"
    assert rows.csv_lines({"path": "x.png", "error": "truncated"}, 5) == "x.png,,,,,,truncated"


def test_an_evaluation_of_numbers_says_what_guessing_gives():
    (line,) = rows.told(NUMBER, False).splitlines()
    assert line == (
        "test R2 87.50%, MAE 3.21 (2.9 to 3.5), 12.5 of guessing the training mean, 12.25 of guessing the median, RMSE 4.5, "
        "bias -0.25, 90% intervals hold 91.00% on 100 pictures"
    )
    more = rows.told(NUMBER | {"coverage": None, "limits_of_agreement": None, "spearman": None}, True)
    assert "intervals" not in more and more.splitlines()[-1] == "age: median error 2.5, rank correlation -"


def test_an_evaluation_of_grades_has_their_table():
    per_class = [{"label": label, "accuracy": 0.5, "within_one": None, "support": 7} for label in GRADES]
    whole = rows.told(
        NUMBER | {"accuracy": 0.6, "within_one": 0.9, "kappa": 0.7, "per_class": per_class, "labels": list(GRADES)}, True
    )
    assert "accuracy 60.00%, within one 90.00%, quadratic kappa 0.7" in whole.splitlines()[0]
    assert whole.splitlines()[-1].split() == ["2", "0.5000", "-", "7"]
