"""`resnets tune`: settings that are better than the defaults by more than the noise of seeds."""

from __future__ import annotations

from typing import Any

import click

from resnets.cli.options import BEGAN, CONTEXT, EPILOG, SettingsCommand, data_dir_flag, json_flag, settings_flags
from resnets.draw.text import visible
from resnets.files import to_json


@click.command(cls=SettingsCommand, context_settings=CONTEXT, epilog=EPILOG, short_help="Search for better settings.")
@click.argument("data", required=False)
@click.option("--budget", metavar="TIME", help="wall time of all of it, such as 2h")
@click.option("--trials", type=click.IntRange(1), metavar="N", help="trials at most  [as many as the budget allows]")
@click.option(
    "--tune",
    "over",
    multiple=True,
    metavar="NAME[=A:B]",
    help="what is searched; several times: lr, weight_decay, augment, model, lr=0.01:1, opt=sgd:adamw  [what is not given]",
)
@click.option("--finalists", type=click.IntRange(1), metavar="N", help="best trials to compare, seed by seed  [2]")
@settings_flags
@click.option("--out", metavar="DIR", help="the folder of the search  [runs/TASK/tuneN]")
@click.option("--resume", is_flag=True, help="go on with the search in --out, or the newest")
@data_dir_flag
@json_flag
def tune(data: str | None, as_json: bool, **options: Any) -> None:
    """Search for settings with which a network learns DATA better than with the defaults: learning rate, weight decay,
    augmentation and network, by validation only; nothing is called better that the noise of seeds may explain. Settings that
    are given are fixed. The result is a page, and a recipe for `train --recipe` where something was found."""
    from resnets.cli.progress import watch
    from resnets.verbs.tune import tune
    from resnets.verbs.tune_verdict import told

    with watch() as reporter:
        found = tune(data, reporter=reporter, began=BEGAN, **options)
    if as_json:
        click.echo(to_json(found.to_json()))
        return
    for line in told(found.record):
        click.echo(visible(line))
    if found.best:
        click.echo(visible(f"use it: resnets train DATA --recipe {found.best}"))
    click.echo(visible(f"all of it in {found.path / 'report.html'}"))
