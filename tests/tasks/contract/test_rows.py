"""The rows of every task have the same functions, and treat alike what is no answer: an image that cannot be read."""

import csv
import inspect
import io

import pytest

from resnets import tasks
from resnets.tasks.lines import failed

ODD = ("plain", "two\nlines", "\x1b]0;title\x07", 'comma, "quote"', "caf\udce9")
ROWS = {name: tasks.get(name).rows for name in tasks.TASKS}
SURFACE = {
    "row": ["answer", "labels", "wanted"],
    "line": ["row"],
    "csv_head": ["topk"],
    "csv_lines": ["row", "topk"],
    "told": ["result", "per_class"],
}
TASK = pytest.mark.parametrize("task", ROWS)


@TASK
def test_rows_of_all_tasks_have_the_same_functions(task):
    rows = ROWS[task]
    for name, parameters in SURFACE.items():
        assert list(inspect.signature(getattr(rows, name)).parameters) == parameters, name
    assert rows.csv_path is None or list(inspect.signature(rows.csv_path).parameters) == ["text", "topk"]


def test_keys_tell_the_tasks_apart():
    keys = [rows.KEYS for rows in ROWS.values()]
    assert all(keys) and len(frozenset.union(*keys)) == sum(map(len, keys))


@TASK
@pytest.mark.parametrize("path", ODD)
def test_an_image_that_cannot_be_read_is_one_line_with_its_error(task, path):
    rows, row = ROWS[task], {"path": path, "error": "cut, or\noff"}
    assert rows.line(row) == failed(row) and rows.line(row).isprintable()
    head, line = rows.csv_head(2), rows.csv_lines(row, 2)
    (found,) = csv.DictReader(io.StringIO(f"{head}\n{line}\n", newline=""))
    assert found == dict.fromkeys(head.split(","), "") | row
