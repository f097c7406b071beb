"""Flags and public Python names are promises. Both are listed in text files, and a change of either is made on purpose.

`python tests/cli/test_frozen.py` writes the lists anew.
"""

import inspect
import re
from pathlib import Path

import click
import pytest

import resnets
from resnets.cli.main import cli

FLAGS = Path(__file__).parent / "flags.txt"
NAMES = Path(__file__).parent.parent / "names.txt"
PLAIN = (type, type(None), bool, int, float, str, tuple)  # `type`: of inspect's mark for "no default"
HEAD = re.compile(r"[\w. ]+?(?= -| \[?[A-Z]|\(|$)")  # of a line: the command or the function


def commands(command, words):
    """(its words, the command) of each command below `command` that is not a group of others."""
    if not isinstance(command, click.Group):
        yield words, command
        return
    context = click.Context(command)
    for name in sorted(command.list_commands(context)):
        yield from commands(command.get_command(context, name), [*words, name])


def shown(parameter):
    """An argument as help shows it, or every spelling of a flag."""
    if isinstance(parameter, click.Argument):
        name = parameter.name.upper() + "..." * (parameter.nargs != 1)
        return [name if parameter.required else f"[{name}]"]
    return [*parameter.opts, *parameter.secondary_opts]


def flags():
    """A line for each command: its arguments in their order, then its flags, sorted."""
    lines = [f"resnets {' '.join(sorted(word for option in cli.params for word in shown(option)))} COMMAND --plugin"]
    for words, command in commands(cli, ["resnets"]):
        arguments = [word for one in command.params if isinstance(one, click.Argument) for word in shown(one)]
        options = [word for one in command.params if isinstance(one, click.Option) for word in shown(one)]
        options.remove("--plugin")  # which all of them have
        lines.append(" ".join([*words, *arguments, *sorted(options)]))
    return lines


def signature(of):
    """The parameters with their defaults, without types; a default that is no plain value as "..."."""
    found = inspect.signature(of)
    each = [
        one.replace(annotation=one.empty, default=one.default if type(one.default) in PLAIN else ...)
        for one in found.parameters.values()
        if one.name != "self"
    ]
    return str(found.replace(parameters=each, return_annotation=found.empty)).replace("Ellipsis", "...")


def methods(model):
    """Public methods and properties of our classes among the bases of `model`; torch's are its own promise."""
    ours = [base for base in model.__mro__ if base.__module__.startswith("resnets.")]
    for name in sorted({name for base in ours for name in vars(base) if not name.startswith("_")}):
        member = inspect.getattr_static(model, name)
        if isinstance(member, property):
            yield name
        elif callable(member) or isinstance(member, classmethod | staticmethod):
            yield name + signature(getattr(model, name))


def names():
    """A line for each name of the package, with its parameters, and for each public method of a model."""
    from resnets.models.model import Model

    lines = []
    for name in sorted(resnets.__all__):
        value = getattr(resnets, name)
        promised = callable(value) and not (isinstance(value, type) and issubclass(value, Exception))
        lines.append(f"resnets.{name}{signature(value) if promised else ''}")
    return [*lines, *(f"Model.{method}" for method in methods(Model))]


UPDATE = """
Where that is on purpose, run `python tests/cli/test_frozen.py`, which writes the list anew, and add a line to CHANGELOG.md.
What is gone or has another name stays for a while as a deprecation that names the new one."""
LISTS = {FLAGS: flags, NAMES: names}


def by_head(lines):
    return {(head := HEAD.match(line)[0]): line.removeprefix(head).split() for line in lines}


def changes(listed, now):
    """What differs, in a line for each command or function."""
    before, after = by_head(listed), by_head(now)
    yield from (f"gone: {head}" for head in before if head not in after)
    yield from (f"new: {head}" for head in after if head not in before)
    for head in [head for head in before if before[head] != after.get(head, before[head])]:
        gone = [word for word in before[head] if word not in after[head]]
        new = [word for word in after[head] if word not in before[head]]
        yield f"{head}: gone {gone}, new {new}" if gone or new else f"{head}: another order"


@pytest.mark.parametrize("file", LISTS, ids=lambda file: file.name)
def test_nothing_promised_has_changed_unnoticed(file):
    listed, now = file.read_text(encoding="utf-8").splitlines(), LISTS[file]()
    told = "\n".join([f"{file.name} lists what users rely on, and the code differs:", *changes(listed, now), UPDATE])
    assert listed == now, told


def test_a_change_is_named():
    listed = ["resnets", "resnets fit DATA --lr --wd", "resnets.fit(data, *, lr=0.1)", "Model.stages"]
    now = ["resnets", "resnets fit [DATA] --lr", "resnets.fit(data, lr=0.1)", "resnets.new()"]
    assert sorted(changes(listed, now)) == [
        "gone: Model.stages",
        "new: resnets.new",
        "resnets fit: gone ['DATA', '--wd'], new ['[DATA]']",
        "resnets.fit: gone ['*,'], new []",
    ]


if __name__ == "__main__":
    for file, found in LISTS.items():
        file.write_text("\n".join(found()) + "\n", encoding="utf-8")
