"""`resnets faces enrol` and `who`: people are enrolled in a gallery by pictures of their faces, and named in others."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

import numpy as np

from resnets.data.pictures import faces
from resnets.data.pictures.faces import Face
from resnets.data.pictures.images import BadPicture
from resnets.data.pictures.resize import fit_picture
from resnets.data.pictures.stored import FileImages
from resnets.draw.text import share
from resnets.errors import InputError
from resnets.files import short
from resnets.measures import enrolment
from resnets.models.answering import check_outputs
from resnets.models.header import Header
from resnets.models.header import terms as terms_of
from resnets.ship import vectors
from resnets.ship.sessions import Session
from resnets.verbs.chips import Progress, Refused, Say, check_all_there, cut_out, labelled
from resnets.verbs.embed import header_of
from resnets.verbs.features import feature_session
from resnets.verbs.index import Index, Neighbour
from resnets.verbs.predict import Paths, find_pictures
from resnets.verbs.verify import metric_of

if TYPE_CHECKING:
    from resnets.models.model import Model

Item = TypeVar("Item")
MODEL = "dlib/face"
RATE = 0.01  # of strangers' pictures that may be called someone
BATCH = 32
UNKNOWN = "unknown"


class Enrolled(TypedDict):
    """What was written: the gallery; people and pictures there; pictures left out; what is known of the threshold, or None."""

    file: str
    num_people: int
    num_pictures: int
    refused: list[Refused]
    threshold: dict[str, Any] | None


class Seen(TypedDict, total=False):
    """A face in a picture: its box (left, top, right, bottom), the name or "unknown", who is nearest, and at what distance."""

    box: list[int]
    name: str
    nearest: str
    distance: float


class Looked(TypedDict, total=False):
    """A picture: its faces, the largest first, and the threshold that names them; or why it cannot be read."""

    path: str
    threshold: float
    faces: list[Seen]
    error: str


# --- to enrol ---


def enrol(
    people: Any,
    out: str | Path,
    *,
    model: str | Path | Model = MODEL,
    rate: float = RATE,
    whole: bool = False,
    largest: bool = False,
    runtime: str = "auto",
    device: str = "auto",
    say: Say = lambda text: None,
    progress: Progress = lambda done, num: None,
) -> Enrolled:
    """Write a gallery: the vectors of the faces of people, by name, which `who` compares with.

    Args:
        people: a folder with a folder of pictures for each person, or another layout with a label for each picture.
        out: the .npz to write: an index, which carries the model's hash and preprocessing, and the threshold.
        model: what makes a vector of a chip: `dlib/face`, or a model of `resnets train --task embed`.
        rate: the share of strangers' pictures that may be called someone, by which the threshold is chosen.
        whole, largest: see `the_face`.
        say: called with a line on the weights, and one on each picture that is left out.
        progress: called with the number of pictures so far and of all.

    Raises:
        InputError: where the pictures have no labels, a person has no picture with a face, the model's answers are no numbers,
            and for a file that exists or cannot be written.
    """
    out = Path(out)
    if out.suffix.lower() != ".npz":
        raise InputError(f"{out}: a gallery is an .npz; name it so")
    if out.exists():
        raise InputError(f"{out}: exists already; remove it, or choose another place with -o")
    if not 0 <= rate < 1:
        raise InputError(f"rate={short(rate)}: give a share of at least 0 and below 1")
    session = feature_session(model, runtime=runtime, device=device)
    announce(session.header, say)
    refused: list[Refused] = []
    options: dict[str, Any] = {"whole": whole, "largest": largest, "refused": refused, "say": say, "progress": progress}
    wanted = labelled(people)
    if UNKNOWN in {picture.label for picture in wanted}:
        raise InputError(f"{short(people)}: {UNKNOWN!r} is the answer for strangers, and no name; rename the folder")
    found, kept = [], []
    for some in batches(cut_out(wanted, **options)):
        found.append(embedded(session, [face.chip for _, face in some]))
        kept += [picture for picture, _ in some]
    check_all_there(people, wanted, kept, refused)
    values, labels = np.concatenate(found), np.array([picture.label for picture in kept])
    header = header_of(session, model, metric_of(session.header), people)
    evidence = enrolment.chosen(enrolment.nearest(values, labels, header["metric"]), labels, rate)
    known = None if evidence is None else evidence._asdict()
    header["faces"] = {"size": faces.CHIP, "padding": faces.PADDING, "whole": whole, "threshold": known}
    texts = {
        "paths": [picture.name for picture in kept],
        "splits": [b""] * len(kept),
        "labels": [picture.label.encode() for picture in kept],
    }
    vectors.write(out, header, [vectors.of_rows(header, values, texts)], [None])
    num = len(np.unique(labels))
    return Enrolled(file=str(out), num_people=num, num_pictures=len(kept), refused=refused, threshold=known)


def embedded(session: Session, chips: Sequence[np.ndarray]) -> np.ndarray:
    """(N, D) float32: what the model makes of chips, uint8 (H, W, 3). Raises `InputError` where that is no number."""
    found = np.asarray(session.run(np.stack([fit_picture(chip, session.header.preprocess) for chip in chips])), np.float32)
    check_outputs(found)
    return found


def batches(every: Iterable[Item]) -> Iterator[list[Item]]:
    """Lists of `BATCH`, the last perhaps shorter."""
    rest = iter(every)
    while some := list(itertools.islice(rest, BATCH)):
        yield some


def announce(header: Header, say: Say) -> None:
    """The weights, with their licence and training data."""
    if told := terms_of(header):
        say(f"weights  {told}")


# --- to recognise ---


def who(
    pictures: Paths,
    gallery: str | Path,
    *,
    model: str | Path | Model | None = None,
    threshold: float | None = None,
    whole: bool | None = None,
    runtime: str = "auto",
    device: str = "auto",
    say: Say = lambda text: None,
) -> Iterator[tuple[Looked, np.ndarray | None]]:
    """Whom pictures show, of those who are enrolled in a gallery.

    Args:
        pictures: files and folders.
        gallery: of `enrol`.
        model: the model that made the gallery; None: from where it lay then.
        threshold: the largest distance at which a face is called someone; None: the gallery's.
        whole: where no face is found, the whole picture is one; None: as in the gallery.
        say: called with a line on the weights, and one on the threshold.

    Returns:
        For each picture what was found, and its pixels, uint8 (H, W, 3), None where it cannot be read.

    Raises:
        InputError: where the gallery is another index, empty, made by another model, or has no threshold and none is given.
    """
    index = Index(gallery)
    settings = index.header.get("faces")
    if not isinstance(settings, dict) or (settings.get("size"), settings.get("padding")) != (faces.CHIP, faces.PADDING):
        raise InputError(f"{gallery}: no gallery of faces; make one by `resnets faces enrol PEOPLE/ -o FILE`")
    if not len(index):
        raise InputError(f"{gallery}: nobody is enrolled; make it again by `resnets faces enrol PEOPLE/ -o FILE`")
    if not np.isfinite(index.vectors.vectors).all():
        raise InputError(f"{gallery}: holds values that are no numbers; make it again by `resnets faces enrol PEOPLE/ -o FILE`")
    limit = threshold_of(settings.get("threshold") if threshold is None else {"threshold": threshold}, gallery)
    session = index.open_model(model, runtime=runtime, device=device)
    announce(session.header, say)
    evidence = ", as asked for" if threshold is not None else f": {evidence_words(settings['threshold'])}"
    say(f"threshold {limit:.4g}{evidence}")
    files = FileImages(find_pictures(pictures, dims=2), 3)
    use_whole = bool(settings.get("whole")) if whole is None else whole
    for number in range(len(files)):
        try:
            image = np.asarray(files[number])
        except BadPicture as bad:
            yield {"path": files.name(number), "error": bad.reason}, None
            continue
        found = faces.find(image) or [faces.whole(image)] * use_whole
        seen = [
            _seen(face, near[0], limit)
            for some in batches(found)
            for face, near in zip(some, index.nearest(embedded(session, [face.chip for face in some]), 1), strict=True)
        ]
        yield {"path": files.name(number), "threshold": limit, "faces": seen}, image


def _seen(face: Face, near: Neighbour, limit: float) -> Seen:
    name = near.label if near.distance <= limit else UNKNOWN
    return {"box": list(face.box), "name": name, "nearest": near.label, "distance": near.distance}


def threshold_of(known: Any, gallery: str | Path) -> float:
    """The threshold of a gallery, or what is asked for. Raises `InputError` where it is none."""
    if known is None:
        raise InputError(
            f"{gallery}: with one person enrolled no threshold can be chosen; enrol others too, or give --threshold (0.6 is "
            "what dlib's author publishes for pairs of pictures of LFW; nothing says that it is right for yours)"
        )
    value: Any = known.get("threshold") if isinstance(known, dict) else None
    if type(value) not in (int, float) or not 0 <= value < math.inf:
        raise InputError(f"threshold={short(value)}: give a distance of at least 0")
    return float(value)


def evidence_words(known: Any) -> str:
    """What is known of a threshold, in words. Raises `InputError` where a file holds something else."""
    try:
        found = enrolment.Evidence(**known)
        many = f"of {found.num_pictures:,} pictures of {found.num_people:,} people"
        misses = f"{found.misses:,} of {found.num_again:,} not recognised by their person's others; " if found.num_again else ""
        return (
            f"{found.alarms:,} {many} would be taken for someone else who is enrolled; {misses}chosen on these pictures: of "
            f"strangers like these people at most {share(found.bound)} would be (95 % confidence)"
        )
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(f"the gallery does not say how its threshold was chosen ({short(error)}); make it again") from None
