"""Answers and evaluations of tagging as JSON, CSV and text. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from resnets.draw.text import csv_line, share, visible
from resnets.engine.values import Sample
from resnets.models.answering import Noted, Wanted
from resnets.tasks.lines import class_table, failed, first_cell, images_of, probabilities_in, unreadable, with_interval
from resnets.tasks.tag.thresholds import LEAST, of_labels, probabilities

if TYPE_CHECKING:
    import numpy as np

KEYS = frozenset({"labels"})
COLUMNS = ("path", "labels", "probabilities", "error")  # of CSV
HEADINGS = {"ap": "AP", "auc": "AUC", "f1": "F1", "precision": "precision", "recall": "recall", "threshold": "threshold"}
# Columns of the table of labels in the report, sorted by the first; and further figures there.
REPORT_COLUMNS = HEADINGS | {"support": "pictures"}
FACTS = {
    "auc": "AUC",
    "f1": "F1 of all labels",
    "macro_f1": "macro F1",
    "precision": "precision of all labels",
    "recall": "recall of all labels",
    "exact": "pictures all right",
}

NONE = "none"  # what a picture without labels is counted as
NAMED = 10  # labels without a threshold that `told` names


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
        wanted: the lowest probability of a label (`threshold`); None: the model's own of each label, else 0.5.
    """
    import numpy as np

    found = probabilities(answer)
    least = of_labels(wanted.decision, labels) if wanted.threshold is None else np.full(len(labels), wanted.threshold)
    order = [index for index in np.argsort(-found, kind="stable").tolist() if found[index] >= least[index]]
    return {"labels": [{"label": labels[i], "index": i, "probability": round(float(found[i]), 6)} for i in order]}


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
    numbers = "|".join(f"{entry['probability']:.6f}" for entry in there)
    return csv_line([row["path"], "|".join(entry["label"] for entry in there), numbers, row.get("error", "")])


def csv_path(text: str, topk: int) -> str:
    """The path in a line of CSV. Raises `ValueError` where it is no whole row."""
    return first_cell(text, len(COLUMNS))


def told(result: Mapping[str, Any], per_class: bool) -> str:
    """An evaluation as text; with `per_class` also the table of labels."""
    how = {"validation": "at the thresholds chosen on validation"}.get(result["thresholds"], "at a probability of 0.5")
    if result["thresholds"] == "validation" and result["split"] == "val":
        how += ", which is this split"
    macro, precision, recall = (share(result[name]) for name in ("macro_f1", "precision", "recall"))
    lines = [
        f"{result['split']} mAP {with_interval(result, 'map')}, AUC {share(result['auc'])} on {result['num_images']:,} "
        f"{images_of(result)}; {how}: F1 {share(result['f1'])} (macro {macro}), precision {precision}, recall {recall}, "
        f"all labels right {share(result['exact'])}",
        *unreadable(result),
    ]
    if per_class:
        lines += ["", class_table(result["per_class"], HEADINGS, "support", first="label"), *unsupported(result)]
    return "\n".join(lines)


def unsupported(result: Mapping[str, Any]) -> list[str]:
    """The labels that keep 0.5 because too few images of validation had them, as one line; no line where there are none."""
    few = result["unsupported"]
    names = visible(", ".join(f"{label} ({num})" for label, num in list(few.items())[:NAMED]))
    more = f" and {len(few) - NAMED} more" * (len(few) > NAMED)
    why = f"fewer than {LEAST} validation {images_of(result)} with the label, or all of them, support no threshold"
    return ["", f"named from 0.5 on, for {why}: {names}{more}"] if few else []


def noted(row: Mapping[str, Any]) -> Noted:
    """See `engine.contract.Rows`: the labels, or `NONE`."""
    names = [entry["label"] for entry in row["labels"]] or [NONE]
    return Noted(names, [entry["probability"] for entry in row["labels"]], names)


def recorded(record: Mapping[str, Any], decision: Mapping[str, Any]) -> Noted:
    found = probabilities_in(record)
    least = of_labels(decision, list(found))
    there = {label: chance for (label, chance), limit in zip(found.items(), least, strict=True) if chance >= limit}
    return Noted(list(there) or [NONE], list(there.values()), list(there) or [NONE])


def sample(pictures: Sequence[Sequence[Mapping[str, Any]]]) -> Sample:
    import numpy as np

    from resnets.tasks.means import mean
    from resnets.tasks.tag.scores import Judgement

    found = [(set(record["truth"].split("|")), probabilities_in(record)) for (record,) in pictures]
    true = [[label in there for label in chances] for there, chances in found]
    outputs = np.array([list(chances.values()) for _, chances in found])
    judged = Judgement(outputs, outputs >= LEAST, np.array(true, bool))

    def mean_precision(at: np.ndarray) -> float:
        found = mean(judged.scores(np.bincount(at, minlength=len(outputs))).ap)
        return np.nan if found is None else found

    return Sample("mAP", np.arange(len(outputs)), mean_precision)
