"""Logits become probabilities as torch's softmax and topk would make them; rows become lines; an evaluation becomes text."""

import csv
import io
import json
import math

import numpy as np
import pytest
import torch

from resnets.models.answering import Wanted
from resnets.tasks.classify import rows

# --- rows ------------------------------------------------------------------------------------------------------------


def test_the_likeliest_come_first():
    logits = np.array([0.0, math.log(3.0), math.log(4.0)], np.float32)
    found = rows.row(logits, ["a", "b", "c"], Wanted(topk=2))
    assert found["label"] == "c" and found["index"] == 2 and found["probability"] == pytest.approx(0.5)
    assert [(entry["label"], entry["probability"]) for entry in found["top"]] == [
        ("c", pytest.approx(0.5)),
        ("b", pytest.approx(0.375)),
    ]
    assert len(rows.row(np.zeros(3, np.float32), "abc", Wanted(topk=9))["top"]) == 3


@pytest.mark.parametrize("scale", [0.1, 1, 2000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_probabilities_are_those_of_torch(dtype, scale):
    torch.manual_seed(0)
    outputs = torch.stack([torch.randperm(20) - 10 for _ in range(50)]).to(dtype) * scale  # no two of a row are equal
    found = [rows.row(logits, [f"class {n}" for n in range(20)], Wanted(topk=5)) for logits in outputs.numpy()]
    assert json.loads(json.dumps(found)) == found
    probabilities, indices = outputs.float().softmax(1).topk(5)
    for row, p, i in zip(found, probabilities.tolist(), indices.tolist(), strict=True):
        assert [entry["probability"] for entry in row["top"]] == pytest.approx(p, abs=2e-6)
        sure = [k for k in range(5) if p[k] > 1e-6]
        assert [row["top"][k]["index"] for k in sure] == [i[k] for k in sure]
        assert row["label"] == f"class {row['index']}" and row.items() >= {**row["top"][0], "top": row["top"]}.items()


def test_of_equally_likely_classes_the_first_comes_first():
    found = rows.row(np.array([-500.0, 2.0, 2.0, -900.0, 2.0], np.float32), "abcde", Wanted(topk=5))
    assert [entry["label"] for entry in found["top"]] == list("bcead")


# --- lines -----------------------------------------------------------------------------------------------------------


def test_a_row_is_one_line_whatever_its_names():
    for name in ("plain", "two\nlines", "\x1b]0;title\x07", "\u202egnp.exe", "caf\udce9"):
        top = [{"label": name, "index": 0, "probability": 0.75}, {"label": "b", "index": 1, "probability": 0.25}]
        line = rows.line({"path": name, "top": top})
        assert line.isprintable() and line.endswith("75.0%  b 25.0%")


def test_csv_quotes_what_must_be_and_errors_fill_their_row():
    found = [
        {"path": 'a, "b"\n.png', "top": [{"label": "x,y", "probability": 0.5}, {"label": "z", "probability": 1 / 3}]},
        {"path": "c.png", "error": "truncated, of course"},
    ]
    lines = [rows.csv_head(2), *(rows.csv_lines(row, 2) for row in found)]
    assert lines[0] == "path,label,probability,label2,probability2,answer,error"
    table = list(csv.reader(io.StringIO("\n".join(lines) + "\n", newline="")))
    assert table[1:] == [
        ['a, "b"\n.png', "x,y", "0.500000", "z", "0.333333", "x,y", ""],
        ["c.png", "", "", "", "", "", "truncated, of course"],
    ]
    assert [rows.csv_path(line, 2) for line in lines[1:]] == [row["path"] for row in found]


@pytest.mark.parametrize("text", [",", "a.png,cat", 'a.png,cat,0.5,"x', "a.png,cat,0.5,dog,0.2,cat,,"])
def test_a_torn_line_of_csv_has_no_path(text):
    with pytest.raises(ValueError):
        rows.csv_path(text, 2)


# --- an evaluation ---------------------------------------------------------------------------------------------------


def result(**more):
    per_class = [
        {"label": "cat", "precision": 1.0, "recall": 0.5, "f1": 2 / 3, "support": 4},
        {"label": "do\ng", "precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0},
    ]
    return {
        "split": "test", "num_images": 4, "loss": 0.5, "top1": 0.5, "top5": 1.0, "top1_interval": [0.15, 0.85], "ece": 0.1,
        "unbalanced": False, "balanced_accuracy": 0.5, "balanced_accuracy_interval": None, "macro_f1": 0.6667,
        "macro_f1_interval": [0.2, 0.9], "too_few": ["cat"], "bad_images": {},
        "per_class": per_class, "confusion": [[2, 2], [0, 0]], "labels": ["cat", "do\ng"],
    } | more  # fmt: skip


def test_an_evaluation_as_text():
    assert rows.told(result(), per_class=False) == (
        "test accuracy 50.00% (95 % interval 15.00% to 85.00%) on 4 pictures; loss 0.5000, calibration error 10.00%\n"
        "balanced accuracy 50.00%, macro F1 66.67% (95 % interval 20.00% to 90.00%)\n"
        "too few pictures to judge (10 at least): cat"
    )
    assert ", top-5 100.00% on 4" in rows.told(result(labels=list("abcdef")), per_class=False)
    lines = rows.told(result(bad_images={"a.png": "gone", "b\n.png": "gone"}), per_class=True).splitlines()
    assert lines[3] == r"2 pictures could not be read: a.png, b\n.png"
    assert lines[5].split() == ["class", "precision", "recall", "F1", "pictures"]
    assert lines[7].split() == [r"do\ng", "-", "-", "-", "0"], "a class without images has no score"
    assert lines[-1] == r"commonest mistakes: 2 x cat taken for do\ng"


def test_an_evaluation_without_mistakes():
    assert rows.confusions(result(confusion=[[4, 0], [0, 0]])) == "commonest mistakes: none"
