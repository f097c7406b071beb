"""`resnets verify`: do two pictures show the same?"""

from __future__ import annotations

from pathlib import Path

import click

from resnets.cli.options import CONTEXT, EPILOG, device_flag, json_flag, runtime_flag
from resnets.draw.text import visible
from resnets.errors import InputError
from resnets.files import to_json


@click.command(context_settings=CONTEXT, epilog=EPILOG, short_help="Compare two pictures: the same identity or not.")
@click.argument("model")
@click.argument("pictures", nargs=-1, metavar="A B")
@click.option("--pairs", metavar="FILE", type=click.Path(path_type=Path), help="a CSV list of pairs: a,b and, if known, same")
@click.option("--workers", "-j", type=click.IntRange(0), help="threads that decode images  [one per CPU, up to 8]")
@runtime_flag
@device_flag
@json_flag
def verify(
    model: str, pictures: tuple[str, ...], pairs: Path | None, workers: int | None, runtime: str, device: str, as_json: bool
) -> None:
    """Compare the pictures A and B by MODEL: their distance, whether they show the same person or thing by the model's
    threshold, and how often that was wrong on people that it was not chosen on."""
    from resnets.verbs import verify as verb

    if (pairs is None) != (len(pictures) == 2) or (pairs is not None and pictures):
        raise InputError(f"{len(pictures)} pictures{' and a list' * (pairs is not None)}; give two pictures, or --pairs FILE")
    todo, truth = ([(pictures[0], pictures[1])], None) if pairs is None else verb.read_pairs(pairs)
    found = verb.verify(model, todo, runtime=runtime, device=device, workers=workers)
    if truth is not None:
        found["scores"] = verb.scored(found, truth)
    if as_json:
        click.echo(to_json(found))
    else:
        for line in [*verb.told(found), *([verb.scored_words(found["scores"])] if truth is not None else [])]:
            click.echo(visible(line))
    if bad := [row for row in found["pairs"] if "error" in row]:
        raise InputError(f"{len(bad)} of {len(todo)} pairs could not be compared: {bad[0]['error']}")
