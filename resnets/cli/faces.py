"""`resnets faces`: enrol, who and align."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from resnets.cli.options import CONTEXT, EPILOG, device_flag, json_flag, runtime_flag
from resnets.draw.text import visible
from resnets.errors import InputError
from resnets.files import to_json

GALLERY = "faces.npz"
largest_flag = click.option("--largest", is_flag=True, help="where several faces are found, take the largest  [leave it out]")
whole_flag = click.option(
    "--whole", is_flag=True, help="where no face is found, take the whole picture: of pictures cut out around faces"
)


@click.group(context_settings=CONTEXT, epilog=EPILOG, short_help="Recognise people by their faces.")
def faces() -> None:
    """Recognise people by their faces (pip install 'resnets[faces]'): enrol them with pictures, and name them in others. Read
    docs/faces.md first: laws forbid much of what this can do, and no threshold is safe by itself."""


@faces.command(context_settings=CONTEXT, epilog=EPILOG, short_help="Write a gallery of people.")
@click.argument("people")
@click.option("--out", "-o", metavar="FILE", default=GALLERY, help=f"the .npz to write  [{GALLERY}]")
@click.option("--model", metavar="MODEL", default="dlib/face", help="dlib/face, or one of train --task embed  [dlib/face]")
@click.option(
    "--rate",
    metavar="X",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.01,
    help="the part of strangers' pictures that may be taken for someone, by which the threshold is chosen  [0.01]",
)
@largest_flag
@whole_flag
@runtime_flag
@device_flag
@json_flag
def enrol(people: str, *, out: str, as_json: bool, **options: Any) -> None:
    """Enrol PEOPLE, a folder with a folder of pictures for each person, by name: find the face in each picture, and write what
    MODEL makes of it. The file holds biometric data."""
    from resnets.cli.progress import counting, say
    from resnets.verbs.faces import enrol, evidence_words

    with counting("enrolling", "pictures") as progress:
        result = enrol(people, out, say=say, progress=progress, **options)
    if as_json:
        click.echo(to_json(result))
        return
    left = f"; {len(result['refused']):,} pictures left out" * bool(result["refused"])
    words = f"{result['num_people']:,} people with {result['num_pictures']:,} pictures written to {result['file']}{left}"
    click.echo(visible(words))
    known = result["threshold"]
    click.echo(
        visible(f"threshold {known['threshold']:.4g}: {evidence_words(known)}")
        if known
        else "no threshold, with one person alone; `resnets faces who` needs --threshold"
    )


@faces.command(context_settings=CONTEXT, epilog=EPILOG, short_help="Name the people in pictures.")
@click.argument("pictures", nargs=-1, required=True, metavar="PICTURE...")
@click.option("--gallery", "-g", metavar="FILE", default=GALLERY, help=f"of resnets faces enrol  [{GALLERY}]")
@click.option(
    "--threshold",
    metavar="X",
    type=click.FloatRange(0),
    help="the largest distance at which a face is called someone; dlib's author publishes 0.6 for pairs of pictures of LFW  "
    "[the gallery's, chosen on the people enrolled]",
)
@click.option("--draw", metavar="FILE", type=click.Path(path_type=Path), help="draw the names into the pictures, as PNG")
@click.option("--model", metavar="MODEL", help="the model that made the gallery  [from where it lay then]")
@click.option("--whole", is_flag=True, default=None, help="where no face is found, take the whole picture  [as enrolled]")
@runtime_flag
@device_flag
@json_flag
def who(pictures: tuple[str, ...], *, gallery: str, draw: Path | None, as_json: bool, **options: Any) -> None:
    """Say whom each PICTURE (files or folders) shows of the people enrolled in a gallery: a name for each face, or
    "unknown"."""
    from resnets.cli.progress import say
    from resnets.draw import faces as drawing
    from resnets.verbs.faces import UNKNOWN, who

    rows: list[Any] = []
    images: list[Any] = []
    found: list[list[drawing.Named]] = []
    names: list[str] = []
    for row, image in who(pictures, gallery, say=say, **options):
        rows.append(row)
        if draw is not None and image is not None and len(images) < drawing.MOST:
            found.append([drawing.Named(each["box"], each["name"], each["name"] != UNKNOWN) for each in row["faces"]])
            images.append(image)
            names.append(Path(row["path"]).name)
        if not as_json:
            for line in lines(row):
                click.echo(visible(line))
    if draw is not None and images:
        drawing.faces(images, found, names, draw)
        say(f"drawn    {draw}" + f": the first {drawing.MOST} pictures" * (len(rows) > len(images) == drawing.MOST))
    if as_json:
        click.echo(to_json({"gallery": gallery, "pictures": rows}))
    if rows and all("error" in row for row in rows):
        raise InputError("no picture could be read")


def lines(row: Any) -> list[str]:
    """A line for each face of a picture, or one where there is none."""
    if "error" in row:
        return [f"{row['path']}  error: {row['error']}"]
    if not row["faces"]:
        return [f"{row['path']}  no face found"]
    return [
        f"{row['path']}  {each['name']}, nearest {each['nearest']} at {each['distance']:.3f}, at {each['box']}"
        for each in row["faces"]
    ]


@faces.command(context_settings=CONTEXT, epilog=EPILOG, short_help="Write faces as chips, to train on.")
@click.argument("data")
@click.option("--out", "-o", metavar="DIR", required=True, help="the folder to write, which is not there yet")
@largest_flag
@whole_flag
@json_flag
def align(data: str, *, out: str, as_json: bool, **options: Any) -> None:
    """Cut out the face of each picture of DATA (a folder of pictures for each person, or another layout with labels), upright
    and 150 x 150 pixels large, as `resnets train DIR --task embed --weights dlib/face` takes them."""
    from resnets.cli.progress import counting, say
    from resnets.verbs.chips import align

    with counting("aligning", "pictures") as progress:
        result = align(data, out, say=say, progress=progress, **options)
    left = f"; {len(result['refused']):,} pictures left out" * bool(result["refused"])
    click.echo(to_json(result) if as_json else visible(f"{result['num_chips']:,} chips written to {result['folder']}{left}"))
