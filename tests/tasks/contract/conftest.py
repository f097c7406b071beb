"""One finished run of each task, which the tests of the contract look at from all sides."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from resnets import tasks
from resnets.data.types import Source
from resnets.engine.contract import Task
from resnets.models.model import Model
from resnets.verbs.train import train
from tests.tasks.contract.made import NARROW, ROWS, Row


class Done(NamedTuple):
    """A finished run: its task, its row, its data, and what became of it."""

    task: Task
    row: Row
    data: Path
    path: Path
    model: Model
    result: dict[str, Any]
    settings: dict[str, Any]
    source: Source
    pictures: Sequence[str]  # paths of the validation split


@pytest.fixture(scope="session", params=tasks.TASKS)
def done(request, tmp_path_factory):
    name, folder = request.param, tmp_path_factory.mktemp(request.param)
    assert name in ROWS, "a new task joins by a row of tests/tasks/contract/made.py"
    row, task = ROWS[name], tasks.get(name)
    data = row.make(folder / "data", train=6, val=3)
    settings = {**NARROW, **row.settings, "task": name}
    with row.within():
        run = train(str(data), out=folder / "run", **settings)
    source = task.open_for(run.model.header, str(data), {}, data_dir=None)
    images = source.splits["val"].images
    pictures = [images.name(index) for index in range(len(images))]
    return Done(task, row, data, run.path, run.model, run.result, settings, source, pictures)
