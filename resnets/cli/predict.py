"""`resnets predict` and `resnets eval`: a model on pictures, and on labelled data."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from resnets import tasks
from resnets.cli.options import CONTEXT, EPILOG, amp_flag, data_dir_flag, device_flag, json_flag, runtime_flag
from resnets.draw.text import visible
from resnets.errors import InputError


@click.command(context_settings=CONTEXT, epilog=EPILOG, short_help="Predict images with a model.")
@click.argument("model")
@click.argument("pictures", nargs=-1, required=True)
@click.option("--topk", type=click.IntRange(1), default=5, help="classes per image, the likeliest first  [5]")
@click.option(
    "--format",
    "form_name",
    type=click.Choice(["table", "json", "csv"]),
    help="json: one object per line  [by the suffix of --out, else table]",
)
@click.option("--out", metavar="FILE", type=click.Path(path_type=Path), help="write each row there when it is ready  [stdout]")
@click.option("--resume", is_flag=True, help="continue --out: skip images that have a row there")
@click.option("--batch-size", "-b", type=click.IntRange(1), default=16, help="images per batch  [16]")
@click.option("--workers", "-j", type=click.IntRange(0), help="threads that decode and predict  [one per CPU, up to 8]")
@click.option("--threshold", type=click.FloatRange(0, 1), default=0.5, help="detection: the lowest score of an object  [0.5]")
@click.option("--draw", metavar="DIR", type=click.Path(path_type=Path), help="draw boxes or masks over each image, as PNG")
@click.option(
    "--masks",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="write masks (class indices, or object numbers) as PNG or NIfTI files",
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
    """Predict PICTURES (files, and folders with all images below them) with MODEL: classes with their probabilities; for
    detection, objects with their bounding boxes; for segmentation, classes with their share of the image."""
    from resnets.cli.progress import counting
    from resnets.data.pictures.inputs import INPUTS
    from resnets.data.readers.walk import Left
    from resnets.models.answering import Wanted
    from resnets.models.header import terms
    from resnets.ship.sessions import answering, open_session
    from resnets.verbs import rows
    from resnets.verbs.predict import find_files, stream

    if resume and out is None:
        raise InputError("--resume needs the file to go on with; name it with --out")
    session = open_session(model, runtime=runtime, device=device, amp=amp)
    header, task = session.header, answering(session.header)
    form, wanted = rows.form_of(task.rows, form_name, out), Wanted(min(topk, len(header.labels)), threshold)
    if out:
        rows.check_out(out, form, resume)
    task.check_asked(header, draw=draw is not None, masks=masks is not None)
    if told := terms(header):
        click.echo(visible(f"weights  {told}"), err=True)
    left = Left()
    todo = files = find_files(header, pictures, left)
    say_notes(note.text for note in left.notes())
    held = rows.Held()
    if out and resume:
        held = rows.held(out, form, wanted.topk)
        todo = held.without(files)
        if not len(todo):
            click.echo(visible(f"nothing left to do: {out} has a row of each of the {len(files)} pictures"))
            return
    targets = rows.Beside()
    if draw or masks:
        suffix = INPUTS[header.spec.dims].mask_suffix
        targets = rows.placed_beside(files, draw, masks, suffix, todo if resume else None, out)
    found = rows.beside(stream(session, todo, wanted=wanted, **options), task, header.labels, wanted, targets)
    if out:
        more: dict[str, Any] = {"form": form, "topk": wanted.topk, "held": held, "resume": resume}
        bad = rows.write_to(out, found, len(todo), counting=counting, **more)
        click.echo(visible(f"rows of {len(todo)} pictures written to {out}"))
    else:
        bad = rows.write_all(found, form, wanted.topk)
    rows.check_some(bad, len(todo), held)


def say_notes(texts: Iterable[str]) -> None:
    """Say on stderr what is left out, or taken for another thing."""
    for text in texts:
        click.echo(visible(f"data     {text}"), err=True)


@click.command("eval", context_settings=CONTEXT, epilog=EPILOG, short_help="Evaluate a model on labelled data.")
@click.argument("model")
@click.argument("data")
@click.option("--split", type=click.Choice(["val", "test", "train"]), help="[test, else val, else train]")
@click.option("--out", metavar="DIR", help="folder for evaluation.json and figures")
@click.option("--batch-size", "-b", type=click.IntRange(1), default=256, help="images per batch  [256]")
@click.option("--workers", "-j", type=click.IntRange(0), help="processes that decode images  [one per CPU]")
@click.option("--max-bad", type=click.IntRange(0), help="unreadable images to skip, at most  [1 %, at least 10]")
@click.option(
    "--ignore-index",
    type=click.IntRange(0, 255),
    help="in masks: an index that is left out of all scores  [as trained]",
)
@runtime_flag
@amp_flag
@device_flag
@data_dir_flag
@json_flag
def evaluate(model: str, data: str, as_json: bool, **options: Any) -> None:
    """Evaluate MODEL (a .safetensors file, a run directory or an exported file) on DATA: scores
    overall and per class."""
    from resnets.verbs.evaluate import evaluate

    result = evaluate(model, data, **options)
    say_notes(result.get("notes", ()))
    if "weights" in result:
        click.echo(visible(f"weights  {result['weights']}"), err=True)
    click.echo(json.dumps(result, ensure_ascii=False) if as_json else tasks.get(result["task"]).rows.told(result, True))
