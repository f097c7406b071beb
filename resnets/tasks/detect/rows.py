"""Answers and evaluations of object detection as JSON, CSV and text. No torch."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from resnets.draw.text import csv_line, share, visible
from resnets.engine.values import Sample
from resnets.models.answering import Noted, Wanted, number_of
from resnets.tasks.detect import points
from resnets.tasks.lines import class_table, failed, unreadable

if TYPE_CHECKING:
    from resnets.data.targets import Detections

KEYS = frozenset({"objects"})
COLUMNS = ("path", "label", "score", "x0", "y0", "x1", "y1", "error")  # of CSV
HEADINGS = {"ap": "AP", "ap50": "AP .5", "ap75": "AP .75", "voc07": "VOC 07", "voc12": "VOC 12", "mask_ap": "mask AP"}

# Columns of the table of classes in the report, sorted by the first; and further figures there.
REPORT_COLUMNS = {
    "ap": "AP",
    "ap50": "AP .5",
    "ap75": "AP .75",
    "voc12": "VOC 12",
    "recall": "recall at best F1",
    "objects": "objects",
}
FACTS = {
    "map50": "mAP at IoU .5",
    "map_small": "mAP of small objects",
    "map_medium": "of medium ones",
    "map_large": "of large ones",
    "voc12": "VOC 2012",
    "precision": "precision at the threshold",
    "recall": "recall there",
}


SURE = 0.5  # the score from which an object is named and drawn, where neither the user nor the model says another


class Object(TypedDict):
    label: str
    index: int
    score: float  # rounded to 6 decimals
    box: list[float]  # x0, y0, x1, y1 in pixels of the image, half-open, rounded to 2 decimals


class Row(TypedDict):
    """The objects of an image, the highest score first; perhaps none."""

    objects: list[Object]


def row(answer: Detections, labels: Sequence[str], wanted: Wanted) -> Row:
    """The objects of one image, as JSON can hold them.

    Args:
        answer: all objects, sorted by score, the highest first.
        labels: names of the classes.
        wanted: the least score of an object; see `least_score`.
    """
    kept = answer.scores >= least_score(wanted)
    columns = (answer.labels[kept].tolist(), answer.scores[kept].tolist(), answer.xyxy[kept].tolist())
    objects: list[Object] = [
        {"label": labels[index], "index": index, "score": round(score, 6), "box": [round(side, 2) for side in box]}
        for index, score, box in zip(*columns, strict=True)
    ]
    return {"objects": objects}


def least_score(wanted: Wanted) -> float:
    """The score from which an object is named: what the user asks for, else the model's own threshold, else 0.5."""
    return number_of(wanted.decision, "threshold", SURE) if wanted.threshold is None else wanted.threshold


def at_least(found: Detections, threshold: float) -> Detections:
    """The objects with a score of `threshold` or more, their masks included."""
    kept = found.scores >= threshold
    fields = {name: value for name, value in vars(found).items() if value is not None}
    return dataclasses.replace(found, **{name: value[kept] for name, value in fields.items()})


def line(row: Mapping[str, Any]) -> str:
    """The row as one line for people: the path, then classes with their numbers of objects."""
    if "error" in row:
        return failed(row)
    counts = Counter(entry["label"] for entry in row["objects"])
    return visible(f"{row['path']}  " + ("  ".join(f"{label} {num}" for label, num in counts.items()) or "nothing"))


def csv_head(topk: int) -> str:
    """path,label,score,x0,y0,x1,y1,error."""
    return csv_line(COLUMNS)


def csv_lines(row: Mapping[str, Any], topk: int) -> str:
    """One line of CSV per object; one without an object where there is none, or an error."""
    cells = [[o["label"], f"{o['score']:.6f}", *(f"{side:g}" for side in o["box"]), ""] for o in row.get("objects", [])]
    return "\n".join(csv_line([row["path"], *rest]) for rest in cells or [[""] * (len(COLUMNS) - 2) + [row.get("error", "")]])


# Not resumable: an image has several lines, and an interrupted call may have written only the first.
csv_path: Callable[[str, int], str] | None = None


def told(result: Mapping[str, Any], per_class: bool) -> str:
    """An evaluation as text; with `per_class` also the table of classes."""
    masks = f"; of masks {share(result['masks']['map'])}, {share(result['masks']['map50'])} at .5" if "masks" in result else ""
    lines = [
        f"{result['split']} mAP {share(result['map'])}, {share(result['map50'])} at IoU .5 (VOC 2012 {share(result['voc12'])})"
        f"{masks} on {result['num_objects']:,} objects in {result['num_images']:,} pictures",
        *points.told(result),
        *unreadable(result),
    ]
    if per_class:
        lines += ["", class_table(result["per_class"], HEADINGS, "objects")]
    return "\n".join(lines)


def noted(row: Mapping[str, Any]) -> Noted:
    """See `engine.contract.Rows`: the objects."""
    names = [entry["label"] for entry in row["objects"]]
    return Noted(names, [entry["score"] for entry in row["objects"]], names)


def recorded(record: Mapping[str, Any], decision: Mapping[str, Any]) -> Noted:
    if not record["answer"] or float(record["score"]) < least_score(Wanted(decision=decision)):  # missed, or not named
        return Noted([], [], [])
    return Noted([record["answer"]], [float(record["score"])], [record["answer"]])


def sample(pictures: Sequence[Sequence[Mapping[str, Any]]]) -> Sample:
    """Objects that are to be ignored are not in the rows, and detections on them count for nothing."""
    import numpy as np

    from resnets.tasks.detect import voc
    from resnets.tasks.means import mean

    named = {record[key] for records in pictures for record in records for key in ("truth", "answer")}
    labels = sorted(named - {"", "ignored"})
    index = {label: number for number, label in enumerate(labels)}

    def judged(records: Sequence[Mapping[str, Any]]) -> voc.Judged:
        found = [record for record in records if record["answer"]]
        there = [index[record["truth"]] for record in records if record["truth"] in index]
        return voc.Judged(
            labels=np.array([index[record["answer"]] for record in found], np.int64),
            scores=np.array([float(record["score"]) for record in found]),
            hits=np.array([record["truth"] in index for record in found], bool),
            counted=np.array([record["truth"] != "ignored" for record in found], bool),
            objects=np.array(there, np.int64),
            ignored=np.zeros(0, np.int64),
        )

    matched = [judged(records) for records in pictures]

    def figure(at: np.ndarray) -> float:
        return mean(np.array([curve.voc12 for curve in voc.pooled([matched[i] for i in at], len(labels))])) or 0.0

    return Sample("mAP at IoU .5 (VOC 2012)", np.arange(len(matched)), figure)
