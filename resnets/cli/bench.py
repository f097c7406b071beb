"""`resnets bench`: the measurements of speed."""

from __future__ import annotations

from typing import Any

import click

from resnets.cli.options import CONTEXT, EPILOG, data_dir_flag, device_flag, json_flag
from resnets.draw.text import columns, printable, visible
from resnets.files import to_json

rounds_flag = click.option("--rounds", type=click.IntRange(1), default=3, help="how many times each row is measured  [3]")
rows_flag = click.option("--rows", metavar="NAME,...", help="what to measure, separated by commas  [most]")
bench_out_flag = click.option("--out", metavar="FILE", help="write FILE.json, and the table as FILE.md")


@click.group(context_settings=CONTEXT, epilog=EPILOG)
def bench() -> None:
    """Measure speed on this machine, next to the usual alternatives."""


@bench.command("predict", context_settings=CONTEXT, epilog=EPILOG)
@click.option("--model", default="resnet50", metavar="NAME|FILE|RUN", help="a network, or your own model  [resnet50]")
@click.option("--pictures", metavar="FOLDER", help="folder of jpg and png files  [parts of scikit-learn's sample photographs]")
@click.option("--num", type=click.IntRange(2), default=300, help="images, at most  [300]")
@rounds_flag
@rows_flag
@bench_out_flag
@json_flag
def bench_predict(**options: Any) -> None:
    """Measure prediction from image file to label: images per second, latency of a single image, time to the first label.
    Nothing else should run meanwhile."""
    from resnets.verbs.bench import predict

    run_bench(predict, **options)


@bench.command("train", context_settings=CONTEXT, epilog=EPILOG)
@click.option("--data", default="cifar10", metavar="DATA", help="as `resnets train` takes it, or synthetic  [cifar10]")
@click.option("--model", metavar="NAME", help="a network  [resnet20_cifar for images in memory, else resnet18]")
@click.option("--steps", type=click.IntRange(1), help="steps that are timed, per row and round  [60 in memory, else 8]")
@rounds_flag
@rows_flag
@bench_out_flag
@device_flag
@data_dir_flag
@json_flag
def bench_train(**options: Any) -> None:
    """Measure training with data loading: images per second, time spent waiting for data, memory. Nothing else should run
    meanwhile."""
    from resnets.verbs.bench import train

    run_bench(train, **options)


def run_bench(room: Any, *, out: str | None, rows: str | None, as_json: bool, **options: Any) -> None:
    """Let a room of `resnets.verbs.bench` measure; print the result, and write it to `out`."""
    from resnets.cli.progress import counting
    from resnets.verbs.bench import table

    if out:
        table.check_out(out)
    names = None if rows is None else [name.strip() for name in rows.split(",") if name.strip()]
    with counting("measuring", unit="processes") as progress:
        result = room.measure(rows=names, progress=progress, **options)
    report = room.report(result)
    if as_json:
        click.echo(to_json(result))
    else:
        for line in (*report.heading, ""):
            click.echo(visible(line))
        click.echo(printable(columns(report.cells, report.right)))
        for line in report.remarks:
            click.echo(visible(line))
    if out:
        written = " and ".join(map(str, table.write(result, report, out)))
        click.echo(visible(f"written: {written}"), err=True)
