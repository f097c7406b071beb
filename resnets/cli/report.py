"""`resnets report`: what runs did, as one page."""

from __future__ import annotations

from typing import Any

import click

from resnets.cli.options import CONTEXT, EPILOG, data_dir_flag, device_flag
from resnets.draw.text import visible


@click.command(context_settings=CONTEXT, epilog=EPILOG, short_help="Make the page of a run again.")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option("--out", metavar="FILE", help="where to write the page  [RUN/report.html]")
@click.option("--robustness", is_flag=True, help="evaluate on noisy, blurred, compressed, brighter and turned pictures, too")
@click.option("--data", metavar="DATA", help="labelled data  [as trained]")
@click.option("--workers", "-j", type=click.IntRange(0), metavar="N", help="processes that read pictures  [the processors]")
@device_flag
@data_dir_flag
def report(runs: tuple[str, ...], **options: Any) -> None:
    """Make report.html of a run directory again: from its files and, where its data is there, with the pictures."""
    from resnets.cli.progress import say
    from resnets.verbs.report.make import report

    click.echo(visible(f"written: {report(runs, say=say, **options)}"), err=True)
