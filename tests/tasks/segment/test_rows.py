"""Masks as rows, rows as lines, an evaluation as text."""

import csv
import io
import json

import numpy as np
import pytest

from resnets.models.answering import Wanted
from resnets.tasks.segment import rows

LABELS = ("background", "do\ng", "cat")


@pytest.mark.parametrize("dtype", [np.uint8, np.int64], ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("shape", [(4, 6), (2, 3, 4)], ids=str)
def test_the_largest_share_comes_first_and_what_is_not_there_is_left_out(shape, dtype):
    found = np.zeros(24, dtype)
    found[:16] = 2
    row = rows.row(found.reshape(shape), LABELS, Wanted())
    assert (
        json.loads(json.dumps(row))
        == row
        == {
            "classes": [{"label": "cat", "index": 2, "share": 0.666667}, {"label": "background", "index": 0, "share": 0.333333}]
        }
    )


def test_of_equal_shares_the_first_class_comes_first():
    row = rows.row(np.array([[2, 2, 1, 1, 0, 0]]), LABELS, Wanted())
    assert [entry["index"] for entry in row["classes"]] == [0, 1, 2]


def test_a_row_is_one_line_of_text_and_a_line_of_csv_a_class():
    row = {"path": "a\n.png"} | rows.row(np.array([[1, 1, 1, 0]], np.uint8), LABELS, Wanted())
    assert rows.line(row) == r"a\n.png  do\ng 75.0%  background 25.0%"
    table = csv.reader(io.StringIO("\n".join([rows.csv_head(5), rows.csv_lines(row, 5), ""]), newline=""))
    assert list(table) == [
        ["path", "label", "share", "error"],
        ["a\n.png", "do\ng", "0.750000", ""],
        ["a\n.png", "background", "0.250000", ""],
    ]


def result(**more):
    per_class = [
        {"label": "cat", "iou": 0.5, "dice": 2 / 3, "precision": 0.5, "recall": None, "pixels": 12345},
        {"label": "do\ng", "iou": None, "dice": None, "precision": None, "recall": None, "pixels": 0},
    ]
    return {
        "task": "segment", "split": "test", "miou": 0.5, "dice": 2 / 3, "pixel_accuracy": 0.75, "num_images": 1200,
        "bad_images": {}, "per_class": per_class,
    } | more  # fmt: skip


def test_an_evaluation_as_text():
    assert rows.told(result(), per_class=False) == (
        "test mIoU 50.00%, Dice 66.67%, pixel accuracy 75.00%, boundary F - on 1,200 pictures; "
        "by class frequency alone mIoU -, Dice -"
    )
    measured = rows.told(result(boundary_f=0.25, baseline_miou=0.1, baseline_dice=0.2), per_class=False)
    assert "boundary F 25.00% on" in measured and measured.endswith("mIoU 10.00%, Dice 20.00%")
    lines = [line.split() for line in rows.told(result(bad_images={"a": "gone"}), per_class=True).splitlines()]
    assert lines[1:] == [
        ["1", "pictures", "could", "not", "be", "read:", "a"],
        [],
        ["class", "IoU", "Dice", "precision", "recall", "pixels"],
        ["cat", "0.5000", "0.6667", "0.5000", "-", "12,345"],
        [r"do\ng", "-", "-", "-", "-", "0"],
    ]
