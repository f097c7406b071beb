"""The table of tasks: names, settings without torch, and whose setting it is."""

import subprocess
import sys

import pytest

from resnets import tasks
from resnets.errors import InputError


@pytest.mark.parametrize("name", tasks.TASKS)
def test_a_row_is_a_task_with_its_settings(name):
    assert tasks.get(name).name == name and tasks.get(name) is tasks.get(name)
    assert tasks.get(name).settings is tasks.settings(name)


@pytest.mark.parametrize("find", [tasks.get, tasks.settings], ids=lambda find: find.__name__)
def test_a_task_that_there_is_not(find):
    with pytest.raises(InputError, match="no task 'sing'; this version has: classify, detect, segment"):
        find("sing")
    with pytest.raises(InputError) as error:
        find("A" * 20_000)
    assert len(str(error.value)) < 400


def test_the_task_that_some_settings_are_for():
    assert tasks.of({}).name == tasks.DEFAULT
    assert tasks.of({"task": "segment", "jitter": 0.1}).name == "segment"
    assert tasks.of({"mixup": None, "task": "segment"}).name == "segment", "what is not given belongs to nobody"
    assert tasks.of({"task": "detect", "nonsense": 1}).name == "detect", "what nobody has is for the recipe to refuse"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"task": "segment", "mixup": 0.2}, "mixup=0.2: the task segment has no such setting, only classify"),
        ({"task": "detect", "balance": "loss"}, "balance=loss: the task detect has no such setting, only classify"),
        ({"scales": (0.5, 1.0)}, "scales=0.5,1: the task classify has no such setting, only detect and segment"),
        ({"task": "segment", "masks": True}, "masks=True: the task segment has no such setting, only detect; leave it out"),
    ],
    ids=str,
)
def test_a_setting_of_other_tasks_is_refused_with_their_names(settings, said):
    with pytest.raises(InputError, match=said):
        tasks.of(settings)


def test_a_recipe_of_version_0_1_0_has_the_settings_of_all_tasks():
    assert tasks.of({"task": "segment", "mixup": 0.0, "scales": (1.0,), "masks": False}).name == "segment"


def test_settings_need_no_torch():
    code = (
        "import sys; from resnets import tasks; [tasks.settings(name) for name in tasks.TASKS]; print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "False\n"
