"""`resnets report`: what runs did, as one page."""

from __future__ import annotations

from typing import Any

import click

from resnets.cli.options import CONTEXT, EPILOG, json_flag
from resnets.draw.text import visible
from resnets.files import to_json


@click.command(context_settings=CONTEXT, epilog=EPILOG, short_help="Make the page of a run again, or compare several.")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option("--out", metavar="FILE", help="where to write the page  [RUN/report.html; of several compare.html]")
@json_flag
def report(runs: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Make report.html of a run directory again, from the files that are there. Of several runs: one page with their curves,
    their differences to the first, their costs, and the settings that differ; with --json without --out its figures alone."""
    from resnets.verbs.report import several
    from resnets.verbs.report.make import report

    if as_json:
        click.echo(to_json(several.compare(runs)))
        if options["out"] is None:
            return
    click.echo(visible(f"written: {report(runs, **options)}"), err=True)
