"""The answers to validation, counted: what a model at work is compared with. A saved file keeps the counts; predictions.csv has
the answers."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from resnets.engine.contract import Task
from resnets.engine.values import Decision
from resnets.errors import InputError
from resnets.files import read_text
from resnets.measures import drift
from resnets.models.header import Header
from resnets.models.records import AnswersRecord

MAX_BYTES = 1 << 30  # of predictions.csv
DAMAGED = "the counts of answers to validation in the model's header are damaged; use another copy"


def count(task: Task, records: Iterable[Mapping[str, Any]], decision: Decision) -> AnswersRecord:
    """Of records as `Meter.records` gives them, or as rows of predictions.csv; empty counts where the task counts nothing."""
    labels: Counter[str] = Counter()
    scores: list[float] = []
    for record in records:
        noted = task.rows.recorded(record, decision)
        labels.update(noted.labels)
        scores += noted.scores
    return {"classes": drift.class_bins(labels), "scores": drift.score_bins(scores)}


def of_file(path: str | Path, task: Task, decision: Decision) -> AnswersRecord:
    """Of a predictions.csv: its validation split, or where that is not there all of it.

    Raises:
        InputError: where it cannot be read, or has not the columns of the task.
    """
    rows = list(csv.DictReader(StringIO(read_text(path, most=MAX_BYTES), newline="")))
    rows = [row for row in rows if row.get("split") == "val"] or rows
    try:
        return count(task, rows, decision)
    except (KeyError, ValueError, TypeError, AttributeError):
        raise InputError(f"{path}: holds no answers of the task {task.name}; give the predictions.csv of a run") from None


def of_header(header: Header) -> AnswersRecord | None:
    """What a saved or exported file keeps; None where it keeps nothing. Raises `InputError` where that is damaged."""
    kept: Any = header.provenance.get("answers")
    if kept is None:
        return None
    try:
        classes = {str(label): int(num) for label, num in kept["classes"].items()}
        scores = [int(num) for num in kept["scores"]]
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError):
        raise InputError(DAMAGED) from None
    if len(scores) != drift.SCORE_BINS or len(classes) > drift.MAX_BINS or min([*classes.values(), *scores], default=0) < 0:
        raise InputError(DAMAGED)
    return {"classes": classes, "scores": scores}
