"""What the values in masks mean: class indices, black and white, or values that classes.txt names. No torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from resnets.data.pictures.images import BadPicture, printable
from resnets.data.readers.layouts import quoted
from resnets.data.readers.names import CLASSES, names_file
from resnets.data.targets import IGNORE, NUMBERS
from resnets.data.types import Note
from resnets.errors import InputError

# Names in classes.txt for a value that is to be ignored.
IGNORE_NAMES = ("ignore", "void", "unlabelled", "unlabeled")
FOREGROUND = ("background", "object")  # of masks of two values, or of object numbers
VALUE = re.compile(r"(\d{1,5})\s*:\s*(\S.*)")  # a line of classes.txt that names a value: "128: lesion"
SHOWN = 5  # values or files that a message names
# Values on the way from black to white that compression or resizing leaves on both sides, in a file of so many values.
NEARLY_BLACK, NEARLY_WHITE, MANY = range(1, 9), range(247, 255), 8


class Meaning(NamedTuple):
    """What the values mean.

    Args:
        named: the name of each value that is a class.
        notes: how that was found, in words.
    """

    named: Mapping[int, str]
    notes: tuple[Note, ...] = ()


def names_by_value(root: Path, labels: Sequence[str] | None, ignore: int | None) -> dict[int, str] | None:
    """The name of each value in masks; None if nobody names them.

    They are the lines of `classes.txt`, one for each value from 0 on, or each with its value as in `128: lesion`; else `labels`
    in order, skipping `ignore`.
    """
    listed, given = names_file(root, None)
    if listed is None:
        if labels is None:
            return None
        names = list(labels)
        if ignore is not None and ignore < len(names):
            names.insert(ignore, IGNORE_NAMES[0])
        return dict(enumerate(names))
    pairs = [found.groups() for name in listed if (found := VALUE.fullmatch(name))]
    if len(pairs) < len(listed):
        return dict(enumerate(listed))
    values = {int(value): name for value, name in pairs}
    if len(values) < len(pairs) or max(values) >= NUMBERS:
        raise InputError(f"{given}: a value twice, or above {NUMBERS - 1:,}; write each value once, as in '128: lesion'")
    return values


def class_table(
    where: str, named: Mapping[int, str], labels: Sequence[str] | None, ignore: int | None
) -> tuple[tuple[str, ...], np.ndarray]:
    """The class names, and the `table` of `masks.ClassMasks`.

    Args:
        where: the dataset, for messages.
        named: the name of each value in masks; one for 255 says that it is not ignored.
        labels: the class names in the order of class indices, matched by name; default (None): those of `named`, in the order
            of values, without ignored ones.
        ignore: a further value that is ignored.

    Raises:
        InputError: if the names do not agree, or there are not 2 to 255 classes.
    """
    if ignore is not None and not 0 <= ignore <= IGNORE:
        raise InputError(f"index {ignore} is to be ignored; give one from 0 to {IGNORE}")
    skipped = {IGNORE} - named.keys() if ignore is None else {ignore, IGNORE}
    skipped |= {value for value, name in named.items() if name.lower() in IGNORE_NAMES}
    kept = {value: name for value, name in sorted(named.items()) if value not in skipped}
    names = tuple(dict.fromkeys(kept.values())) if labels is None else tuple(labels)
    if voids := [name for name in names if name.lower() in IGNORE_NAMES]:
        raise InputError(f"{where}: {quoted(voids)} is no class; leave it out of the classes, and say which index to ignore")
    index_of = {name: index for index, name in reversed(list(enumerate(names)))}
    if strange := [name for name in kept.values() if name not in index_of]:
        raise InputError(f"{where}: {quoted(strange)} in classes.txt, and the classes are {quoted(names, 20)}; rename them")
    if not 2 <= len(names) <= IGNORE:
        raise InputError(f"{where}: {len(names)} classes in the masks; there must be 2 to {IGNORE}")
    table = np.full(NUMBERS, -1, dtype=np.int16)
    table[sorted(skipped)] = IGNORE
    for value, name in kept.items():
        table[value] = index_of[name]
    return names, table


def meaning(
    root: Path,
    masks: Sequence[Path],
    read: Callable[[Path], np.ndarray],
    labels: Sequence[str] | None,
    ignore: int | None,
    first: str = "0",
    described: Mapping[int, str] | None = None,
) -> Meaning:
    """What the values in `masks` mean: as they are named, or else as they occur.

    Where nobody names them all masks are read. If 0 and 255 alone occur, they are background and object; else the values are
    class indices, and 255 is ignored. Nothing is taken for both: files that contradict each other are refused.

    Args:
        read: path -> integers of any shape; raises `BadPicture`.
        labels, ignore: as of `names_by_value`.
        first: the name of index 0 where values are numbers.
        described: the name of each value, as a file beside the masks says; `classes.txt` goes before it.

    Raises:
        InputError: if no mask can be read, files contradict each other, values hold grey, or numbers are left out.
    """
    if described and not (root / CLASSES).exists():
        return Meaning(described)
    named = names_by_value(root, labels, ignore)
    if named is not None and (len(named) != 2 or set(named) != {0, 1} or ignore is not None):
        return Meaning(named)
    found = _all_values(root, masks, read)
    _refuse_grey(root, found, len(named or ()))
    if ignore is None and _is_black_and_white(root, found):
        names = tuple(named.values()) if named else FOREGROUND
        words = f"masks are black and white: 0 is taken for {names[0]}, 255 for {names[1]}"
        return Meaning({0: names[0], IGNORE: names[1]}, (Note("values", words, level="note"),))
    every = set().union(*found.values())
    usual = every - {IGNORE, ignore}
    ignored = f"; {IGNORE} is ignored" if IGNORE in every and ignore != IGNORE else ""
    if named is not None:
        return Meaning(named, (Note("values", f"masks: 0 is {named[0]}, 1 is {named[1]}{ignored}", level="note"),))
    most = max(usual, default=0)
    if most > IGNORE and (len(usual) > IGNORE or most >= NUMBERS):
        raise InputError(
            f"{printable(root)}: masks with numbers up to {most:,}, and classes end at {IGNORE - 1}; objects go into instances/"
        )
    if missing := sorted(set(range(most + 1)) - usual - {ignore}):
        lines = ", ".join(f"'{value}: name'" for value in sorted(usual)[:SHOWN]) + ", ..." * (len(usual) > SHOWN)
        raise InputError(
            f"{printable(root)}: masks hold the values {_few(sorted(usual))} and not {_few(missing)}, though classes are "
            f"numbered 0, 1, ...; say in classes.txt what each value is, in a line: {lines}"
            + ("; numbers of objects go into instances/" if most > IGNORE else "")
        )
    names = FOREGROUND if usual == {0, 1} and first == "0" else (first, *map(str, range(1, most + 1)))
    few = f"0 is {names[0]}, 1 is {names[1]}" if len(names) == 2 else f"the values 0 to {most} are classes"
    return Meaning(dict(enumerate(names)), (Note("values", f"masks: {few}{ignored}", level="note"),))


def _all_values(root: Path, masks: Sequence[Path], read: Callable[[Path], np.ndarray]) -> dict[Path, set[int]]:
    """The values that occur in each mask that can be read."""

    def values(path: Path) -> set[int] | Exception:
        try:
            found = np.unique(read(path))
            if len(found) > NUMBERS:
                raise ValueError(f"{len(found):,} different values")
            return set(found.tolist())
        except (BadPicture, ValueError) as bad:
            return bad

    with ThreadPoolExecutor() as pool:
        results = dict(zip(masks, pool.map(values, masks), strict=True))
    found = {path: result for path, result in results.items() if isinstance(result, set)}
    if not found:
        path, reason = next(iter(results.items()))
        words = str(reason) if isinstance(reason, BadPicture) else f"{printable(path)}: {reason}"
        raise InputError(f"{printable(root)}: none of {len(masks)} masks can be read; the first: {words}")
    return found


def _refuse_grey(root: Path, found: Mapping[Path, set[int]], num_named: int) -> None:
    """Raise `InputError` for masks with the grey values that compression or resizing puts between black and white.

    Args:
        num_named: values from 0 on that are named; 0: as many as occur without a gap.
    """
    every = set().union(*found.values())
    limit = num_named or next(value for value in range(NUMBERS + 1) if value not in every)
    white = any(values == {0, IGNORE} for values in found.values())
    grey = {
        path: values
        for path, values in found.items()
        if max(values) <= IGNORE
        and ((white and any(limit <= value < IGNORE for value in values)) or (len(values) > MANY and _fades(values)))
    }
    if grey:
        path, values = max(grey.items(), key=lambda item: len(item[1]))
        raise InputError(
            f"{printable(path)}: {len(values)} different grey values, as in a mask that was resized with smoothing or saved as "
            f"JPEG ({len(grey)} of {len(found)} masks); set each pixel to 0 or 255 again, resize with the nearest neighbour, "
            "and save as PNG"
        )


def _fades(values: set[int]) -> bool:
    """Whether values lie next to black and next to white, as compression leaves them; class indices seldom do both."""
    return bool(values & set(NEARLY_BLACK)) and bool(values & set(NEARLY_WHITE))


def _is_black_and_white(root: Path, found: Mapping[Path, set[int]]) -> bool:
    """Whether 255 means the object; an error where some masks say that it does, and others that 1 does."""
    white = [path for path, values in found.items() if IGNORE in values and values <= {0, IGNORE}]
    index = [path for path, values in found.items() if values - {0, IGNORE}]
    if not white or any(IGNORE in found[path] for path in index):  # beside an index, 255 is what is ignored
        return False
    if index:
        few, many = sorted((index, white), key=len)
        these, those = (_few(sorted(set().union(*(found[path] for path in paths)))) for paths in (few, many))
        raise InputError(
            f"{printable(few[0])}: holds {these}, as {len(few)} of {len(found)} masks, and {len(many)} hold {those}; is 255 an "
            f"object, or ignored? Save all masks in one way, give --ignore-index {IGNORE}, or name the values in classes.txt: "
            "'0: background', '255: object'"
        )
    return True


def _few(values: Iterable[int]) -> str:
    values = list(values)
    return ", ".join(map(str, values[:SHOWN])) + (f" ... {values[-1]}" if len(values) > SHOWN else "")
