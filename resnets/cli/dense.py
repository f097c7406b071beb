"""`resnets predict` for models that say where things are: rows, drawn pictures, masks."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from resnets.cli import tables
from resnets.draw.text import csv_line, visible
from resnets.errors import InputError
from resnets.models.header import Header
from resnets.verbs import rows
from resnets.verbs.rows import Form, json_path

if TYPE_CHECKING:
    from resnets.data.pictures.images import FileImages

COLUMNS = {
    "detect": ["path", "label", "score", "x0", "y0", "x1", "y1", "error"],
    "segment": ["path", "label", "share", "error"],
}


def lines_of(row: Mapping[str, Any]) -> str:
    """A line of CSV an object or class; one without either where there is none, or an error."""
    if "objects" in row:
        cells = [[o["label"], f"{o['score']:.6f}", *(f"{side:g}" for side in o["box"]), ""] for o in row["objects"]]
    else:
        cells = [[c["label"], f"{c['share']:.6f}", ""] for c in row.get("classes", [])]
    width = len(COLUMNS["detect" if "objects" in row else "segment"]) - 1
    return "\n".join(csv_line([row["path"], *rest]) for rest in cells or [[""] * (width - 1) + [row.get("error", "")]])


def form_for(task: str, name: str | None, out: Path | None) -> Form:
    """The form called `name`, or else the one that the suffix of `out` means."""
    head = csv_line(COLUMNS[task])

    def csv(row: Mapping[str, Any], topk: int) -> str:
        if "error" in row:
            return csv_line([row["path"], *[""] * (len(COLUMNS[task]) - 2), row["error"]])
        return lines_of(row)

    forms = {
        "table": Form(lambda topk: "", lambda row, topk: tables.found(row)),
        "json": Form(lambda topk: "", lambda row, topk: json.dumps(row, ensure_ascii=False), _path, '{"path": "'),
        "csv": Form(lambda topk: head, csv, start="path,label,"),
    }
    return forms[name or rows.BY_SUFFIX.get(out.suffix.lower() if out else "", "table")]


def _path(text: str, topk: int) -> str:
    row = json.loads(text)
    if isinstance(row, dict) and row.keys() & {"objects", "classes"}:
        return str(row["path"])
    return json_path(text, topk)


def check_places(files: FileImages, drawings: Mapping[str, Path], masks: Mapping[str, Path]) -> None:
    """Raise `InputError` where a drawing or a mask would take the place of a picture, or of each other."""
    pictures = {files.path(index).resolve() for index in range(len(files))}
    for flag, places in (("--draw", drawings), ("--masks", masks)):
        if taken := sorted(path for path in places.values() if path.resolve() in pictures):
            raise InputError(f"{flag}: {taken[0]} is one of the pictures, and would be overwritten; give another folder")
    if both := {path.resolve() for path in drawings.values()} & {path.resolve() for path in masks.values()}:
        raise InputError(f"--draw and --masks: both would write {min(both)}; give two folders")


def predict(
    model: str,
    header: Header,
    pictures: tuple[str, ...],
    *,
    form_name: str | None,
    out: Path | None,
    resume: bool,
    threshold: float,
    draw: Path | None,
    masks: Path | None,
    device: str,
    amp: bool,
) -> None:
    """Say what a detector or a segmenter finds in pictures."""
    from resnets.data.pictures.images import FileImages
    from resnets.data.pictures.volumes import Volumes
    from resnets.models import header as saved
    from resnets.verbs import predict_dense as prediction_dense
    from resnets.verbs.evaluate import placed
    from resnets.verbs.predict import find_pictures

    form = form_for(header.task, form_name, out)
    if resume and out is not None and form.path is None:
        raise InputError(f"{out}: with several lines for a picture it cannot be gone on with; --resume needs --format json")
    rows.check_out(out, form, resume)
    if masks and header.task == "detect" and not header.head.get("masks"):
        raise InputError("--masks: this detector finds boxes and no outlines; leave it out, or train one with --masks")
    if terms := saved.terms(header):
        click.echo(visible(f"weights  {terms}"), err=True)
    volumes = header.spec.dims == 3
    files = FileImages(find_pictures(pictures, volumes=volumes), 1 if volumes else header.spec.in_chans)
    held = rows.held(out, form, 0, resume)
    left = held.without(files)
    todo = Volumes(left, header.spec.in_chans) if volumes else left
    if not len(todo):
        click.echo(visible(f"nothing left to do: {out} has a row of each of the {len(files)} pictures"))
        return
    drawings = prediction_dense.places_in(draw, files) if draw else {}
    written = prediction_dense.places_in(masks, files, ".nii.gz" if volumes else ".png") if masks else {}
    check_places(files, drawings, written)
    looked, num = prediction_dense.look(placed(model, device), todo, threshold=threshold, amp=amp), len(todo)

    def found() -> Generator[dict[str, Any], None, None]:
        with closing(looked):
            for row, picture, seen in looked:
                if picture is not None:  # before the row is written, so that to go on leaves none out
                    if draw:
                        row["drawn"] = str(prediction_dense.drawn(picture, seen, header.labels, drawings[row["path"]]))
                    if masks:
                        row["mask"] = str(prediction_dense.masked(picture, seen, written[row["path"]]))
                yield row

    bad = rows.write_all(found(), num, out=out, form=form, topk=0, held=held, resume=resume)
    if out:
        click.echo(visible(f"{num} pictures in {out}"))
    rows.check_some(bad, num, held)
