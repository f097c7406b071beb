"""What a network can be trained for: a folder per task, a row each of one table. No torch, until a task needs it."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from resnets.engine.recipe import ALL_TASKS, Schema
from resnets.engine.settings import fields_of, show
from resnets.errors import InputError

if TYPE_CHECKING:
    from resnets.engine.contract import Task

# A task is the class of that name in `resnets/tasks/<name>/task.py`; its settings, which need no NumPy, are in settings.py.
TASKS = {
    "classify": "Classify",
    "detect": "Detect",
    "segment": "Segment",
    "tag": "Tag",
    "grade": "Grade",
    "embed": "Embed",
}
DEFAULT = "classify"


@cache
def get(name: str) -> Task:
    """The task called `name`; `InputError` names those that exist."""
    return getattr(_module(name, "task"), TASKS[name])()


@cache
def settings(name: str) -> Schema:
    """The settings of the task called `name`."""
    return getattr(_module(name, "settings"), f"{TASKS[name]}Settings")


def _module(name: str, part: str) -> ModuleType:
    if name not in TASKS:
        near = difflib.get_close_matches(str(name).lower(), TASKS, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise InputError(f"there is no task {str(name)[:80]!r}{hint}; this version has: {', '.join(TASKS)}")
    return importlib.import_module(f"resnets.tasks.{name}.{part}")


def of(asked: Mapping[str, Any]) -> Task:
    """The task that some settings are for, after a look at each of them.

    Raises:
        InputError: for a setting that other tasks have, which are named.
    """
    wanted = asked.get("task")
    task = get(DEFAULT if wanted is None else str(wanted))
    check_owned(task, asked)
    return task


def check_owned(task: Task, asked: Mapping[str, Any]) -> None:
    """Raise `InputError` for a setting that `task` does not have and other tasks have, which are named; not where
    version 0.1.0 wrote those of all tasks."""
    if asked.keys() >= ALL_TASKS:
        return
    own = fields_of(task.settings)
    for name, value in asked.items():
        if name not in own and value is not None and (others := owners(name)):
            raise InputError(
                f"{name}={show(value)}: the task {task.name} has no such setting, only {' and '.join(others)}; leave it out"
            )


def owners(name: str) -> list[str]:
    """The tasks that have the setting `name`."""
    return [task for task in TASKS if name in fields_of(settings(task))]
