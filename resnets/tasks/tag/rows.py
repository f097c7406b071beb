"""Answers and evaluations of tagging as JSON, CSV and text. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from resnets.draw.text import csv_line, share, visible
from resnets.models.answering import Wanted
from resnets.tasks.lines import class_table, failed, first_cell, interval, unreadable

if TYPE_CHECKING:
    import numpy as np

KEYS = frozenset({"labels"})
COLUMNS = ("path", "labels", "probabilities", "error")  # of CSV
HEADINGS = {"ap": "AP", "auc": "AUC", "f1": "F1", "precision": "precision", "recall": "recall"}
# Columns of the table of labels in the report, sorted by the first; and further figures there.
REPORT_COLUMNS = HEADINGS | {"support": "pictures"}
FACTS = {"auc": "AUC", "f1": "F1 of all labels", "macro_f1": "macro F1", "exact": "pictures all right"}


class Label(TypedDict):
    label: str
    index: int
    probability: float  # rounded to 6 decimals


class Row(TypedDict):
    """The labels of a picture, the likeliest first; perhaps none."""

    labels: list[Label]


def row(answer: np.ndarray, labels: Sequence[str], wanted: Wanted) -> Row:
    """The labels of one picture, as JSON can hold them.

    Args:
        answer: logits (num_labels,).
        labels: their names.
        wanted: the lowest probability of a label (`threshold`).
    """
    import numpy as np

    probabilities = 1 / (1 + np.exp(-answer.astype(np.float64)))
    threshold = 0.5 if wanted.threshold is None else wanted.threshold
    order = [index for index in np.argsort(-probabilities, kind="stable").tolist() if probabilities[index] >= threshold]
    return {"labels": [{"label": labels[i], "index": i, "probability": round(float(probabilities[i]), 6)} for i in order]}


def line(row: Mapping[str, Any]) -> str:
    """The row as one line for people: the path, then labels with their probabilities."""
    if "error" in row:
        return failed(row)
    there = "  ".join(f"{entry['label']} {entry['probability']:.1%}" for entry in row["labels"])
    return visible(f"{row['path']}  {there or 'none'}")


def words(there: Iterable[bool], labels: Sequence[str]) -> str:
    """The labels that are there, or "none"."""
    return ", ".join(label for label, yes in zip(labels, there, strict=True) if yes) or "none"


def csv_head(topk: int) -> str:
    """path,labels,probabilities,error."""
    return csv_line(COLUMNS)


def csv_lines(row: Mapping[str, Any], topk: int) -> str:
    """One line per picture; labels and their probabilities with bars between them."""
    there = row.get("labels", [])
    probabilities = "|".join(f"{entry['probability']:.6f}" for entry in there)
    return csv_line([row["path"], "|".join(entry["label"] for entry in there), probabilities, row.get("error", "")])


def csv_path(text: str, topk: int) -> str:
    """The path in a line of CSV. Raises `ValueError` where it is no whole row."""
    return first_cell(text, len(COLUMNS))


def told(result: Mapping[str, Any], per_class: bool) -> str:
    """An evaluation as text; with `per_class` also the table of labels."""
    lines = [
        f"{result['split']} mAP {share(result['map'])}{interval(result, 'map', ' ({})')}, AUC {share(result['auc'])}, "
        f"F1 {share(result['f1'])} (macro {share(result['macro_f1'])}), all labels right {share(result['exact'])} on "
        f"{result['num_images']:,} pictures",
        *unreadable(result),
    ]
    if per_class:
        lines += ["", class_table(result["per_class"], HEADINGS, "support")]
    return "\n".join(lines)
