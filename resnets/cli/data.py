"""`resnets data`: check, preview and get."""

from __future__ import annotations

import json
from typing import Any

import click

from resnets.cli.options import CONTEXT, EPILOG, SettingsCommand, data_dir_flag, json_flag, settings_flags
from resnets.draw.text import visible


@click.group(context_settings=CONTEXT, epilog=EPILOG)
def data() -> None:
    """Look at data before training on it; fetch known sets."""


@data.command(context_settings=CONTEXT, epilog=EPILOG)
@click.argument("data")
@click.option("--in-chans", type=click.IntRange(1), help="read pictures as 1, 3 or 4 channels")
@click.option("--ignore-index", type=click.IntRange(0, 255), help="a number in masks that says nothing, beside 255")
@click.option(
    "--task", type=click.Choice(["classify", "detect", "segment"]), help="where DATA has labels for several: for which"
)
@click.option("--masks", is_flag=True, help="of detection: look at the objects' masks, too")
@data_dir_flag
@json_flag
def check(
    data: str,
    in_chans: int | None,
    ignore_index: int | None,
    task: str | None,
    masks: bool,
    data_dir: str | None,
    as_json: bool,
) -> None:
    """Look for what spoils training in DATA: unreadable files, duplicates within and across splits, missing, tiny and one-sided
    classes, odd sizes and modes; of boxes, masks and volumes their labels. Ends with 2 where there are errors."""
    from resnets import tasks
    from resnets.cli.progress import counting
    from resnets.data.check import check
    from resnets.data.check.findings import lines
    from resnets.data.sources import open_source

    kind = None if task is None else tasks.get(task).kind
    with counting("checking") as progress:
        source = open_source(data, kind, data_dir=data_dir, in_chans=in_chans, masks=masks, ignore=ignore_index)
        findings = check(source, progress=progress)
    if as_json:
        click.echo(json.dumps(findings.to_json(), ensure_ascii=False))
    else:
        for line in lines(findings):
            click.echo(visible(line))
    if any(finding.level == "error" for finding in findings.findings):
        raise click.exceptions.Exit(2)


@data.command(cls=SettingsCommand, context_settings=CONTEXT, epilog=EPILOG)
@click.argument("data")
@click.option("--out", default="preview.png", metavar="FILE", help="the picture to write  [preview.png]")
@settings_flags
@data_dir_flag
def preview(data: str, out: str, data_dir: str | None, **settings: Any) -> None:
    """Draw what the network will see of DATA under the settings of `train`, which are the same here."""
    from resnets.verbs.preview import preview

    click.echo(preview(data, out=out, data_dir=data_dir, **settings))


@data.command("get", context_settings=CONTEXT, epilog=EPILOG)
@click.argument("data")
@data_dir_flag
def get(data: str, data_dir: str | None) -> None:
    """Fetch a known set (cifar10, cifar100) from its authors' site, checked; an interrupted fetch goes on."""
    from resnets.cli.progress import counting
    from resnets.data.readers import known

    with counting("fetching", unit="bytes") as progress:
        click.echo(known.get(data, data_dir, progress=progress))
