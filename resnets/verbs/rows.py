"""The rows of `resnets predict` as lines, and the file that keeps them, which a later call can go on with."""

from __future__ import annotations

import csv
import io
import json
import re
from array import array
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import click

from resnets.data.pictures.volumes import SUFFIXES
from resnets.data.words import worded
from resnets.draw.text import visible
from resnets.engine.contract import Rows, Task
from resnets.errors import InputError
from resnets.files import ELSEWHERE, REMEDIES, to_json
from resnets.models.answering import Wanted
from resnets.models.records import Prediction

if TYPE_CHECKING:
    from resnets.data.pictures.stored import FileImages
    from resnets.data.readers.given import GivenImages
    from resnets.verbs.predict import Found

Row = Mapping[str, Any]
LONGEST = 1 << 26  # bytes of a line; what is longer was not written here


class Form(NamedTuple):
    """How rows look.

    Args:
        head: what stands above the rows, by the number of classes that they name; "": nothing.
        line: a row.
        path: the path in the line of a row, by the number of classes. ValueError: the line means nothing, as a torn one;
            LookupError: it means something else. None: there is no way back.
        start: how every file begins.
        quoted: a line may end within quotes, and its row goes on in the next.
    """

    head: Callable[[int], str]
    line: Callable[[Row, int], str]
    path: Callable[[str, int], str] | None = None
    start: str = ""
    quoted: bool = False


FORMS: dict[str, Callable[[Rows], Form]] = {
    "table": lambda rows: Form(lambda topk: "", lambda row, topk: rows.line(row)),
    "json": lambda rows: Form(
        lambda topk: "",
        lambda row, topk: to_json(row),
        lambda text, topk: json_path(text, rows.KEYS),
        '{"path": "',
    ),
    "csv": lambda rows: Form(rows.csv_head, rows.csv_lines, rows.csv_path, CSV_START, quoted=True),
}


def with_time(form: Form) -> Form:
    """The same for frames of videos: their "time_seconds" beside the path; empty of pictures. In JSON it is there by itself."""
    if form.path is not None and not form.quoted:
        return form

    def line(row: Row, topk: int) -> str:
        seconds = f"{row['time_seconds']:.3f}" if "time_seconds" in row else ""
        if not form.quoted:
            return form.line({**row, "path": f"{row['path']}  {seconds} s" if seconds else row["path"]}, topk)
        cells = io.StringIO()
        csv.writer(cells, lineterminator="").writerow([row["path"], seconds])
        first = form.line({**row, "path": PLACE}, topk)
        return re.sub(rf"^{PLACE}(?=,)", lambda _: cells.getvalue(), first, flags=re.MULTILINE)

    head = form.head
    return form._replace(head=lambda topk: head(topk).replace("path,", "path,time_seconds,", 1), line=line)


PLACE = "@path-of-the-frame@"  # in a line of CSV
CSV_START = "path,"  # how the first line of every CSV begins
BY_SUFFIX = {".csv": "csv", ".json": "json", ".jsonl": "json", ".ndjson": "json"}


def form_of(rows: Rows, name: str | None, out: Path | None) -> Form:
    """The form called `name`, or else the one that the suffix of `out` means, of a task's `rows`."""
    return FORMS[name or BY_SUFFIX.get(out.suffix.lower() if out else "", "table")](rows)


def json_path(text: str, keys: frozenset[str]) -> str:
    """The path in a line of JSON. Raises `LookupError` where the line is no row."""
    row = json.loads(text)
    if not isinstance(row, dict) or not isinstance(row.get("path"), str) or not row.keys() & {*keys, "error"}:
        raise LookupError("no row")
    return row["path"]


class Held(NamedTuple):
    """What a file holds: a hash of each path, and the byte at which its last whole row ends."""

    paths: Sequence[int] = ()
    end: int = 0

    def without(self, images: FileImages | GivenImages) -> FileImages | GivenImages:
        """Those of `images` that it does not hold."""
        import numpy as np

        paths = np.fromiter((hash(images.name(index)) for index in range(len(images))), np.int64, len(images))
        return images.subset(np.flatnonzero(~np.isin(paths, np.asarray(self.paths, np.int64))))


def held(out: Path, form: Form, topk: int) -> Held:
    """What the file to go on with holds; nothing where there is none yet.

    Raises:
        InputError: where it holds anything else than rows of this form, but for a torn last one.
    """
    paths, end, torn = array("q"), 0, b""
    if form.path is None or not out.exists():
        return Held(paths, end)
    head = form.head(topk).encode()
    with out.open("rb") as file:
        for record in records(file, form.quoted):
            if torn or len(record) > LONGEST:
                raise foreign(out, end)
            whole = record.endswith(b"\n")
            if head and not end:
                if whole and record.rstrip() != head:
                    raise other_head(out, record.decode(errors="replace").rstrip(), form, topk)
            else:
                try:
                    path = hash(form.path(record.decode(), topk))
                except LookupError:
                    raise foreign(out, end) from None
                except (ValueError, RecursionError):
                    whole = False
                if whole:
                    paths.append(path)
            if whole:
                end += len(record)
            else:
                torn = record
    begins = (head or form.start.encode()).startswith(torn) or torn.startswith(form.start.encode())
    if not end and (torn.endswith(b"\n") or not begins):
        raise foreign(out, end)
    return Held(paths, end)


def records(file: BinaryIO, quoted: bool) -> Iterator[bytes]:
    """Line by line; where `quoted`, a line whose quotes are open together with those that follow. The last may be cut off."""
    record = b""
    while line := file.readline(LONGEST + 1):
        record += line
        if len(record) > LONGEST or (line.endswith(b"\n") and not (quoted and record.count(b'"') % 2)):
            yield record
            record = b""
    if record:
        yield record


def other_head(out: Path, found: str, form: Form, topk: int) -> InputError:
    """Why a file with another first line than `topk` classes give is refused."""
    one, two = (form.head(num).count(",") for num in (1, 2))
    num_found = 1 + (found.count(",") - one) // max(two - one, 1)
    if num_found < 1 or found != form.head(num_found):
        return foreign(out, 0)
    return InputError(
        f"{out}: its rows name {num_found} classes each, and now they would name {topk}; use the --topk and the model that it "
        f"was begun with, or {ELSEWHERE}"
    )


def foreign(out: Path, byte: int) -> InputError:
    return InputError(f"{out}: from byte {byte} on it holds no rows of `resnets predict` in this --format; {ELSEWHERE}")


def check_out(out: Path, form: Form, resume: bool) -> None:
    """Refuse what cannot be written to, or gone on with.

    Raises:
        InputError: with the remedy.
    """
    if resume and form.path is None:
        raise InputError("--resume cannot read this back; use --format json, or for classes csv")
    if not (out.exists() or out.is_symlink()):
        return
    if not out.is_file():
        raise InputError(f"{out}: not a file; {ELSEWHERE}")
    if not resume:
        remedy = "add --resume to go on with it, remove it" if form.path else "remove it"
        raise InputError(f"{out}: exists already; {remedy}, or {ELSEWHERE}")


def stopped(out: Path, form: Form) -> str:
    """What to say where Ctrl-C ended a call."""
    how = "to go on: the same command with --resume" if form.path else "this format cannot be gone on with, and json can"
    return visible(f"stopped; {out} is whole as far as it goes; {how}")


@contextmanager
def writing(out: Path, end: int, resume: bool) -> Iterator[Callable[[str], None]]:
    """What writes a line after the first `end` bytes of `out`, where each is complete when the call returns."""
    with _blame(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        file = out.open("ab" if resume else "xb")
        file.truncate(end)

    def write(line: str) -> None:
        with _blame(out):
            file.write(line.encode(errors="backslashreplace") + b"\n")
            file.flush()

    try:
        yield write
    finally:
        with _blame(out):
            file.close()


@contextmanager
def _blame(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        remedy = "free some space, then go on with --resume" if error.errno in REMEDIES else ELSEWHERE
        raise InputError(f"{out}: cannot be written ({error.strerror}); {remedy}") from error


def write_all(
    found: Generator[Row, None, None],
    form: Form,
    topk: int,
    write: Callable[[str], Any] = click.echo,
    progress: Callable[[int], Any] = lambda done: None,
    *,
    head: bool = True,
) -> int:
    """Write the rows as they are found, each as a line, below the head of the form; how many are errors."""
    bad = 0
    if head and form.head(topk):
        write(form.head(topk))
    with closing(found):
        for done, row in enumerate(found, start=1):
            write(form.line(row, topk))
            bad += "error" in row
            progress(done)
    return bad


def write_to(
    out: Path,
    found: Generator[Row, None, None],
    num: int | None,
    *,
    form: Form,
    topk: int,
    held: Held,
    resume: bool,
    counting: Callable[[str], AbstractContextManager[Callable[[int, int | None], None]]],
) -> int:
    """`write_all` of `num` rows (None: of videos, it is not known) into the file `out`, after what it holds.

    Args:
        counting: makes a context that shows progress.
    """
    try:
        with writing(out, held.end, resume) as write, counting("predicting") as progress, closing(found):
            return write_all(found, form, topk, write, lambda done: progress(done, num), head=not held.end)
    except KeyboardInterrupt:
        click.echo(stopped(out, form), err=True)
        raise


def check_some(bad: int, num: int, held: Held, images: str) -> None:
    """Say how many of `num` images, called so, could not be read; an `InputError` where that is all there ever were."""
    if bad:
        click.echo(f"{bad} of {num} {images} could not be read; their rows say why", err=True)
        if bad == num and not held.paths:
            raise InputError(worded("no picture could be read; `resnets data check` looks into a whole folder", images))


# --- drawings and masks beside the rows ---


def beside(
    several: Iterable[Generator[Found, None, None]], task: Task, labels: Sequence[str], wanted: Wanted, targets: Beside
) -> Generator[Prediction, None, None]:
    """The rows of what is found, one after the other of `several`, each once its drawing and its mask are written, so that to
    go on leaves none out."""
    for one in several:
        with closing(one) as found:
            for row, image, answer in found:
                if image is not None and targets.drawings:
                    row["drawn"] = str(task.drawn(image, answer, labels, wanted, targets.drawings[row["path"]]))
                if image is not None and targets.masks:
                    row["mask"] = str(task.masked(image, answer, labels, wanted, targets.masks[row["path"]]))
                yield row


def counted(found: Generator[Prediction, None, None], num: Counter[str]) -> Generator[Prediction, None, None]:
    """The rows, counted in num["rows"]."""
    with closing(found):
        for row in found:
            num["rows"] += 1
            yield row


class Beside(NamedTuple):
    """Where the drawing and the mask of each image go, by its name; nothing where none is wanted."""

    drawings: Mapping[str, Path] = MappingProxyType({})
    masks: Mapping[str, Path] = MappingProxyType({})


def placed_beside(
    files: FileImages | GivenImages,
    draw: Path | None,
    masks: Path | None,
    mask_suffix: Callable[[Path], str],
    todo: FileImages | GivenImages | None = None,
    out: Path | None = None,
) -> Beside:
    """Files for drawings in the folder `draw`, and for masks in `masks`.

    Args:
        todo: those of `files` that are to be predicted, where a call is gone on with; None: all.
        out: the rows of that call: a file that one of them names is not written again.

    Raises:
        InputError: where one would take the place of an image, of another, or of one that an earlier call has written.
    """
    targets = Beside(
        named_after(files, draw, lambda path: ".png") if draw else {},
        named_after(files, masks, mask_suffix) if masks else {},
    )
    images = {files.path(index).resolve() for index in range(len(files))}
    for flag, paths in (("--draw", targets.drawings), ("--masks", targets.masks)):
        if taken := sorted(path for path in paths.values() if path.resolve() in images):
            raise InputError(f"{flag}: {taken[0]} is one of the pictures, and would be overwritten; give another folder")
    new = files if todo is None else todo
    named = None if todo is None or out is None else named_in(out)
    for flag, paths in (("--draw", targets.drawings), ("--masks", targets.masks)):
        for path in (paths[name] for name in map(new.name, range(len(new))) if paths):
            if (path.exists() or path.is_symlink()) if named is None else (str(path) in named):
                remedy = "" if named is not None else "add --resume with the --out that it belongs to, "
                raise InputError(
                    f"{flag}: {path} exists already, perhaps of another image; {remedy}remove it, or give another folder"
                )
    drawn, written = ({path.resolve() for path in paths.values()} for paths in targets)
    if both := drawn & written:
        raise InputError(f"--draw and --masks: both would write {min(both)}; give two folders")
    return targets


def named_in(out: Path) -> set[str]:
    """The drawings and masks that the rows in `out` name."""
    found: set[str] = set()
    if not out.exists():
        return found
    with out.open("rb") as file:
        for line in records(file, quoted=False):
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(row, dict):
                found |= {str(row[key]) for key in ("drawn", "mask") if key in row}
    return found


def named_after(images: FileImages | GivenImages, folder: Path, suffix: Callable[[Path], str]) -> dict[str, Path]:
    """Where in `folder` the file of each picture goes, by its name: under its stem, with a number where that is taken.

    Of all pictures of a call, those too that an earlier call has done: they keep theirs.
    """
    found: dict[str, Path] = {}
    taken: set[str] = set()
    for index in range(len(images)):
        name = images.name(index)
        own = next((end for end in SUFFIXES if name.lower().endswith(end)), None)
        stem, number = Path(name).stem if own is None else Path(name).name[: -len(own)], 1
        while (free := stem if number == 1 else f"{stem}-{number}") in taken:
            number += 1
        taken.add(free)
        found[name] = folder / f"{free}{suffix(images.path(index))}"
    return found
