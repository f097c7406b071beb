"""Answers and evaluations of classification as JSON, CSV and text. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from resnets.data.words import PICTURES
from resnets.draw.text import columns, csv_line, visible
from resnets.engine.values import Sample
from resnets.measures import balance
from resnets.models.answering import Noted, Wanted
from resnets.tasks.classify import confidence, points
from resnets.tasks.lines import failed, first_cell, images_of, probabilities_in, unreadable, with_interval

if TYPE_CHECKING:
    import numpy as np

KEYS = frozenset({"top"})
# Columns of the table of classes in the report, sorted by the first.
REPORT_COLUMNS = {"f1": "F1", "precision": "precision", "recall": "recall", "support": "pictures"}
FACTS = {  # further figures there
    "balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1", "top5": "top-5 accuracy", "ece": "calibration error",
    "answer_error": "wrong answers given", "unanswered": "unanswered",
    "set_coverage": "sets that hold the truth",
} | points.FACTS  # fmt: skip
MISTAKES = 5  # pairs of classes that `told` names


class Candidate(TypedDict):
    label: str
    index: int
    probability: float  # of the softmax, rounded to 6 decimals


class Row(Candidate, total=False):
    """The likeliest class, and `topk` classes, the likeliest first; of equally likely ones that with the lower index."""

    top: list[Candidate]
    answer: str  # the label (with an operating point the positive class or the likeliest of the others), "unsure" or "unknown"
    positive: bool  # with an operating point: whether it is the positive class
    set: list[str]  # where sets are asked for: the classes that may be true, the likeliest first
    ood_score: float  # greater is less like the training data, see `measures.ood.unlikeness`; rounded to 4 decimals


def row(answer: np.ndarray, labels: Sequence[str], wanted: Wanted) -> Row:
    """The likeliest classes of one image, as JSON can hold them.

    Args:
        answer: logits (num_classes,).
        labels: names of the classes.
        wanted: how many classes to name (`topk`), all where there are fewer; and how the model decides.
    """
    import numpy as np

    found = confidence.apply(answer[None], confidence.rule(wanted.decision))
    order, probabilities = np.argsort(-answer.astype(np.float32), kind="stable"), found.probabilities[0]
    indices = order[: wanted.topk]
    top: list[Candidate] = [
        {"label": labels[index], "index": index, "probability": round(probability, 6)}
        for index, probability in zip(indices.tolist(), probabilities[indices].tolist(), strict=True)
    ]
    said: dict[str, Any] = {}
    if "operating_point" in wanted.decision:
        said = points.said(confidence.scaled(answer[None], wanted.decision), labels, wanted.decision)[0]
    made: Any = {**top[0], "top": top, "answer": found.word(0, labels, said), "ood_score": round(float(found.scores[0]), 4)}
    made |= {name: value for name, value in said.items() if name == "positive"}
    if found.sets is not None:
        made["set"] = [labels[index] for index in order.tolist() if found.sets[0, index]]
    return made


def line(row: Mapping[str, Any]) -> str:
    """The row as one line for people: the path, the answer where it is not the likeliest class, classes with probabilities."""
    if "error" in row:
        return failed(row)
    answer = "" if (said := said_of(row)) == row["top"][0]["label"] else f"{said}:  "
    return visible(
        f"{row['path']}  {answer}" + "  ".join(f"{entry['label']} {entry['probability']:.1%}" for entry in row["top"])
    )


def said_of(row: Mapping[str, Any]) -> str:
    """The answer in a few words: "unsure", "unknown", the label, or the labels of a set with bars between them."""
    answer = row.get("answer", row["top"][0]["label"])
    return "|".join(row["set"]) if "set" in row and answer == row["top"][0]["label"] else answer


def csv_head(topk: int) -> str:
    """path,label,probability,label2,probability2,...,answer,error: a pair of columns for each of `topk` classes."""
    numbers = ["", *map(str, range(2, topk + 1))]
    pairs = [f"{name}{number}" for number in numbers for name in ("label", "probability")]
    return csv_line(["path", *pairs, "answer", "error"])


def csv_lines(row: Mapping[str, Any], topk: int) -> str:
    """The row as one line of CSV, under `csv_head(topk)`."""
    top = [cell for entry in row.get("top", []) for cell in (entry["label"], f"{entry['probability']:.6f}")]
    return csv_line([row["path"], *(top or [""] * (2 * topk)), said_of(row) if top else "", row.get("error", "")])


def csv_path(text: str, topk: int) -> str:
    """The path in a row of CSV. Raises `ValueError` where it is no whole row of `topk` classes."""
    return first_cell(text, 2 * topk + 3)


def told(result: Mapping[str, Any], per_class: bool) -> str:
    """An evaluation as text; with `per_class` also the table of classes and the most frequent confusions."""
    top5 = f", top-5 {result['top5']:.2%}" if len(result["labels"]) > 5 else ""
    accuracy = f"accuracy {with_interval(result, 'top1')}{top5}"
    balanced = f"balanced accuracy {with_interval(result, 'balanced_accuracy')}"
    first, second = (balanced, accuracy) if result["unbalanced"] else (accuracy, balanced)
    fitted = result.get("temperature", 1) != 1
    before = f" ({result['ece_before']:.2%} before temperature {result['temperature']:.3g})" if fitted else ""
    lines = [
        f"{result['split']} {first} on {result['num_images']:,} {images_of(result)}; loss {result['loss']:.4f}, "
        f"calibration error {result['ece']:.2%}{before}",
        f"{second}, macro F1 {with_interval(result, 'macro_f1')}",
        *small_classes(result),
        *points.told(result),
        *unreadable(result),
        *confidence.told(result),
    ]
    if per_class:
        lines += ["", class_table(result["per_class"], images_of(result)), "", confusions(result)]
    return "\n".join(lines)


def small_classes(result: Mapping[str, Any]) -> list[str]:
    """The classes that have too few images to be judged, as one line; no line where there are none."""
    if not (few := result["too_few"]):
        return []
    words = visible(", ".join(few[:MISTAKES])) + f" and {len(few) - MISTAKES} more" * (len(few) > MISTAKES)
    return [f"too few {images_of(result)} to judge ({balance.FEW} at least): {words}"]


def class_table(rows: Sequence[Mapping[str, Any]], images: str = PICTURES) -> str:
    """One row per class; one without images has no scores. `images`: what these are called."""
    cells = [
        [
            visible(row["label"]),
            *(f"{row[name]:.4f}" if row["support"] else "-" for name in ("precision", "recall", "f1")),
            str(row["support"]),
        ]
        for row in rows
    ]
    return columns([["class", "precision", "recall", "F1", images], *cells], "lrrrr")


def confusions(result: Mapping[str, Any]) -> str:
    """The most frequent confusions of two classes, as one line."""
    labels, matrix = result["labels"], result["confusion"]
    pairs = [
        (matrix[i][j], labels[i], labels[j]) for i in range(len(labels)) for j in range(len(labels)) if i != j and matrix[i][j]
    ]
    pairs.sort(key=lambda pair: -pair[0])
    words = [visible(f"{num} x {truth} taken for {predicted}") for num, truth, predicted in pairs[:MISTAKES]]
    return "commonest mistakes: " + ("; ".join(words) or "none")


def noted(row: Mapping[str, Any]) -> Noted:
    """See `engine.contract.Rows`: the likeliest class, and what is answered."""
    return Noted([row["label"]], [row["probability"]], [row["answer"]])


def recorded(record: Mapping[str, Any], decision: Mapping[str, Any]) -> Noted:
    found = probabilities_in(record)
    likeliest = max(found, key=lambda label: found[label])
    return Noted([likeliest], [found[likeliest]], [record["answer"]])


def sample(pictures: Sequence[Sequence[Mapping[str, Any]]]) -> Sample:
    import numpy as np

    def is_right(record: Mapping[str, Any]) -> bool:
        found = probabilities_in(record)
        return max(found, key=lambda label: found[label]) == record["truth"]

    right = np.array([is_right(record) for (record,) in pictures], bool)
    return Sample("accuracy", np.arange(len(right)), lambda at: float(right[at].mean()), right)
