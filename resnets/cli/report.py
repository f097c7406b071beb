"""`resnets report`: what runs did, as one page."""

from __future__ import annotations

from typing import Any

import click

from resnets.cli.options import CONTEXT, EPILOG, data_dir_flag, device_flag, json_flag
from resnets.draw.text import visible
from resnets.files import to_json


@click.command(context_settings=CONTEXT, epilog=EPILOG, short_help="Make the page of a run again, or compare several.")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option("--out", metavar="FILE", help="where to write the page  [RUN/report.html; of several compare.html]")
@click.option("--robustness", is_flag=True, help="evaluate on noisy, blurred, compressed, brighter and turned pictures, too")
@click.option("--data", metavar="DATA", help="labelled data  [as trained]")
@click.option("--workers", "-j", type=click.IntRange(0), metavar="N", help="processes that read pictures  [the processors]")
@device_flag
@data_dir_flag
@json_flag
def report(runs: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Make report.html of a run directory again: from its files and, where its data is there, with the pictures. Of several
    runs: one page with their curves, their differences to the first, their costs, and the settings that differ; with --json
    without --out its figures alone."""
    from resnets.cli.progress import say
    from resnets.verbs.report import several
    from resnets.verbs.report.make import report

    if as_json:
        click.echo(to_json(several.compare(runs)))
        if options["out"] is None:
            return
    click.echo(visible(f"written: {report(runs, say=say, **options)}"), err=True)
