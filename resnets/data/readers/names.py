"""Names of classes and of files, as readers take them from people. No torch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path, PurePosixPath

from resnets.data.classes import also_called
from resnets.data.pictures.images import printable
from resnets.data.readers.layouts import quoted
from resnets.data.readers.walk import normal
from resnets.data.types import Note
from resnets.errors import InputError
from resnets.files import read_text

CLASSES = "classes.txt"
MAX_NAMES_BYTES = 2**20
MAX_PART_BYTES = 255  # of a file's or folder's name, on common file systems


def names_file(root: Path, labels: Sequence[str] | None) -> tuple[tuple[str, ...] | None, str]:
    """The classes given, with what gave them: `labels`, or the lines of `classes.txt` in `root`; None: neither did."""
    path = root / CLASSES
    if labels is not None:
        return tuple(labels), "the classes given"
    if not path.exists():
        return None, ""
    names = tuple(line.strip() for line in read_text(path, most=MAX_NAMES_BYTES).splitlines() if line.strip())
    if not names or len(set(names)) < len(names):
        raise InputError(f"{printable(path)}: {'a name twice' if names else 'no names'}; write one name a line, each once")
    return names, printable(path)


def class_indices(names: Sequence[str], seen: Iterable[str], where: str, given: str) -> dict[str, int]:
    """The index of each class; an error where what is seen in the annotations of `where` is none of them."""
    indices = {name: index for index, name in enumerate(names)}
    strange = sorted(set(seen) - indices.keys())
    if strange:
        raise InputError(
            f"{where}: objects called {quoted(strange, 10)}, and {given} has only {quoted(names, 20)}; "
            "rename them, or add the names"
        )
    if not indices:
        raise InputError(f"{where}: no object is named in any annotation; there is nothing to learn")
    return indices


def matched(seen: Sequence[str], labels: Sequence[str], *, unnamed: bool = False) -> tuple[dict[str, int], tuple[Note, ...]]:
    """The index into a model's `labels` for each class of data; classes without a match are left out.

    Classes are matched by name, in any form of Unicode; those of ImageNet by WordNet id too; and by position where one side has
    bare numbers and both have as many classes.

    Args:
        seen: all classes of the data, in their order.
        unnamed: whether `labels` are numbers only because the names are not known.

    Returns:
        The indices, and what to tell of the match.
    """
    own = {normal(label): index for index, label in enumerate(labels)}
    found = {name: own[normal(name)] for name in seen if normal(name) in own}
    notes = [*_two_forms(set(found) - set(labels))]
    if len(found) == len(seen):
        return found, tuple(notes)
    others = also_called(labels)
    if also := {name: others[name] for name in seen if name not in found and name in others}:
        first = next(iter(also))
        words = f"{len(also)} classes of ImageNet have another name here: '{first}' is the model's '{labels[also[first]]}', ..."
        notes.append(Note("other_names", words))
        found |= also
    numbers = tuple(str(number) for number in range(len(labels)))
    if len(found) < len(seen) == len(labels) and (unnamed or set(seen) == set(numbers)):
        order = tuple(seen) if unnamed else numbers
        return {name: index for index, name in enumerate(order)}, (by_position(order if unnamed else labels, unnamed),)
    return found, tuple(notes)


def by_position(names: Sequence[str], unnamed: bool) -> Note:
    """A note that classes are matched by position: those of the model, if `unnamed`, or of the data are bare numbers."""
    pairs = ", ".join(f"{index} is '{name:.100}'" for index, name in enumerate(names[:2]))
    whose = "model" if unnamed else "data"
    return Note("by_position", f"classes are matched by position, because the {whose} has only numbers for them: {pairs}, ...")


def _two_forms(names: Collection[str]) -> tuple[Note, ...]:
    """A note on names of classes that are spelled in another form of Unicode than the labels they are matched to."""
    if not names:
        return ()
    words = f"{quoted(sorted(names))}: spelled in another form of Unicode (NFC, NFD) here and there; taken as the same class"
    return (Note("spelling", words),)


def in_folder(path: str, where: str) -> str:
    """`path`, which a file of others names, if a file below its folder can have this name. Raises `InputError`."""
    try:
        too_long = any(len(part.encode()) > MAX_PART_BYTES for part in path.split("/"))
    except UnicodeEncodeError as error:
        raise InputError(f"{where}: names '{printable(path):.80}', which is not valid Unicode; rename the file") from error
    if too_long:
        raise InputError(f"{where}: names '{path:.80}...', which is longer than a file name can be; shorten it")
    if not path or "\0" in path or PurePosixPath(path).is_absolute() or {"..", ""} & set(path.replace("\\", "/").split("/")):
        raise InputError(f"{where}: names '{printable(path):.200}', which leads out of its folder; give paths within it")
    return path
