"""Help and version: every verb has its text, choices are those of the tables, and nothing slow is imported."""

import re
import subprocess
import sys

import click
import pytest

from resnets import __version__, tasks
from resnets.cli.main import COMMANDS, cli
from resnets.engine.settings import fields_of
from resnets.paper.scales import SCALES
from resnets.ship.formats import FORMATS
from resnets.ship.sessions import RUNTIMES
from tests.cli.made import said

VERBS = (
    "train",
    "tune",
    "eval",
    "calibrate",
    "convert",
    "doctor",
    "predict",
    "push",
    "export",
    "models",
    "info",
    "data",
    "bench",
    "paper",
    "explain",
    "serve",
    "report",
    "embed",
    "index",
    "search",
    "cluster",
    "verify",
    "faces",
)


@pytest.mark.parametrize(
    "words", ["", *VERBS, "data check", "data preview", "data get", "data repair", "bench predict", "bench train"]
)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_of_every_verb(words, flag, capsys):
    out, err = said(capsys, f"{words} {flag}")
    assert err == "" and out.startswith(f"Usage: resnets {words}".rstrip())
    assert "--debug" in out and max(map(len, out.splitlines())) <= 120


@pytest.mark.parametrize("task", tasks.TASKS)
def test_help_of_train_has_every_setting_of_the_task_and_none_of_others(task, capsys):
    out, _ = said(capsys, f"train --task {task} --help")
    for other in tasks.TASKS:
        for name in fields_of(tasks.settings(other)).keys() - {"data"}:
            shown = re.search(rf"--{name.replace('_', '-')}[ ,/]", out)
            assert bool(shown) == (name in fields_of(tasks.settings(task))), name
    for name, field in fields_of(tasks.settings(task)).items():
        if field.metadata["choices"]:
            assert f"--{name.replace('_', '-')} {'|'.join(field.metadata['choices'])}\n" in re.sub(r"(\S)  .*", r"\1", out), (
                name
            )
    for short in ("-b,", "-j,", "--wd", "--imgsz"):
        assert short in out, short
    assert re.findall(r"^(\w[^\n]*):$", out, re.MULTILINE)[0] == "Common"


def test_version(capsys):
    assert said(capsys, "-V") == said(capsys, "--version") == (f"resnets {__version__}\n", "")


def command(name):
    return cli.get_command(click.Context(cli), name)


def choices(verb, name):
    return next(list(p.type.choices) for p in command(verb).params if p.name == name)


def test_choices_are_those_of_the_tables():
    for verb in ("predict", "eval"):
        assert choices(verb, "runtime") == ["auto", *RUNTIMES]
    assert sorted(choices("export", "form")) == sorted(FORMATS)
    scale = next(p for p in command("paper").params if p.name == "scale")
    assert scale.metavar.split("|") == list(SCALES)


def test_verbs_are_those_of_the_contract():
    assert set(COMMANDS) == set(VERBS) and set(command("data").commands) == {"check", "preview", "get", "pack", "repair"}


def test_what_needs_no_torch_imports_none():
    """In one process, which has imported none if none of them does."""
    commands = ("--help", "train --help", "-V", "models", "models cifar --json", "info resnet50", "info resnet50 --json")
    code = f"""
import sys
from resnets.cli.main import main
slow = ("torch", "torchvision", "numpy", "sklearn", "matplotlib", "PIL", "pandas")
for words in {commands!r}:
    try:
        main(words.split())
    except SystemExit as stopped:
        assert not stopped.code
    print([name for name in slow if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n" * len(commands)
