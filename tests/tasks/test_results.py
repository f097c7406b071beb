"""The rows of every task: found by its name, and all with the same functions."""

import csv
import inspect
import io

import numpy as np
import pytest

from resnets.errors import InputError
from resnets.tasks import TASKS, results
from resnets.tasks.lines import failed

ODD = ("plain", "two\nlines", "\x1b]0;title\x07", 'comma, "quote"', "caf\udce9")
SURFACE = {
    "row": ["answer", "labels", "wanted"],
    "line": ["row"],
    "csv_head": ["topk"],
    "csv_lines": ["row", "topk"],
    "told": ["result", "per_class"],
}
TASK = pytest.mark.parametrize("task", results.ROWS)


def test_every_task_has_rows():
    assert results.ROWS.keys() == TASKS.keys()
    assert set(results.RESULTS) == {name for name, task in TASKS.items() if not task.dense}
    assert results.PLACES.keys() == {name for name, task in TASKS.items() if task.dense}


@TASK
def test_rows_of_all_tasks_have_the_same_functions(task):
    rows = results.ROWS[task]
    for name, parameters in SURFACE.items():
        assert list(inspect.signature(getattr(rows, name)).parameters) == parameters, name
    assert rows.csv_path is None or list(inspect.signature(rows.csv_path).parameters) == ["text", "topk"]


def test_keys_tell_the_tasks_apart():
    keys = [rows.KEYS for rows in results.ROWS.values()]
    assert all(keys) and len(frozenset.union(*keys)) == sum(map(len, keys))


@TASK
@pytest.mark.parametrize("path", ODD)
def test_an_image_that_cannot_be_read_is_one_line_with_its_error(task, path):
    rows, row = results.ROWS[task], {"path": path, "error": "cut, or\noff"}
    assert rows.line(row) == failed(row) and rows.line(row).isprintable()
    head, line = rows.csv_head(2), rows.csv_lines(row, 2)
    (found,) = csv.DictReader(io.StringIO(f"{head}\n{line}\n", newline=""))
    assert found == dict.fromkeys(head.split(","), "") | row


def test_an_unknown_task_is_named():
    with pytest.raises(InputError, match="no task 'juggle'; this version has: classify"):
        results.of("juggle", np.zeros((1, 2)), "ab", topk=1)
