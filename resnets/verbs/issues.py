"""What is to be looked at in labelled data, and issues.csv. No torch."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resnets.data.corrections import path_of
from resnets.data.types import Source
from resnets.files import replacing
from resnets.measures.mislabelled import Doubts

LABEL, DUPLICATE, OUTLIER = KINDS = ("label", "duplicate", "outlier")
WORDS = {LABEL: "labels that are likely wrong", DUPLICATE: "copies of other pictures", OUTLIER: "unlike all other pictures"}
SHOWN = 5  # of each kind in text
COLUMNS = ("path", "given", "action", "label", "split", "kind", "p_given", "p_label", "beside", "distance")


class Issue(NamedTuple):
    """A picture to look at.

    Args:
        at: its position in the `Pool`.
        kind: of `KINDS`.
        action, label: what is suggested: another label, or to leave it out.
        beside: the position of the picture that it is a copy of; None: of none.
    """

    at: int
    kind: str
    action: str
    label: str = ""
    beside: int | None = None


@dataclass(frozen=True)
class Pool:
    """The readable pictures of all splits, one after the other.

    Args:
        places: (N, 2) the number of the split, and the position there.
        given: the label of each, in words; of several labels with bars between them.
        values: (N, num_features) float32.
        targets: classes (N,) int64, or labels (N, num_labels).
        groups: (N,) text, or None.
    """

    source: Source
    places: np.ndarray
    given: Sequence[str]
    values: np.ndarray
    targets: np.ndarray
    groups: np.ndarray | None

    def __len__(self) -> int:
        return len(self.places)

    def at(self, number: int) -> tuple[str, int]:
        """The split and the position there."""
        split, position = self.places[number].tolist()
        return list(self.source.splits)[split], position

    def path(self, number: int) -> str:
        split, position = self.at(number)
        return path_of(self.source.splits[split].images, position)

    def pixels(self, number: int) -> np.ndarray:
        split, position = self.at(number)
        found: np.ndarray = self.source.splits[split].images[position]
        return found


@dataclass(frozen=True)
class Repair:
    """What was found.

    Args:
        issues: what is to be looked at: likely label errors, the surest first, then copies, those with different labels
            first, then outliers, the farthest first; each picture once.
        probabilities: (N, num_classes) out of fold.
        doubts: of the labels; of several labels (N, num_labels).
        distance: (N,) cosine distance of the features to those of the fifth nearest picture.
        penalty: of the logistic regression; `accuracy` how often it has the label that is given.
        bad: path -> why the picture could not be read.
    """

    pool: Pool
    issues: list[Issue]
    probabilities: np.ndarray
    doubts: Doubts
    distance: np.ndarray
    penalty: float
    accuracy: float
    bad: dict[str, str]
    model: str
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        counts = {f"num_{kind}": sum(issue.kind == kind for issue in self.issues) for kind in KINDS}
        return {
            "data": self.pool.source.name,
            "model": self.model,
            "num_images": len(self.pool),
            **counts,
            "accuracy": self.accuracy,
            "penalty": self.penalty,
            "notes": list(self.notes),
            "bad_images": self.bad,
            "issues": [row(self, issue) for issue in self.issues],
        }


def row(result: Repair, issue: Issue) -> dict[str, Any]:
    """A line of issues.csv, whose first columns are those of a list of corrections."""
    pool, at = result.pool, issue.at
    single = pool.targets.ndim == 1
    label = pool.source.labels.index(issue.label) if single and issue.label else None
    return {
        "path": pool.path(at),
        "given": pool.given[at],
        "action": issue.action,
        "label": issue.label,
        "split": pool.at(at)[0],
        "kind": issue.kind,
        "p_given": float(result.doubts.confidence[at].min()),
        "p_label": None if label is None else float(result.probabilities[at, label]),
        "beside": None if issue.beside is None else pool.path(issue.beside),
        "distance": float(result.distance[at]),
    }


def told(result: Repair) -> Iterator[str]:
    """What was found, as lines of text: of each kind the first ones."""
    for note in result.notes:
        yield f"note: {note}"
    for kind, words in WORDS.items():
        of_kind = [row(result, issue) for issue in result.issues if issue.kind == kind]
        yield f"{words}: {len(of_kind):,}"
        for cells in of_kind[:SHOWN]:
            given, label = cells["given"] or "nothing", cells["label"] or "nothing"
            other = {
                LABEL: f"{given}, likely {label}",
                DUPLICATE: f"{given}, the same as {cells['beside']}" + f" ({label})" * bool(cells["label"]),
                OUTLIER: given,
            }
            yield f"    {cells['path']}: {other[kind]}"
        if len(of_kind) > SHOWN:
            yield f"    ... and {len(of_kind) - SHOWN:,} more"
    name, num = result.pool.source.name, len(result.pool)
    yield f"{name}: {num:,} pictures; out of fold {result.accuracy:.1%} have the label that is given"


def write(result: Repair, path: Path) -> Path:
    """issues.csv: all of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for issue in result.issues:
            cells = row(result, issue)
            writer.writerow({name: f"{value:.4g}" if isinstance(value, float) else value for name, value in cells.items()})
    return path
