"""`resnets predict`, `resnets eval` and `resnets calibrate`: a model on pictures, and on labelled data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from resnets import tasks
from resnets.cli.options import (
    CONTEXT,
    EPILOG,
    amp_flag,
    answers_flags,
    block_flags,
    check_engine,
    confidence_flags,
    corrections_flag,
    data_dir_flag,
    device_flag,
    json_flag,
    runtime_flag,
    tta_flag,
)
from resnets.draw.text import printable, visible
from resnets.errors import InputError
from resnets.files import to_json


@click.command(context_settings=CONTEXT, epilog=EPILOG, short_help="Predict images with a model.")
@click.argument("model")
@click.argument("pictures", nargs=-1, required=True)
@click.option("--topk", type=click.IntRange(1), help="classes per image, the likeliest first  [5]")
@click.option(
    "--format",
    "form_name",
    type=click.Choice(["table", "json", "csv"]),
    help="json: one object per line  [by the suffix of --out, else table]",
)
@click.option(
    "--out", "-o", metavar="FILE", type=click.Path(path_type=Path),
    help="write each row there when it is ready; with --engine, a folder of Parquet parts or a file of all rows  [stdout]",
)  # fmt: skip
@click.option("--resume", is_flag=True, help="continue --out: skip images that have a row there")
@click.option("--batch-size", "-b", type=click.IntRange(1), default=16, help="images per batch  [16]")
@click.option("--workers", "-j", type=click.IntRange(0), help="threads that decode and predict  [one per CPU, up to 8]")
@click.option(
    "--threshold", type=click.FloatRange(0, 1), help="lowest score of an object or a tag  [the model's own, else 0.5]"
)
@confidence_flags
@click.option("--draw", metavar="DIR", type=click.Path(path_type=Path), help="draw boxes or masks over each image, as PNG")
@click.option(
    "--masks",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="write masks (class indices, or object numbers) as PNG or NIfTI files",
)
@click.option("--fps", type=click.FloatRange(0, 1000, min_open=True), help="frames a second that are looked at in videos  [1]")
@block_flags
@tta_flag
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
    topk: int | None,
    runtime: str,
    amp: bool,
    tta: bool,
    device: str,
    threshold: float | None,
    abstain_at: str | None,
    sets: str | None,
    unknown: bool,
    draw: Path | None,
    masks: Path | None,
    fps: float | None,
    batch_size: int,
    workers: int | None,
    **blocks: Any,
) -> None:
    """Predict PICTURES (files, folders with all images below them, http and https addresses, and videos) with MODEL, or all
    models of a folder of folds or seeds: classes with their probabilities; for detection, objects with their bounding boxes;
    for segmentation, classes with their share of the image."""
    from resnets.cli.progress import counting
    from resnets.data.inputs import INPUTS
    from resnets.data.readers.walk import Left
    from resnets.data.words import IMAGES_OF
    from resnets.verbs import rows
    from resnets.verbs.predict import given, stream, stream_film

    options: dict[str, Any] = {"batch_size": batch_size, "workers": workers}
    check_engine(**blocks)
    if resume and out is None:
        raise InputError("--resume needs the file to go on with; name it with --out")
    deciding = {"abstain_at": abstain_at, "sets": sets, "unknown_at": None if unknown else 0}
    opening = {"runtime": runtime, "device": device, "amp": amp, "tta": tta}
    session, form, wanted = opened(model, form_name, out, topk, threshold, deciding, opening)
    header, task = session.header, tasks.get(session.header.task)
    task.check_asked(header, draw=draw is not None, masks=masks is not None)
    say_terms(header)
    if blocks["engine"]:
        check_blocks(out, {"--draw": draw, "--masks": masks, "--fps": fps})
    elif out:
        rows.check_out(out, form, resume)
    left, images = Left(), IMAGES_OF[header.spec.dims]
    files, films = given(header, pictures, left=left)
    check_films(films, fps, {"--engine": blocks["engine"], "--resume": resume, "--draw": draw, "--masks": masks})
    say_notes(note.text for note in left.notes())
    if blocks["engine"]:
        asked = {**opening, **deciding, "topk": wanted.topk, "threshold": threshold, "batch_size": batch_size}
        predict_in_blocks(model, files, out, form, asked, images, resume=resume, workers=workers, **blocks)
        return
    todo, held = files, rows.Held()
    if out and resume:
        held = rows.held(out, form, wanted.topk)
        todo = held.without(files)
        if not len(todo):
            click.echo(visible(f"nothing left to do: {out} has a row of each of the {len(files)} {images}"))
            return
    targets = rows.Beside()
    if draw or masks:
        suffix = INPUTS[header.spec.dims].mask_suffix
        targets = rows.placed_beside(files, draw, masks, suffix, todo if resume else None, out)
    form = rows.with_time(form) if films else form
    each = [stream(session, todo, wanted=wanted, **options)] if len(todo) else []
    each += [stream_film(session, film, fps or 1.0, wanted=wanted, **options) for film in films]
    num: Counter[str] = Counter()
    found = rows.counted(rows.beside(each, task, header.labels, wanted, targets), num)
    if out:
        more: dict[str, Any] = {"form": form, "topk": wanted.topk, "held": held, "resume": resume}
        bad = rows.write_to(out, found, None if films else len(todo), counting=partial(counting, unit=images), **more)
        click.echo(visible(f"rows of {num['rows']} {images} written to {out}"))
    else:
        bad = rows.write_all(found, form, wanted.topk)
    rows.check_some(bad, num["rows"], held, images)


def opened(
    model: str,
    form_name: str | None,
    out: Path | None,
    topk: int | None,
    threshold: float | None,
    asked: dict[str, Any],
    opening: dict[str, Any],
) -> tuple[Any, Any, Any]:
    """The session, the form of its rows, and what is wanted of its answers."""
    from resnets.models.answering import Wanted, check_wanted
    from resnets.ship.sessions import answering, deciding
    from resnets.ship.several import open_one_or_several
    from resnets.verbs import rows

    session = deciding(open_one_or_several(model, **opening), asked)
    header, task = session.header, answering(session.header)
    form = rows.form_of(task.rows, form_name, out)
    check_wanted(task, topk=topk, threshold=threshold)
    return session, form, Wanted(min(topk or Wanted.topk, max(1, len(header.labels))), threshold, header.decision)


def check_blocks(out: Path | None, given: Mapping[str, Any]) -> None:
    """Raise `InputError` for flags that mean nothing with an engine, or are missing."""
    if out is None:
        raise InputError("--engine writes a folder of Parquet parts, or a file; name it with --out")
    if wrong := [name for name, value in given.items() if value is not None]:
        raise InputError(f"{wrong[0]} is not for --engine, whose workers write rows only; leave it out")


def predict_in_blocks(model: str, files: Any, out: Any, form: Any, asked: dict[str, Any], images: str, **how: Any) -> None:
    """`predict` by an engine, watched: arguments as those of `in_blocks.predict`, and what the `images` are called."""
    from resnets.cli.progress import counting, say
    from resnets.verbs import rows
    from resnets.verbs.in_blocks import folder_of, predict

    try:
        with counting("predicting", images) as progress:
            found = predict(model, files, out, form, asked, **how, say=say, progress=progress)
    except KeyboardInterrupt:
        click.echo(visible(f"stopped; what is done is in {folder_of(out)}; to go on: the same command with --resume"), err=True)
        raise
    click.echo(visible(f"rows of {found['num_images']} {images} written to {out}"))
    rows.check_some(found["num_unreadable"], found["num_images"], rows.Held(), images)


def say_terms(header: Any) -> None:
    """Say on stderr whose the weights are, and under which terms."""
    from resnets.models.header import terms

    if told := terms(header):
        click.echo(visible(f"weights  {told}"), err=True)


def check_films(films: Sequence[Path], fps: float | None, given: Mapping[str, Any]) -> None:
    """Raise `InputError` for flags that mean nothing with videos, or only with these."""
    if not films and fps is not None:
        raise InputError("--fps is for videos, and there is none; leave it out")
    if films and (wrong := [name for name, value in given.items() if value]):
        raise InputError(f"{films[0]}: {wrong[0]} is for pictures, not for the frames of a video; leave it out")


def say_notes(texts: Iterable[str]) -> None:
    """Say on stderr what is left out, or taken for another thing."""
    for text in texts:
        click.echo(visible(f"data     {text}"), err=True)


@click.command("eval", context_settings=CONTEXT, epilog=EPILOG, short_help="Evaluate a model on labelled data.")
@click.argument("models", nargs=-1, metavar="MODEL [MODEL2]")
@click.argument("data")
@click.option("--compare", "wants", is_flag=True, help="test whether two models differ; they are always compared")
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
@click.option("--group-by", metavar="TEXT", help="intervals by groups, as in train  [as trained, if it suits DATA]")
@corrections_flag
@confidence_flags
@tta_flag
@runtime_flag
@amp_flag
@device_flag
@data_dir_flag
@json_flag
def evaluate(models: tuple[str, ...], data: str, wants: bool, as_json: bool, **options: Any) -> None:
    """Evaluate MODEL (a .safetensors file, a run directory, a folder of folds or seeds, or an exported file) on DATA: scores
    overall and per class. Of two models also whether they differ by more than chance."""
    from resnets.verbs.evaluate import evaluate

    if not models:  # the only word there is stands for the data, and was meant for a model
        raise click.UsageError("Missing argument 'DATA'.")
    if len(models) > 2 or (wants and len(models) < 2):
        raise InputError(f"{len(models)} models and the data {data}; give one model, or two to compare, and then the data")
    if len(models) == 2:
        from resnets.verbs.compare import compare, told

        found = compare(*models, data, **options)
        say_notes(found["first"].get("data_notes", ()))
        click.echo(to_json(found) if as_json else printable(told(found)))
        return
    result = evaluate(models[0], data, **options)
    say_notes(result.get("data_notes", ()))
    if "weights" in result:
        click.echo(visible(f"weights  {result['weights']}"), err=True)
    click.echo(to_json(result) if as_json else printable(tasks.get(result["task"]).rows.told(result, True)))


@click.command(context_settings=CONTEXT, epilog=EPILOG, short_help="Choose on labelled data how a model answers.")
@click.argument("model")
@click.argument("data")
@click.option("--out", "-o", metavar="FILE", required=True, help="the .safetensors file to write")
@click.option("--split", type=click.Choice(["val", "test", "train"]), help="[val, else test, else train]")
@answers_flags
@click.option("--batch-size", "-b", type=click.IntRange(1), default=256, help="images per batch  [256]")
@click.option("--workers", "-j", type=click.IntRange(0), help="processes that decode images  [one per CPU]")
@click.option("--max-bad", type=click.IntRange(0), help="unreadable images to skip, at most  [1 %, at least 10]")
@device_flag
@data_dir_flag
@json_flag
def calibrate(model: str, data: str, as_json: bool, **options: Any) -> None:
    """Choose on DATA, labelled pictures that MODEL has not seen, how its outputs become answers (temperature, when it is
    unsure, what is unknown to it), and write MODEL with this to a file. The weights stay as they are."""
    from resnets.tasks.lines import images_of
    from resnets.verbs.calibrate import calibrate

    result = calibrate(model, data, **options)
    say_notes(result.get("data_notes", ()))
    if as_json:
        click.echo(to_json(result))
        return
    click.echo(f"of the {images_of(result)} by which the rules were chosen:")
    click.echo(printable(tasks.get(result["task"]).rows.told(result, False)))
    click.echo(visible(f"written: {result['file']}"))
