"""Chips: the face of each picture of people, upright and of one size, to enrol them or to train on; `resnets faces align`."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import numpy as np
from PIL import Image

from resnets.data import sources
from resnets.data.pictures import faces
from resnets.data.pictures.faces import Face
from resnets.data.pictures.images import BadPicture, printable
from resnets.errors import InputError
from resnets.files import replacing, short
from resnets.verbs.embed import Part

MANY = 5  # people that an error names
Say = Callable[[str], None]
Progress = Callable[[int, int], None]


class Refused(TypedDict):
    """A picture that was left out, and why."""

    path: str
    error: str


class Unfit(InputError):
    """A picture without a face, or with several where there is to be one."""


def the_face(image: np.ndarray, *, whole: bool, largest: bool) -> Face:
    """The face that a picture of one person shows.

    Args:
        image: uint8 (H, W, 3).
        whole: where none is found, the whole picture is the face.
        largest: of several the largest is taken.

    Raises:
        Unfit: otherwise, where there is not one.
    """
    found = faces.find(image)
    if not found and whole:
        return faces.whole(image)
    if not found:
        raise Unfit("no face found; give a larger picture from the front, or --whole where pictures are cut out around faces")
    if len(found) > 1 and not largest:
        raise Unfit(f"{len(found)} faces found; cut out the one, or take the largest by --largest")
    return found[0]


class Labelled(NamedTuple):
    """A picture and whose it is: images and its position among them; what it is called in a gallery; its label and split."""

    images: Any
    position: int
    name: bytes
    label: str
    split: str


def labelled(people: Any) -> list[Labelled]:
    """The pictures of people, in any layout with a label for each. Raises `InputError` where one has none."""
    found = [
        Labelled(words.images, at, Part(split, words.images, words.labels).name(at), str(label), split)
        for split, words in sources.in_words(people, in_chans=3)[0].items()
        for at, label in enumerate(words.labels)
    ]
    if not found or not all(picture.label for picture in found):
        raise InputError(f"{short(people)}: give a folder with a folder of pictures for each person, by name")
    return found


def check_all_there(people: Any, wanted: Sequence[Labelled], kept: Sequence[Labelled], refused: Sequence[Refused]) -> None:
    """Raise `InputError` where a person has no picture left, with what is wrong with the first of them."""
    missing = sorted({picture.label for picture in wanted} - {picture.label for picture in kept})
    if missing:
        names = ", ".join(missing[:MANY]) + f" and {len(missing) - MANY} more" * (len(missing) > MANY)
        theirs = {printable(os.fsdecode(picture.name)) for picture in wanted if picture.label == missing[0]}
        first = next(each for each in refused if each["path"] in theirs)
        raise InputError(f"{short(people)}: no picture of {names} shows one face ({first['path']}: {first['error']})")


def cut_out(
    pictures: Sequence[Labelled], *, whole: bool, largest: bool, refused: list[Refused], say: Say, progress: Progress
) -> Iterator[tuple[Labelled, Face]]:
    """The face of each picture; those that have none are added to `refused`."""
    for number, picture in enumerate(pictures, start=1):
        try:
            yield picture, the_face(picture.images[picture.position], whole=whole, largest=largest)
        except (BadPicture, Unfit) as error:
            path = printable(os.fsdecode(picture.name))
            refused.append({"path": path, "error": getattr(error, "reason", str(error))})
            say(f"left out {path}: {refused[-1]['error']}")
        progress(number, len(pictures))


class Aligned(TypedDict):
    """What was written: the folder, how many chips, and the pictures that were left out."""

    folder: str
    num_chips: int
    refused: list[Refused]


def align(
    data: Any,
    out: str | Path,
    *,
    whole: bool = False,
    largest: bool = False,
    say: Say = lambda text: None,
    progress: Progress = lambda done, num: None,
) -> Aligned:
    """Write the face of each picture as a chip, OUT/label/name.png: data for `resnets train OUT --task embed`.

    Args:
        data: as `people` of `enrol`; of several splits each has a folder of its own.
        out: a folder that does not exist yet, or is empty.
        whole, largest: see `the_face`.

    Raises:
        InputError: where pictures have no labels, the folder is not empty, and where a person has no picture with a face; the
            others' chips are written then.
    """
    out = Path(out)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise InputError(f"{out}: is there already; name a folder that is not, or is empty")
    refused: list[Refused] = []
    wanted, taken, kept = labelled(data), set[Path](), list[Labelled]()
    several = len({picture.split for picture in wanted}) > 1
    for picture, face in cut_out(wanted, whole=whole, largest=largest, refused=refused, say=say, progress=progress):
        if Path(picture.label).name != picture.label:
            raise InputError(f"{short(data)}: the label {short(picture.label)} cannot be the name of a folder; change it")
        folder, stem = out / (picture.split * several) / picture.label, Path(os.fsdecode(picture.name)).stem
        names = (f"{stem}{f'-{number}' * (number > 0)}.png" for number in itertools.count())
        path = next(folder / name for name in names if folder / name not in taken)
        taken.add(path)
        kept.append(picture)
        with replacing(path) as temporary:
            Image.fromarray(face.chip).save(temporary)
    if not taken:
        raise InputError(f"{short(data)}: no picture with one face ({refused[0]['path']}: {refused[0]['error']})")
    check_all_there(data, wanted, kept, refused)
    return Aligned(folder=str(out), num_chips=len(taken), refused=refused)
