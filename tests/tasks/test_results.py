"""Outputs become results, as torch's softmax and topk would make them."""

import json
import math

import numpy as np
import pytest
import torch

from resnets.errors import InputError
from resnets.tasks import TASKS, results


def test_every_task_has_results():
    assert results.RESULTS.keys() == {name for name, task in TASKS.items() if not task.dense}
    assert results.PLACES.keys() == {name for name, task in TASKS.items() if task.dense}


def test_results_are_the_likeliest_first():
    outputs = np.array([[0.0, math.log(3.0), math.log(4.0)]], np.float32)
    (found,) = results.of("classify", outputs, ["a", "b", "c"], topk=2)
    assert found["label"] == "c" and found["index"] == 2 and found["probability"] == pytest.approx(0.5)
    assert [(entry["label"], entry["probability"]) for entry in found["top"]] == [
        ("c", pytest.approx(0.5)),
        ("b", pytest.approx(0.375)),
    ]
    assert len(results.of("classify", np.zeros((1, 3), np.float32), "abc", topk=9)[0]["top"]) == 3


@pytest.mark.parametrize("scale", [0.1, 1, 2000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_results_are_those_of_torch(dtype, scale):
    torch.manual_seed(0)
    outputs = torch.stack([torch.randperm(20) - 10 for _ in range(50)]).to(dtype) * scale  # no two of a row are equal
    found = results.of("classify", outputs.numpy(), [f"class {n}" for n in range(20)], topk=5)
    assert json.loads(json.dumps(found)) == found and len(found) == 50
    probabilities, indices = outputs.float().softmax(1).topk(5)
    for row, p, i in zip(found, probabilities.tolist(), indices.tolist(), strict=True):
        assert [entry["probability"] for entry in row["top"]] == pytest.approx(p, abs=2e-6)
        sure = [k for k in range(5) if p[k] > 1e-6]
        assert [row["top"][k]["index"] for k in sure] == [i[k] for k in sure]
        assert row["label"] == f"class {row['index']}" and row == {**row["top"][0], "top": row["top"]}


def test_of_equally_likely_classes_the_first_comes_first():
    (found,) = results.of("classify", np.array([[-500.0, 2.0, 2.0, -900.0, 2.0]], np.float32), "abcde", topk=5)
    assert [entry["label"] for entry in found["top"]] == list("bcead")


def test_an_unknown_task_is_named():
    with pytest.raises(InputError, match="no task 'juggle'; this version has: classify"):
        results.of("juggle", np.zeros((1, 2)), "ab", topk=1)
