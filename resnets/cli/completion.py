"""What a shell offers at the Tab key: commands and flags by click; here the values: choices, networks, models, files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem, get_completion_class

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_RESNETS_COMPLETE"  # by which a shell asks
PLACES = ("FILE", "DIR", "FILE or NAME")  # metavars of flags that are paths
MODELS = ("model", "models")  # arguments that may be the name of a bundled model

Offer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


class Place(click.types.StringParamType):
    """Text that may be a path: a shell offers files, and `names` that fit."""

    def __init__(self, names: Callable[[], Sequence[str]] = tuple) -> None:
        self.names = names

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        fitting = [CompletionItem(name) for name in self.names() if incomplete and name.startswith(incomplete)]
        return fitting or [CompletionItem(incomplete, type="file")]


def _bundled() -> Sequence[str]:
    from resnets.models.header import boxed

    return tuple(boxed())


MODEL = Place(_bundled)


def offering(names: Iterable[str]) -> Offer:
    """For `shell_complete` of a flag: those of the names that begin as what was typed."""
    return lambda ctx, param, incomplete: [CompletionItem(name) for name in names if name.startswith(incomplete)]


def completing(command: click.Command) -> click.Command:
    """The command; its arguments and its flags for files offer files."""
    for each in command.commands.values() if isinstance(command, click.Group) else ():
        completing(each)
    for param in command.params:
        metavar = param.metavar or ""
        if param.type is click.STRING and (isinstance(param, click.Argument) or metavar in PLACES):
            param.type = MODEL if param.name in MODELS else Place()
    return command


def script(ctx: click.Context, param: click.Parameter, shell: str | None) -> None:
    """Print what a shell is to run at its start, and end."""
    if shell is None:
        return
    made: Any = get_completion_class(shell)
    # Of click's own source the class's check of the shell's version is left out: the script may be for another machine.
    click.echo(made.source_template % made(ctx.command, {}, "resnets", VARIABLE).source_vars())
    ctx.exit()
