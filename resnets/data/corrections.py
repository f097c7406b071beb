"""Corrections of labels: a CSV list that is laid over data when these are opened; the data stay as they are. No torch.

path,action,label[,given]      a.jpg,relabel,bee,ant     another label; `given`: the one that the data have
                               b.jpg,drop,               left out
                               c.jpg,keep,               looked at, and right
path,label                     a.jpg,bee                 or other labels alone

Validation splits and folds are cut from the data as they are, and corrected then: with and without corrections they are of the
same images, and scores before and after can be compared.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resnets.data.pictures.images import printable
from resnets.data.readers.layouts import quoted
from resnets.data.readers.names import matched
from resnets.data.readers.walk import normal, one_spelling
from resnets.data.tables import csv_rows
from resnets.data.types import Note, Source, Values
from resnets.errors import InputError
from resnets.files import read_bytes

RELABEL, DROP, KEEP = ACTIONS = ("relabel", "drop", "keep")
COLUMNS = ("path", "action", "label", "given")
MAX_BYTES = 1 << 28
HOW = "write path,action,label in the first line; the actions are relabel, drop and keep"


class Correction(NamedTuple):
    """A line. `given`: the label that the image had when it was looked at, where the list says it; `where`: for messages."""

    path: str
    action: str
    label: str
    given: str | None
    where: str


def corrected(source: Source, path: str | Path | None) -> Source:
    """`source`, whether its validation split is cut or not, with the corrections of the list at `path` applied to all splits,
    and recorded in `Source.corrections`; as it is where `path` is None.

    Raises:
        InputError: with the line, where the list is none, names an image or a class that is not there, or an image twice,
            or was made when the image had another label; and where a split or a training class loses its last image.
    """
    if path is None:
        return source
    digest = hashlib.sha256(read_bytes(path, most=MAX_BYTES)).hexdigest()
    lines = list(read(Path(path)))
    found = places(source, lines)
    meaning = meanings(source, lines)
    new: dict[str, dict[int, Any]] = {split: {} for split in source.splits}
    dropped: dict[str, list[int]] = {split: [] for split in source.splits}
    for line, (split, index) in zip(lines, found, strict=True):
        before = source.splits[split].targets
        if line.given is not None and not np.array_equal(meaning(before, line.given, line), before.values[index]):
            raise InputError(
                f"{line.where}: {line.path} was looked at with the label '{line.given}', and has another one here; look again, "
                "or take the line out"
            )
        if line.action == DROP:
            dropped[split].append(index)
        elif line.action == RELABEL:
            label = meaning(before, line.label, line)
            if not np.array_equal(label, before.values[index]):
                new[split][index] = label
    numbers = {
        "num_relabelled": sum(map(len, new.values())),
        "num_dropped": sum(map(len, dropped.values())),
        "num_lines": len(lines),
    }
    splits = {name: _applied(split, new[name], dropped[name]) for name, split in source.splits.items()}
    _check_left(source, splits, str(path))
    what = f"{numbers['num_relabelled']:,} labels, {numbers['num_dropped']:,} left out"
    words = f"corrections of {printable(Path(path).name)}: {what}"
    record = {"file": Path(path).name, "sha256": digest, **numbers}
    return dataclasses.replace(
        source, splits=splits, corrections=record, notes=(*source.notes, Note("corrections", words, level="note"))
    )


def _applied(split: Any, new: Mapping[int, Any], dropped: Sequence[int]) -> Any:
    if new:
        targets = split.targets.replaced(np.array(list(new)), np.array(list(new.values())))
        split = dataclasses.replace(split, targets=targets)
    return split.subset(np.setdiff1d(np.arange(len(split)), dropped)) if dropped else split


def _check_left(source: Source, splits: Mapping[str, Any], where: str) -> None:
    for name, split in splits.items():
        if not len(split):
            raise InputError(f"{where}: drops all images of {name}; keep some")
    if "train" in splits and isinstance(splits["train"].targets, Values):
        before, after = (set(part["train"].targets.codes().tolist()) for part in (source.splits, splits))
        single = splits["train"].targets.values.ndim == 1 and splits["train"].targets.values.dtype.kind in "iu"
        if single and (lost := sorted(before - after)):
            names = quoted([source.labels[code] for code in lost])
            raise InputError(f"{where}: leaves no training image of {names}; keep some, or take the class out of the data")


# --- the list ---------------------------------------------------------------------------------------------------------------


def read(path: Path) -> Iterator[Correction]:
    """The lines of a list. Raises `InputError` with the line, where one means nothing."""
    rows = csv_rows(path, strict=True)
    name, first = next(rows)
    head = [cell.strip().lower() for cell in first]
    if "path" not in head or not {"action", "label"} & set(head) or len(set(head)) < len(head):
        raise InputError(f"{name} line 1: no list of corrections (it is: {','.join(head)[:80]!r}); {HOW}")
    for where, row in rows:
        if len(row) != len(head):
            raise InputError(f"{where}: {len(row)} cells under {len(head)} columns; add or remove commas, or quote the cells")
        cells = {column: cell.strip() for column, cell in zip(head, row, strict=True)}
        line = Correction(
            cells["path"], cells.get("action", RELABEL), cells.get("label", ""), cells.get("given") or None, where
        )
        if not line.path:
            raise InputError(f"{where}: the path is missing")
        if line.action not in ACTIONS:
            raise InputError(f"{where}: the action is {line.action[:80]!r}; write one of {', '.join(ACTIONS)}")
        if line.action != RELABEL and line.label not in ("", line.given):
            raise InputError(f"{where}: the action is {line.action}, and there is a label; leave the label empty, or relabel")
        yield line


def path_of(images: Any, index: int) -> str:
    """How a correction names an image: its path from the data's folder on; of arrays such as train[17]."""
    files = getattr(images, "files", images)  # of volumes
    return files.relative(index) if hasattr(files, "relative") else files.name(index)


def places(source: Source, lines: Sequence[Correction]) -> list[tuple[str, int]]:
    """The split and the position of each line's image, however its path is written."""
    every = [getattr(split.images, "files", split.images) for split in source.splits.values()]
    root = next((images.root for images in every if getattr(images, "root", "")), "")
    known: dict[str, list[tuple[str, int]]] = {}
    for name, split in source.splits.items():
        for index in range(len(split)):
            known.setdefault(one_spelling(root, path_of(split.images, index)), []).append((name, index))
    found, seen = [], dict[tuple[str, int], str]()
    keys = [one_spelling(root, line.path) for line in lines]
    if strange := [line for line, key in zip(lines, keys, strict=True) if key not in known]:
        more = f", and so for {len(strange) - 1} lines more" * (len(strange) > 1)
        raise InputError(
            f"{strange[0].where}: there is no image '{strange[0].path[:200]}' in {source.name}{more}; paths count from the "
            "data's folder, as in issues.csv of `resnets data repair`"
        )
    for line, key in zip(lines, keys, strict=True):
        if len(known[key]) > 1:
            raise InputError(
                f"{line.where}: {len(known[key])} images of {source.name} are called '{line.path[:200]}'; rename them"
            )
        place = known[key][0]
        if (before := seen.setdefault(place, line.where)) != line.where:
            raise InputError(f"{line.where}: {line.path} is there already ({before}); give each image one line")
        found.append(place)
    return found


Meaning = Callable[[Any, str, Correction], Any]  # (targets, text, the line) -> a value of the targets


def meanings(source: Source, lines: Sequence[Correction]) -> Meaning:
    """What the text of a label means: a class, labels between bars, or a number."""
    words = [word.strip() for line in lines for text in (line.label, line.given) if text for word in (text, *text.split("|"))]
    index_of, _ = matched(tuple(Counter(words)), source.labels)
    own = {normal(label): index for index, label in enumerate(source.labels)} | {normal(k): i for k, i in index_of.items()}

    def index(word: str, line: Correction) -> int:
        if (known := own.get(normal(word))) is None:
            raise InputError(
                f"{line.where}: there is no class '{word[:100]}' in {source.name}; it has {quoted(source.labels, 20)}"
            )
        return known

    def meaning(targets: Any, text: str, line: Correction) -> Any:
        if not isinstance(targets, Values):
            raise InputError(
                f"{line.where}: boxes and masks have no label of the whole image, which could be another; drop the image, or "
                "mend its annotation"
            )
        values = targets.values
        if values.ndim == 2:
            row = np.zeros(values.shape[1], values.dtype)
            row[[index(word.strip(), line) for word in text.split("|") if word.strip()]] = 1
            return row
        if values.dtype.kind in "iu":
            return index(text, line)
        try:
            return values.dtype.type(text)
        except ValueError:
            raise InputError(f"{line.where}: '{text[:80]}' is no number") from None

    return meaning
