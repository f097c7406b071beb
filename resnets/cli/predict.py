"""`resnets predict` and `resnets eval`: a model on pictures, and on labelled data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from resnets.cli import dense, tables
from resnets.cli.options import CONTEXT, EPILOG, amp_flag, data_dir_flag, device_flag, json_flag, runtime_flag
from resnets.errors import InputError


@click.command(context_settings=CONTEXT, epilog=EPILOG, short_help="Say what a model sees in pictures.")
@click.argument("model")
@click.argument("pictures", nargs=-1, required=True)
@click.option("--topk", type=click.IntRange(1), default=5, help="classes to name for a picture  [5]")
@click.option(
    "--format",
    "form_name",
    type=click.Choice(["table", "json", "csv"]),
    help="json: one object a line  [by the suffix of --out, else table]",
)
@click.option("--out", metavar="FILE", type=click.Path(path_type=Path), help="write there, each row when it is ready  [stdout]")
@click.option("--resume", is_flag=True, help="go on with --out: leave out pictures that it has rows of")
@click.option("--batch-size", "-b", type=click.IntRange(1), default=16, help="pictures at once  [16]")
@click.option("--workers", "-j", type=click.IntRange(0), help="threads that decode and predict  [one a processor, up to 8]")
@click.option("--threshold", type=click.FloatRange(0, 1), default=0.5, help="of detectors: the least score of an object  [0.5]")
@click.option("--draw", metavar="DIR", type=click.Path(path_type=Path), help="draw what is found where, a PNG a picture")
@click.option(
    "--masks",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="write class indices, or numbers of objects, as PNG or NIfTI",
)
@runtime_flag
@amp_flag
@device_flag
def predict(
    model: str,
    pictures: tuple[str, ...],
    *,
    form_name: str | None,
    out: Path | None,
    resume: bool,
    topk: int,
    runtime: str,
    amp: bool,
    device: str,
    threshold: float,
    draw: Path | None,
    masks: Path | None,
    **options: Any,
) -> None:
    """Say what MODEL sees in PICTURES: files, and folders with all that is below them. Of a detector or a segmenter, where."""
    from resnets.data.pictures.images import FileImages
    from resnets.models import header as saved
    from resnets.ship.sessions import dense_header, for_pictures, open_session
    from resnets.verbs import rows
    from resnets.verbs.predict import find_pictures, stream

    if (found_header := dense_header(model)) is not None:
        if runtime not in ("auto", "torch"):
            raise InputError(f"the task {found_header.task} runs in torch only, so far; leave out --runtime {runtime}")
        told: dict[str, Any] = {"form_name": form_name, "out": out, "resume": resume, "device": device, "amp": amp}
        dense.predict(model, found_header, pictures, threshold=threshold, draw=draw, masks=masks, **told)
        return
    if draw or masks:
        raise InputError("--draw and --masks are for models that say where things are; this one classifies; leave them out")
    form = rows.form_of(form_name, out)
    rows.check_out(out, form, resume)
    session = open_session(model, runtime=runtime, device=device, amp=amp)
    header = for_pictures(session.header)
    if terms := saved.terms(header):
        click.echo(tables.visible(f"weights  {terms}"), err=True)
    topk = min(topk, len(header.labels))
    images = FileImages(find_pictures(pictures), header.spec.in_chans)
    held = rows.held(out, form, topk, resume)
    todo = held.without(images)
    if not len(todo):
        click.echo(tables.visible(f"nothing left to do: {out} has a row of each of the {len(images)} pictures"))
        return
    found, num = stream(session, todo, topk=topk, **options), len(todo)
    bad = rows.write_all(found, num, out=out, form=form, topk=topk, held=held, resume=resume)
    if out:
        click.echo(tables.visible(f"{num} rows written to {out}"))
    rows.check_some(bad, num, held)


@click.command(
    "eval", context_settings=CONTEXT, epilog=EPILOG, short_help="Accuracy of a model on data, and how each class does."
)
@click.argument("model")
@click.argument("data")
@click.option("--split", type=click.Choice(["val", "test", "train"]), help="[test, else val, else train]")
@click.option("--out", metavar="DIR", help="write evaluation.json and drawings there")
@click.option("--batch-size", "-b", type=click.IntRange(1), default=256, help="pictures at once  [256]")
@click.option("--workers", "-j", type=click.IntRange(0), help="processes that decode  [one a processor]")
@click.option("--max-bad", type=click.IntRange(0), help="unreadable pictures to skip  [1 %, at least 10]")
@click.option("--ignore-index", type=click.IntRange(0, 255), help="of masks: an index that says nothing  [as trained]")
@runtime_flag
@amp_flag
@device_flag
@data_dir_flag
@json_flag
def evaluate(model: str, data: str, as_json: bool, **options: Any) -> None:
    """Evaluate MODEL (a .safetensors file, a run directory or an exported file) on DATA: accuracy, and how each class does."""
    from resnets.verbs.evaluate import evaluate

    result = evaluate(model, data, **options)
    if "weights" in result:
        click.echo(tables.visible(f"weights  {result['weights']}"), err=True)
    click.echo(json.dumps(result, ensure_ascii=False) if as_json else tables.evaluation(result, per_class=True))
