"""`resnets paper`: the list of items, one of them run, or the report. No torch: trainings are processes of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from resnets.cli.options import CONTEXT, EPILOG, data_dir_flag, device_flag, json_flag
from resnets.draw.text import columns, visible
from resnets.errors import InputError
from resnets.files import to_json

REPORT = "report"
Told = tuple[dict[str, Any], Sequence[str]]  # for programs, and for people


@click.command("paper", context_settings=CONTEXT, epilog=EPILOG, short_help="Reproduce the paper's results.")
@click.argument("item", required=False)
@click.option("--scale", default="small", metavar="full|medium|small|tiny", help="how much of the protocol is run  [small]")
@click.option("--seeds", type=click.IntRange(1), help="runs of each network  [5, 3 or 1, depending on --scale]")
@click.option("--depths", metavar="N,N,...", help="layers of the CIFAR networks, also 1202  [depending on --scale]")
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="MODEL",
    help="for table4, table5: saved models to test; for previous: another network, such as timm/NAME; may be repeated",
)
@click.option("--jobs", type=click.IntRange(1), default=1, help="trainings at once; if more than one, each has one thread  [1]")
@click.option("--out", default="paper", metavar="DIR", help="folder of runs and results  [paper]")
@click.option("--to", metavar="DIR", help="for report: folder of the page  [OUT/report]")
@click.option("--data", default="cifar10", metavar="DATA", help="a built-in dataset, or a folder such as ImageNet's  [cifar10]")
@data_dir_flag
@device_flag
@json_flag
def paper(item: str | None, as_json: bool, **options: Any) -> None:
    """Reproduce ITEM of He et al. 2015: run the trainings that are missing, and show their results next to the paper's.

    Without ITEM: list the items, each with its claim, its cost on this machine, and what has been reproduced. `report` as
    ITEM: write one page of all results. Finished runs are not run again; interrupted ones continue with the same command."""
    verbs: dict[str | None, Callable[..., Told]] = {None: list_items, REPORT: report}
    told, lines = verbs.get(item, reproduce)(item, **options)
    if as_json:
        click.echo(to_json(told))
        return
    for line in lines:
        click.echo(visible(line))


def list_items(item: None, *, out: str, data: str, jobs: int, **options: Any) -> Told:
    from resnets.paper import items, scales

    found = items.listing(out, data, jobs)
    names = list(scales.SCALES)
    cells = [[row["name"], row["claims"], *(standing(row["scales"][name]) for name in names)] for row in found]
    lines = columns([["item", "what the paper claims", *names], *cells], "l" * (2 + len(names))).splitlines()
    rate = f"{items.STATED_RATE / 1e9:.0f} x 10^9 multiply-adds a second and process"
    measured = any(scale["measured"] for row in found for scale in row["scales"].values())
    lines += [
        "",
        "A time is what is left to train" + f", of {jobs} runs at once" * (jobs > 1) + f"; at {rate}"
        + ", or as fast as the finished runs of the scale (*)" * measured
        + ". +, - and ? count verdicts: holds, fails, inconclusive.",
        *(f"{scale.name}: {scale.shows}" for scale in scales.SCALES.values()),
    ]  # fmt: skip
    return {"out": out, "data": data, "items": found}, lines


def standing(scale: Mapping[str, Any]) -> str:
    """What an item has at a scale, and what is left: "12 min *", "+5 -1 ?2"."""
    from resnets.paper.trainings import minutes

    lacking = scale["runs"] - scale["finished"]
    found = scale["verdicts"]
    words = [] if found is None else [f"+{found['holds']} -{found['fails']} ?{found['inconclusive']}"]
    if lacking:
        words.append(f"{minutes(scale['seconds'])}{' *' * scale['measured']} ({lacking} of {scale['runs']} runs)")
    return ", ".join(words) or ("at once" if not scale["runs"] else "trained")


def report(item: str, *, out: str, to: str | None, **options: Any) -> Told:
    from resnets.paper import report

    markdown, html = report.write(out, to)
    return {"markdown": str(markdown), "html": str(html)}, [f"written: {markdown} and {html}"]


def reproduce(
    item: str, *, scale: str, seeds: int | None, depths: str | None, out: str, to: str | None, **options: Any
) -> Told:
    from resnets.cli.progress import say
    from resnets.paper import items, report, scales

    items.get(item)  # a wrong name is said before anything else
    if to is not None:
        raise InputError("--to is for `resnets paper report`; results of an item go below --out")
    chosen = scales.get(scale, seeds=seeds, depths=None if depths is None else whole_numbers(depths))
    result = items.reproduce(item, chosen, out=out, say=say, **options)
    folder = items.item_folder(Path(out), scale, options["data"], item)
    lines = [*report.lines(result), "", f"all of it in {folder}; one page of all results: resnets paper report --out {out}"]
    return {"folder": str(folder)} | result.to_json(), lines


def whole_numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--depths {text!r}: give whole numbers with commas between them, such as 20,56,110") from None
