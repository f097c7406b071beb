"""`resnets data`: check, repair, preview, pack and get."""

from __future__ import annotations

import sys
from typing import Any

import click

from resnets import tasks
from resnets.cli.options import (
    CONTEXT,
    EPILOG,
    SettingsCommand,
    corrections_flag,
    data_dir_flag,
    device_flag,
    json_flag,
    runtime_flag,
    settings_flags,
)
from resnets.draw.text import printable, visible
from resnets.files import to_json


@click.group(context_settings=CONTEXT, epilog=EPILOG)
def data() -> None:
    """Check, repair, preview and pack data; download built-in datasets."""


@data.command(context_settings=CONTEXT, epilog=EPILOG)
@click.argument("data")
@click.option("--in-chans", type=click.IntRange(1), help="read images as 1, 3 or 4 channels")
@click.option("--ignore-index", type=click.IntRange(0, 255), help="an index in masks that means no label, besides 255")
@click.option("--task", type=click.Choice(list(tasks.TASKS)), help="the task to check, where DATA has labels for several")
@click.option("--group-by", metavar="TEXT", help="check these groups, as in train  [look for likely ones]")
@click.option("--masks", is_flag=True, help="detection: check the instance masks too")
@corrections_flag
@data_dir_flag
@json_flag
def check(
    data: str,
    in_chans: int | None,
    ignore_index: int | None,
    task: str | None,
    group_by: str | None,
    masks: bool,
    corrections: str | None,
    data_dir: str | None,
    as_json: bool,
) -> None:
    """Check DATA for what harms training: unreadable files, duplicates within and across splits, likely groups of pictures that
    belong together, missing and tiny classes, classes that differ in format or size, unusual sizes and modes; for detection and
    segmentation also boxes and masks. Exit code 2 where there are errors."""
    from resnets.cli.progress import counting
    from resnets.data.check import check
    from resnets.data.check.findings import lines
    from resnets.data.corrections import corrected
    from resnets.data.groups import chosen, grouped
    from resnets.data.sources import open_source

    kind = None if task is None else tasks.get(task).kind
    with counting("checking") as progress:
        source = open_source(data, kind, data_dir=data_dir, in_chans=in_chans, masks=masks, ignore=ignore_index)
        findings = check(corrected(grouped(source, chosen(source, group_by)), corrections), progress=progress)
    if as_json:
        click.echo(to_json(findings.to_json()))
    else:
        for line in lines(findings):
            click.echo(visible(line))
    if any(finding.level == "error" for finding in findings.findings):
        raise click.exceptions.Exit(2)


@data.command(context_settings=CONTEXT, epilog=EPILOG)
@click.argument("data")
@click.option("--weights", metavar="MODEL", help="whose features are looked at  [resnet56_cifar10]")
@click.option("--out", "-o", metavar="DIR", help="folder for repair.html and issues.csv  [runs/repair/repairN]")
@click.option("--task", type=click.Choice(list(tasks.TASKS)), help="the task, where DATA has labels for several  [classify]")
@click.option("--split", type=click.Choice(["train", "val", "test"]), help="only this one  [all together]")
@click.option("--most", type=click.IntRange(1), default=100, help="pictures of each kind on the page  [100]")
@click.option("--group-by", metavar="TEXT", help="keep these groups together in folds, as in train")
@corrections_flag
@click.option("--seed", type=click.IntRange(0), default=0, help="of the folds  [0]")
@click.option("--workers", "-j", type=click.IntRange(0), help="processes that decode images  [one per CPU]")
@click.option("--max-bad", type=click.IntRange(0), help="unreadable images to skip, at most  [1 %, at least 10]")
@runtime_flag
@device_flag
@data_dir_flag
@json_flag
def repair(data: str, out: str | None, as_json: bool, **options: Any) -> None:
    """Find labels of DATA that are likely wrong, copies, and pictures unlike all others. Writes issues.csv, and repair.html, a
    page to go through with keys, which writes a list for `train --corrections`.

    A label is doubted where a logistic regression on the features of a model, fitted to other pictures, believes another class.
    """
    from resnets.cli.progress import counting, say
    from resnets.engine.run import RunDir
    from resnets.verbs.issues import told
    from resnets.verbs.repair import repair

    run = RunDir(out) if out else RunDir.create(None, "repair", "repair")
    with run.begun(), counting("looking") as progress:
        found = repair(data, out=run.path, say=say, progress=progress, **options)
    if as_json:
        click.echo(to_json(found.to_json()))
    else:
        for line in told(found):
            click.echo(visible(line))
    click.echo(visible(f"written: {run.path / 'repair.html'}"), err=True)


@data.command(cls=SettingsCommand, context_settings=CONTEXT, epilog=EPILOG)
@click.argument("data")
@click.option("--out", default="preview.png", metavar="FILE", help="the image file to write  [preview.png]")
@settings_flags
@data_dir_flag
def preview(data: str, out: str, data_dir: str | None, **settings: Any) -> None:
    """Draw images of DATA as the network will see them in training. The settings are those of `train`."""
    from resnets.verbs.preview import preview

    click.echo(visible(str(preview(data, out=out, data_dir=data_dir, **settings))))


@data.command(context_settings=CONTEXT, epilog=EPILOG)
@click.argument("data")
@click.option("--out", "-o", required=True, metavar="DIR", help="folder for the shards, new or empty")
@click.option("--task", type=click.Choice(list(tasks.TASKS)), help="whose labels  [classify]")
@click.option("--size", type=click.IntRange(0), default=320, help="pixels of the shorter side; 0: nothing is resized  [320]")
@click.option(
    "--format", "form", type=click.Choice(["jpeg", "png", "webp", "keep"]), default="jpeg", help="of pictures  [jpeg]"
)
@click.option("--quality", type=click.IntRange(1, 100), default=90, help="of JPEG  [90]")
@click.option("--shard-size", metavar="BYTES", default="256MB", help="of a shard, about  [256MB]")
@click.option("--seed", type=click.IntRange(0), default=0, help="of the order in the shards  [0]")
@click.option("--group-by", metavar="TEXT", help="what belongs together, as in train; it is packed too")
@click.option("--target", metavar="TEXT", help="grade: the column of a list, as in train")
@click.option("--workers", "-j", type=click.IntRange(1), help="threads that decode  [one per CPU, at most 8]")
@click.option("--max-bad", type=click.IntRange(0), help="unreadable images to leave out, at most  [1 %, at least 10]")
@click.option("--resume", is_flag=True, help="go on with what is in DIR, if there is something")
@data_dir_flag
@json_flag
def pack(data: str, out: str, form: str, as_json: bool, **options: Any) -> None:
    """Write DATA as resized pictures in WebDataset shards, which train, eval and others take as DATA.

    The default size leaves room for crops to 224: evaluation cuts these from 256. Pictures that are small enough and have the
    format stay byte for byte, and so do those of more than 8 bits and of DICOM.
    """
    from resnets.cli.progress import counting, say
    from resnets.verbs.pack import pack, told

    with counting("packing") as progress:
        shown = progress if sys.stderr.isatty() else None  # elsewhere a line tells of each shard
        found = pack(data, out=out, format=form, say=say, progress=shown, **options)
    if as_json:
        click.echo(to_json(found))
        return
    for line in told(found, out):
        click.echo(visible(line))


@data.command("get", context_settings=CONTEXT, epilog=EPILOG)
@click.argument("data", required=False)
@data_dir_flag
@json_flag
def get(data: str | None, data_dir: str | None, as_json: bool) -> None:
    """Download a built-in dataset from its makers' site, and verify it; its size and terms are told first. Without DATA, list
    the built-in datasets."""
    from resnets.cli.progress import counting, say
    from resnets.cli.tables import datasets
    from resnets.data.readers import known

    if data is not None:
        with counting("fetching", unit="bytes") as progress:
            path = known.get(data, data_dir, progress=progress, say=say)
        click.echo(to_json({"path": str(path)}) if as_json else visible(str(path)))
        return
    rows = known.listing(data_dir)
    click.echo(to_json(rows) if as_json else printable(datasets(rows)))
