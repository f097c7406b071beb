"""Help and version: every verb has its text, choices are those of the tables, and nothing slow is imported."""

import shlex
import subprocess
import sys

import pytest

from resnets import __version__
from resnets.cli.main import cli
from resnets.engine.recipe import FIELDS
from resnets.ship.formats import FORMATS
from resnets.ship.sessions import RUNTIMES
from tests.cli.made import said

VERBS = ("train", "eval", "convert", "predict", "export", "models", "info", "data", "bench", "paper")


@pytest.mark.parametrize("words", ["", *VERBS, "data check", "data preview", "data get", "bench predict", "bench train"])
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_of_every_verb(words, flag, capsys):
    out, err = said(capsys, f"{words} {flag}")
    assert err == "" and out.startswith(f"Usage: resnets {words}".rstrip())
    assert "--debug" in out and max(map(len, out.splitlines())) <= 120


def test_help_of_train_has_every_setting(capsys):
    out, _ = said(capsys, "train --help")
    for name in FIELDS.keys() - {"data"}:
        assert f"--{name.replace('_', '-')}" in out, name
    for short in ("-b,", "-j,", "--wd", "--imgsz"):
        assert short in out, short


def test_version(capsys):
    assert said(capsys, "-V") == said(capsys, "--version") == (f"resnets {__version__}\n", "")


def choices(verb, name):
    return next(list(p.type.choices) for p in cli.commands[verb].params if p.name == name)


def test_choices_are_those_of_the_tables():
    for verb in ("predict", "eval"):
        assert choices(verb, "runtime") == ["auto", *RUNTIMES]
    assert sorted(choices("export", "form")) == sorted(FORMATS)


def test_verbs_are_those_of_the_contract():
    assert set(cli.commands) == set(VERBS) and set(cli.commands["data"].commands) == {"check", "preview", "get"}


@pytest.mark.parametrize(
    "words", ["--help", "train --help", "-V", "models", "models cifar --json", "info resnet50", "info resnet50 --json"]
)
def test_what_needs_no_torch_imports_none(words):
    code = f"""
import sys
from resnets.cli.main import main
try:
    main({shlex.split(words)!r})
except SystemExit as stopped:
    assert not stopped.code
slow = ("torch", "torchvision", "numpy", "sklearn", "matplotlib", "PIL", "pandas")
print([name for name in slow if name in sys.modules], file=sys.stderr)
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr == "[]\n"
