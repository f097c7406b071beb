"""`resnets train`: one run, or one for each seed or fold."""

from __future__ import annotations

import csv
import shlex
import time
from typing import Any

import click

from resnets import tasks
from resnets.cli import tables
from resnets.cli.options import (
    BEGAN,
    CONTEXT,
    EPILOG,
    SettingsCommand,
    check_engine,
    data_dir_flag,
    json_flag,
    num_workers_flag,
    settings_flags,
)
from resnets.draw.text import printable, visible
from resnets.files import to_json
from resnets.fleet.engines import ENGINES


@click.command(cls=SettingsCommand, context_settings=CONTEXT, epilog=EPILOG, short_help="Train a network.")
@click.argument("data", required=False)
@settings_flags
@click.option("--out", metavar="DIR", help="the run directory  [runs/TASK/trainN]")
@click.option(
    "--resume",
    is_flag=True,
    help="continue the run in --out, or the newest; start it if --out is empty; a greater length makes it longer",
)
@data_dir_flag
@click.option("--engine", type=click.Choice(list(ENGINES)), help="where processes or runs work: ray, on a Ray cluster  [local]")
@num_workers_flag
@json_flag
def train(
    data: str | None,
    out: str | None,
    resume: bool,
    data_dir: str | None,
    as_json: bool,
    engine: str | None,
    num_workers: int | None,
    **settings: Any,
) -> None:
    """Train a network on DATA (default: digits): a built-in dataset (`resnets data get` lists them), a folder with a folder per
    class, with or without train/val/test above them, a CSV list (path,label), or a .npz file of arrays; for other tasks
    folders of images with boxes or masks."""
    from resnets.cli.progress import watch
    from resnets.tasks.lines import images_of
    from resnets.verbs import repeats
    from resnets.verbs.train import train

    options: dict[str, Any] = {"out": out, "resume": resume, "data_dir": data_dir, **settings}
    check_engine(engine=engine, num_workers=num_workers)
    repeat: Any = repeats.repeat
    fit: Any = train
    more: dict[str, Any] = {"began": BEGAN}
    if engine is not None:
        from resnets.verbs import together, trials

        repeat, fit, more = trials.repeat, together.train, {"engine": engine, "num_workers": num_workers}
    if repeats.asked({"data": data, **settings}, out, resume=resume):
        with watch() as reporter:
            whole = repeat(data, reporter=reporter, **options, **more)
        result = whole.to_json()
        click.echo(to_json({"run": str(whole.path)} | result) if as_json else printable(tables.repeats(result)))
        if not as_json:
            click.echo(visible(f"all of it in {whole.summary} and {whole.path / 'report.html'}"))
        return
    with watch() as reporter:
        run = fit(data, reporter=reporter, **options, **more)
    if not run.result:  # of several processes the first one tells
        return
    bad = run.path / "bad_images.csv"
    if bad.exists():
        with bad.open(newline="", encoding="utf-8") as file:
            num_bad = sum(1 for _ in csv.DictReader(file))
        click.echo(visible(f"{num_bad} {images_of(run.result)} could not be read and were skipped; {bad} names them"), err=True)
    result = {"run": str(run.path), "seconds": round(time.perf_counter() - BEGAN, 2)} | run.result
    if as_json:
        click.echo(to_json(result))
        return
    click.echo(printable(tasks.get(result["task"]).rows.told(result, False)))
    click.echo(visible(f"{result['seconds']:.0f} s; all of it in {run.path / 'report.html'}"))
    if "/" not in run.model.spec.name:  # another library's, for comparison only
        click.echo(visible(f"use it: resnets predict {shlex.quote(str(run.path))} PICTURE..."))
