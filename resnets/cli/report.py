"""`resnets report`: what runs did, as one page."""

from __future__ import annotations

from typing import Any

import click

from resnets.cli.options import CONTEXT, EPILOG
from resnets.draw.text import visible


@click.command(context_settings=CONTEXT, epilog=EPILOG, short_help="Make the page of a run again.")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option("--out", metavar="FILE", help="where to write the page  [RUN/report.html]")
def report(runs: tuple[str, ...], **options: Any) -> None:
    """Make report.html of a run directory again, from the files that are there."""
    from resnets.verbs.report.make import report

    click.echo(visible(f"written: {report(runs, **options)}"), err=True)
