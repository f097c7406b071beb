"""What a network can be trained for: one module a task, one row each."""

from __future__ import annotations

from resnets.engine.contract import Task
from resnets.errors import InputError
from resnets.tasks.classify.task import Classify
from resnets.tasks.detect.task import Detect
from resnets.tasks.segment.task import Segment

TASKS: dict[str, Task] = {task.name: task for task in (Classify(), Detect(), Segment())}


def get(name: str) -> Task:
    """The task called `name`; `InputError` names those that exist."""
    if name not in TASKS:
        raise InputError(f"there is no task {name!r}; this version has: {', '.join(TASKS)}")
    return TASKS[name]
