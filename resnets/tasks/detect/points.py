"""The score from which a detector names an object, chosen on validation for a wanted precision. Objects of all classes count
together; one is found where a box of its class has IoU .5 with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from resnets.draw.text import share
from resnets.errors import InputError
from resnets.measures import curves
from resnets.measures.intervals import estimate
from resnets.models.answering import number_of
from resnets.tasks.detect import voc
from resnets.tasks.detect.objects import Objects
from resnets.tasks.lines import with_interval

RULE = "precision_at"  # the setting


class Pooled(NamedTuple):
    """All boxes found in N pictures, but for those on objects that count neither way.

    Args:
        scores: (K,) 0 to 1.
        hits: (K,) bool.
        pictures: (K,) 0 to N - 1.
        num_objects: (N,) that are there.
    """

    scores: np.ndarray
    hits: np.ndarray
    pictures: np.ndarray
    num_objects: np.ndarray


def pooled(pictures: list[tuple[Objects, Objects]]) -> Pooled:
    """Of pictures given as (found, truth)."""
    columns: list[tuple[np.ndarray, ...]] = [(np.zeros(0), np.zeros(0, bool), np.zeros(0, np.int64))]
    for number, (found, truth) in enumerate(pictures):
        order = np.argsort(-found.scores, kind="stable")
        hit, neither, _ = voc.matched(found.xyxy[order], found.labels[order], truth, 0.5)
        counted = np.flatnonzero(~neither)
        columns.append((found.scores[order][counted], hit[counted], np.full(len(counted), number)))
    scores, hits, numbers = (np.concatenate(column) for column in zip(*columns, strict=True))
    return Pooled(scores, hits, numbers, np.array([int((~truth.ignore).sum()) for _, truth in pictures], np.int64))


def decide(boxes: Pooled, asked: Mapping[str, Any]) -> dict[str, Any]:
    """ "threshold" and "operating_point" of a decision; nothing where nothing is asked for.

    Raises:
        InputError: where the precision on validation reaches nowhere what is wanted.
    """
    wanted = asked.get(RULE)
    if wanted is None:
        return {}
    curve = curves.curve(boxes.scores, boxes.hits)
    at = curves.at_precision(curve, wanted)
    if at is None:
        needed = max(1, curves.needed(wanted))
        enough = curve.hits + curve.alarms >= needed
        if not enough.any():
            found = f"{len(boxes.scores)} objects were found on validation, and it takes {needed} at least"
        else:
            best = int(np.nanargmax(np.where(enough, curve.precision, -1)))
            found = f"precision on validation is at most {curve.precision[best]:.1%}, at a score of {curve.threshold(best):.3g}"
        raise InputError(f"{RULE}={wanted:g}: {found}; ask for less, train longer, or give more validation pictures")
    threshold = curve.threshold(at)
    validation = shares(boxes, threshold, None)
    return {"threshold": threshold, "operating_point": {"rule": RULE, "wanted": wanted, "validation": validation}}


def shares(boxes: Pooled, threshold: float, groups: np.ndarray | None) -> dict[str, Any]:
    """Precision and recall of boxes with such a score or more, each with the 95 % interval of the bootstrap over pictures, or
    `groups` (N,) of them; None where nothing is found, or there."""
    num = len(boxes.num_objects)
    kept = boxes.scores >= threshold
    found = np.bincount(boxes.pictures[kept], minlength=num)
    hits = np.bincount(boxes.pictures[kept & boxes.hits], minlength=num)
    told: dict[str, Any] = {}
    for name, whole in (("precision", found), ("recall", boxes.num_objects)):
        one = estimate(_ratio(hits, whole), num, groups) if whole.sum() else None
        told |= {name: one and one.value, f"{name}_interval": one and one.interval}
    return told


def _ratio(part: np.ndarray, whole: np.ndarray) -> Any:
    return lambda at: part[at].sum() / total if (total := whole[at].sum()) else float("nan")


def result(boxes: Pooled, threshold: float, decision: Mapping[str, Any], groups: np.ndarray | None) -> dict[str, Any]:
    """What an evaluation says of the score from which objects are named."""
    found = {"threshold": threshold, **shares(boxes, threshold, groups)}
    kept = decision.get("operating_point")
    if kept is None:
        return found
    kept = dict(kept) if isinstance(kept, Mapping) else {}
    interval, wanted = found["precision_interval"], number_of(kept, "wanted")
    high = interval[1] if interval else found["precision"]
    return found | {"operating_point": kept | {"reached": None if high is None else bool(high >= wanted)}}


def told(result: Mapping[str, Any]) -> list[str]:
    """What `result` says, as lines."""
    if "threshold" not in result:
        return []
    kept = result.get("operating_point")
    why = f", chosen on validation for a precision of {share(kept['wanted'])}" if kept else ""
    both = f"precision {with_interval(result, 'precision')}, recall {with_interval(result, 'recall')}"
    lines = [f"objects with a score of {result['threshold']:.3g} or more{why}: {both}"]
    if kept and kept["reached"] is False:
        lines.append(f"  precision is below the {share(kept['wanted'])} that was asked for, and so is its whole interval")
    if kept and result["split"] == "val":
        lines.append("  the threshold was chosen on these pictures: only a test split can judge it")
    return lines
