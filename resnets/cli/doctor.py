"""`resnets doctor`: whether the installation works, and what a report of a fault should say of it."""

from __future__ import annotations

import click

from resnets.cli.options import CONTEXT, EPILOG, json_flag
from resnets.draw.text import visible
from resnets.errors import InputError
from resnets.files import to_json


@click.command(context_settings=CONTEXT, epilog=EPILOG, short_help="Look at the installation and the machine.")
@json_flag
def doctor(as_json: bool) -> None:
    """Tell versions, what the processor and the GPU can do, how fast they are, and what is missing for which command, with the
    line that installs it. Paste all of it into a report of a fault: it names no user, host or folder. Exit code 2 where
    resnets cannot work."""
    from resnets.verbs.doctor import doctor, lines

    found = doctor()
    if as_json:
        click.echo(to_json(found, indent=2))
    else:
        for line in lines(found):
            click.echo(visible(line))
    if found["faults"]:
        raise InputError(found["faults"][0])
