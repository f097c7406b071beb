"""Objects as rows, rows as lines, an evaluation as text."""

import csv
import dataclasses
import io
import json

import numpy as np
import pytest

from resnets.data.targets import Detections
from resnets.models.answering import Wanted
from resnets.tasks.detect import rows

LABELS = ("cat, or\ndog", "bus")


def answer(scores=(0.9, 0.5, 0.1234567)):
    num = len(scores)
    boxes = np.arange(4 * num, dtype=np.float32).reshape(num, 4) + np.float32(0.126)
    return Detections(boxes, np.arange(num) % 2, np.array(scores, np.float32))


@pytest.mark.parametrize(("threshold", "num"), [(0.0, 3), (0.5, 2), (0.95, 0)])
def test_objects_from_the_threshold_on_in_their_order(threshold, num):
    found = rows.row(answer(), LABELS, Wanted(threshold=threshold))
    assert json.loads(json.dumps(found)) == found
    assert [entry["score"] for entry in found["objects"]] == [0.9, 0.5, 0.123457][:num]
    if num:
        assert found["objects"][0] == {"label": LABELS[0], "index": 0, "score": 0.9, "box": [0.13, 1.13, 2.13, 3.13]}


def test_a_row_is_one_line_with_how_many_there_are_of_each_class():
    row = {"path": "a\n.png"} | rows.row(answer(), LABELS, Wanted(threshold=0))
    assert rows.line(row) == r"a\n.png  cat, or\ndog 2  bus 1"
    assert rows.line({"path": "a.png", "objects": []}) == "a.png  nothing"


def test_csv_has_a_line_an_object_and_one_where_there_is_none():
    row = {"path": "a\n.png"} | rows.row(answer(scores=(0.9, 0.5)), LABELS, Wanted())
    text = "\n".join([rows.csv_head(5), rows.csv_lines(row, 5), rows.csv_lines({"path": "b.png", "objects": []}, 5), ""])
    assert list(csv.reader(io.StringIO(text, newline=""))) == [
        ["path", "label", "score", "x0", "y0", "x1", "y1", "error"],
        ["a\n.png", LABELS[0], "0.900000", "0.13", "1.13", "2.13", "3.13", ""],
        ["a\n.png", "bus", "0.500000", "4.13", "5.13", "6.13", "7.13", ""],
        ["b.png", "", "", "", "", "", "", ""],
    ]


def result(**more):
    per_class = [
        {"label": "cat", "ap": 0.25, "ap50": 0.5, "ap75": None, "voc07": 0.5, "voc12": 0.5, "objects": 1200},
        {"label": "do\ng", "ap": None, "ap50": None, "ap75": None, "voc07": None, "voc12": None, "objects": 0},
    ]
    return {
        "task": "detect", "split": "val", "map": 0.25, "map50": 0.5, "voc12": None, "num_objects": 1200, "num_images": 30,
        "bad_images": {}, "per_class": per_class,
    } | more  # fmt: skip


def test_an_evaluation_as_text():
    assert rows.told(result(), per_class=False) == (
        "val mAP 25.00%, 50.00% at IoU .5 (VOC 2012 -) on 1,200 objects in 30 pictures"
    )
    masks = rows.told(result(masks={"map": 0.1, "map50": None}), per_class=False)
    assert "(VOC 2012 -); of masks 10.00%, - at .5 on 1,200 objects" in masks
    lines = [line.split() for line in rows.told(result(bad_images={"a": "gone"}), per_class=True).splitlines()]
    assert lines[1:4] == [
        ["1", "pictures", "could", "not", "be", "read:", "a"],
        [],
        ["class", "AP", "AP", ".5", "AP", ".75", "VOC", "07", "VOC", "12", "objects"],
    ]
    assert lines[4:] == [
        ["cat", "0.2500", "0.5000", "-", "0.5000", "0.5000", "1,200"],
        [r"do\ng", "-", "-", "-", "-", "-", "0"],
    ]


def test_at_least_keeps_what_belongs_together():
    masks = np.arange(3)[:, None, None] * np.ones((3, 2, 2), int) > 0
    seen = dataclasses.replace(answer(scores=(0.9, 0.5, 0.4)), masks=masks)
    kept = rows.at_least(seen, 0.5)
    assert kept.labels.tolist() == [0, 1] and np.array_equal(kept.xyxy, seen.xyxy[:2]) and np.array_equal(kept.masks, masks[:2])
    assert rows.at_least(dataclasses.replace(seen, masks=None), 0.95).masks is None
