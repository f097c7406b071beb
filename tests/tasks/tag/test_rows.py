"""What a tagger says of a picture."""

import numpy as np

from resnets.models.answering import Wanted
from resnets.tasks.tag import rows

LABELS = ("cat", "dog", "owl")


def test_labels_from_the_threshold_on_the_likeliest_first():
    found = rows.row(np.array([0.0, 2.0, -2.0]), LABELS, Wanted(threshold=0.5))
    assert [entry["label"] for entry in found["labels"]] == ["dog", "cat"]
    assert found["labels"][1] == {"label": "cat", "index": 0, "probability": 0.5}
    assert rows.row(np.array([-1.0, -2.0, -3.0]), LABELS, Wanted(threshold=0.5)) == {"labels": []}


def test_each_label_has_the_threshold_of_the_file_unless_one_is_asked_for():
    decision = {"thresholds": {"dog": 0.9, "owl": 0.1}}
    answer = np.array([0.0, 2.0, -2.0])
    assert [entry["label"] for entry in rows.row(answer, LABELS, Wanted(decision=decision))["labels"]] == ["cat", "owl"]
    asked = rows.row(answer, LABELS, Wanted(threshold=0.5, decision=decision))
    assert [entry["label"] for entry in asked["labels"]] == ["dog", "cat"]


def test_a_line_of_csv_reads_back():
    row = {"path": "a,b.png"} | rows.row(np.array([0.0, 2.0, -2.0]), LABELS, Wanted())
    line = rows.csv_lines(row, 5)
    assert line == '"a,b.png",dog|cat,0.880797|0.500000,' and rows.csv_path(line, 5) == "a,b.png"
    assert rows.csv_lines({"path": "x.png", "error": "truncated"}, 5) == "x.png,,,truncated"
    assert rows.line({"path": "x.png", "labels": []}) == "x.png  none"
