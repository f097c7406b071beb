"""Names of classes and of files, as the readers of boxes, masks and volumes take them from people. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from resnets.data.pictures.images import printable
from resnets.data.readers.layouts import quoted
from resnets.errors import InputError
from resnets.files import read_text

MAX_NAMES_BYTES = 2**20
MAX_PART_BYTES = 255  # of a file's or folder's name, on common file systems


def names_file(root: Path, labels: Sequence[str] | None) -> tuple[tuple[str, ...] | None, str]:
    """The classes given, with what gave them: `labels`, or the lines of `classes.txt` in `root`; None: neither did."""
    path = root / "classes.txt"
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
