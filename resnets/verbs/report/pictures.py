"""The pictures of a page: behind each cell of the confusion matrix, the worst, the least certain, the most typical of each
class, beside mistakes the nearest training pictures, and all of them in a plane. From what an evaluation found, for any task
whose images have one answer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from resnets.data.loader import Loader
from resnets.data.pictures.stored import evenly_spaced
from resnets.data.types import Source, Split
from resnets.data.workers import BadImages
from resnets.draw.paint import hex_colours
from resnets.engine.contract import Task
from resnets.engine.settings import parse_duration
from resnets.engine.values import Outcomes
from resnets.errors import InputError
from resnets.measures.neighbours import nearest
from resnets.measures.plane import in_plane
from resnets.models.model import Model
from resnets.verbs import features
from resnets.verbs.predictions import Judged
from resnets.verbs.report.thumbs import mapped, sheet, small, thumbnails

CELL = 12  # pictures of a cell of the confusion matrix, the surest first
CELLS = 100  # cells that have pictures: of more the largest
MATRIX = 20  # classes up to which the matrix is a table; of more its largest cells are listed
WORST = 24
MAPPED = 72  # pictures with a map
TYPICAL, TYPICAL_CLASSES = 4, 24
POINTS = 2000  # pictures in the plane
TRAINING = 5000  # training pictures among which the nearest are looked for
NEAR = 4
WORK = 350e9  # multiply-adds that features may cost: those of all these pictures by a network for CIFAR-10 with 20 layers
WORK_PER_SECOND = WORK / 600  # of a run by `--time`, of which the page is to take a small part
LEAST = 350  # pictures whose features are computed whatever they cost
POINT_SIDE = 32  # pixels of a picture in the sheet of the plane; of photographs half as many again


class Known(NamedTuple):
    """Features of some images of the split and of the training split, by their positions there."""

    own: Mapping[int, np.ndarray]
    training: np.ndarray
    positions: np.ndarray


def found(network: Model, source: Source, judged: Judged, workers: int | None = 0) -> dict[str, Any]:
    """What the template shows of pictures; nothing for tasks whose answers are for places in an image.

    Args:
        network: the model itself, which has features and gradients.
        source, judged: the data, and the answers to one of its splits.
        workers: processes that decode for the network.
    """
    outcomes, part = judged.meter.outcomes(), judged.part
    if outcomes is None:
        return {}
    images, notes = part.images, []
    cells = cells_of(outcomes)
    worst = [i for i in np.argsort(-outcomes.losses, kind="stable").tolist() if outcomes.wrong[i]][:WORST]
    unsure = np.argsort(outcomes.sure, kind="stable")[:WORST].tolist() if np.isfinite(outcomes.sure).all() else []
    device, time = next(network.parameters()).device.type, network.header.provenance.get("recipe", {}).get("time")
    num_points, num_training = num_looked_at(network, device, parse_duration(str(time)) if time else math.inf)
    points = evenly_spaced(np.arange(len(outcomes.positions)), num_points).tolist()
    try:
        known = features_of(network, source, judged, sorted({*points, *worst}), num_training, workers)
    except InputError as error:  # another library's network has no features that are known here
        notes.append(f"No nearest pictures and no plane: {error}")
        known = Known({}, np.zeros((0, 0)), np.zeros(0, np.int64))
    points = [i for i in points if i in known.own]
    typical = typical_of(outcomes, points, known)
    places, how = in_plane(np.array([known.own[i] for i in points])) if points else (np.zeros((0, 2)), "")
    near = near_of(worst, known, source, judged.task)
    shown = [*worst, *unsure, *(i for row in cells for i in row["at"]), *(i for row in typical for i in row["at"])]
    thumbs = thumbnails(images, (outcomes.positions[i] for i in shown))
    maps, note = maps_of(network, part, outcomes, [*worst, *(i for row in cells for i in row["at"][:2] if row["wrong"])])
    notes += [note] * bool(note)

    def cards(which: Iterable[int], near: Mapping[int, Any] = MappingProxyType({})) -> list[dict[str, Any]]:
        made = []
        for i in which:
            position = int(outcomes.positions[i])
            if position in thumbs:
                told = {"truth": outcomes.truth[i], "answer": outcomes.answers[i], "sure": float(outcomes.sure[i])}
                seen = {"picture": thumbs[position], "map": maps.get(position), "near": near.get(i, [])}
                made.append({"name": images.name(position), "wrong": bool(outcomes.wrong[i]), **told, **seen})
        return made

    return {
        "cells": [row | {"cards": cards(row["at"])} for row in cells],
        "names": list(outcomes.names),
        "matrix_fits": len(outcomes.names) <= MATRIX,
        "worst": cards(worst, near),
        "unsure": cards(unsure),
        "typical": [row | {"cards": cards(row["at"])} for row in typical],
        "plane_of": plane_of(outcomes, points, places, how, images),
        "num_training": len(known.positions),
        "whole_training": len(source.splits["train"]) if len(known.positions) else 0,
        "picture_notes": notes,
    }


def cells_of(outcomes: Outcomes) -> list[dict[str, Any]]:
    """The cells of the confusion matrix that are not empty, mistakes first, the largest first: up to `CELLS`, with the places
    of their surest pictures."""
    if outcomes.said is None:
        return []
    num, rows = len(outcomes.names), []
    codes = outcomes.codes * num + outcomes.said
    pairs, counts = np.unique(codes, return_counts=True)
    of_class = np.bincount(outcomes.codes, minlength=num)
    order = np.lexsort((-counts, pairs // num == pairs % num))[:CELLS]
    surest = np.argsort(-outcomes.sure, kind="stable")
    for pair, count in zip(pairs[order].tolist(), counts[order].tolist(), strict=True):
        truth, said = divmod(pair, num)
        at = surest[codes[surest] == pair][:CELL].tolist()
        share = count / of_class[truth]
        rows.append({"truth": truth, "said": said, "num": count, "share": share, "wrong": truth != said, "at": at})
    return rows


def num_looked_at(network: Model, device: str, seconds: float = math.inf) -> tuple[int, int]:
    """How many pictures of the plane, and of training, have their features computed: on a processor fewer by large networks,
    and after a run that was to take so many `seconds`."""
    most = POINTS + TRAINING
    if device == "cpu":
        work = min(WORK, WORK_PER_SECOND * seconds)
        most = int(min(most, max(LEAST, work / network.spec.num_macs(network.preprocess.size))))
    return round(most * POINTS / (POINTS + TRAINING)), round(most * TRAINING / (POINTS + TRAINING))


def num_answers(task: Task, source: Source, network: Model, device: str, seconds: float | None) -> int:
    """How many answers take as long as the pictures of a page, for a training that is to end in so many seconds: features are
    one each, and a place in the plane is another."""
    if task.own_size:
        return 0
    (num_points, num_training), splits = num_looked_at(network, device, seconds or math.inf), source.splits
    judged = splits["test" if "test" in splits else "val"]
    return 2 * min(num_points, len(judged)) + min(num_training, len(splits["train"]))


def features_of(
    network: Model, source: Source, judged: Judged, which: Sequence[int], num_training: int, workers: int | None
) -> Known:
    """The features of images by their places among the outcomes, and of training pictures that are evenly spread."""
    outcomes = judged.meter.outcomes()
    assert outcomes is not None
    session, at = features.feature_session(network), np.array(which)
    part = judged.part.subset(outcomes.positions[at])
    own = features.of_split(session, part, bad=BadImages(len(part)), workers=workers or 0)
    mine = {int(at[place]): vector for place, vector in zip(own.positions, own.values, strict=True)}
    if "train" not in source.splits:
        return Known(mine, np.zeros((0, own.values.shape[1])), np.zeros(0, np.int64))
    train = source.splits["train"]
    some = evenly_spaced(np.arange(len(train)), num_training)
    few = train.subset(some)
    theirs = features.of_split(session, few, bad=BadImages(len(few)), workers=workers or 0)
    return Known(mine, theirs.values, some[theirs.positions])


def near_of(worst: Sequence[int], known: Known, source: Source, task: Task) -> dict[int, list[dict[str, Any]]]:
    """The nearest training pictures of mistakes, with what is said to be true of them."""
    asked = [i for i in worst if i in known.own]
    if not asked or not len(known.training):
        return {}
    found, train = nearest(np.array([known.own[i] for i in asked]), known.training, NEAR), source.splits["train"]
    positions = known.positions[found.positions]
    every, thumbs = np.unique(positions), thumbnails(train.images, positions.ravel())
    words = dict(zip(every.tolist(), task.captions(source, train.subset(every)), strict=True))
    return {
        i: [
            {"picture": thumbs[p], "words": words[p], "name": train.images.name(p), "distance": float(distance)}
            for p, distance in zip(row.tolist(), distances, strict=True)
            if p in thumbs
        ]
        for i, row, distances in zip(asked, positions, found.distances, strict=True)
    }


def typical_of(outcomes: Outcomes, points: Sequence[int], known: Known) -> list[dict[str, Any]]:
    """Of each class the pictures that are right and nearest to the mean of its features."""
    rows = []
    for code in np.unique(outcomes.codes[points]).tolist()[:TYPICAL_CLASSES] if points else []:
        own = [i for i in points if outcomes.codes[i] == code and not outcomes.wrong[i]]
        if own:
            vectors = np.array([known.own[i] for i in own])
            closest = nearest(vectors.mean(0, keepdims=True), vectors, TYPICAL).positions[0]
            rows.append({"name": outcomes.names[code], "at": [own[place] for place in closest.tolist()]})
    return rows


def maps_of(network: Model, part: Split, outcomes: Outcomes, which: Iterable[int]) -> tuple[dict[int, str], str]:
    """Maps of why the answers are what they are, by the positions of the pictures; and why there are none."""
    from resnets.verbs.explain_maps import quick_maps

    positions = list(dict.fromkeys(int(outcomes.positions[i]) for i in which))[:MAPPED]
    if not positions or network.header.spec.dims > 2:
        return {}, ""
    some = part.subset(np.array(positions))
    samples = network.task.samples(some, network.preprocess, network.spec.num_classes)
    found: dict[int, str] = {}
    try:
        for batch in Loader(samples=samples, batch_size=len(positions), bad=BadImages(len(some))).epoch(0):
            pixels = batch.images.numpy()
            for place, each in enumerate(quick_maps(network, pixels) if len(pixels) else []):
                if each is not None:
                    found[positions[int(batch.indices[place])]] = mapped(pixels[place], each.values)
    except InputError as error:
        return {}, f"No maps of why: {error}"
    return found, ""


def plane_of(outcomes: Outcomes, points: Sequence[int], places: np.ndarray, how: str, images: Any) -> dict[str, Any]:
    """Points with their pictures in one sheet."""
    if not points:
        return {}
    positions = [int(outcomes.positions[i]) for i in points]
    whole = sheet(images, positions, POINT_SIDE if is_small(images, positions[0]) else POINT_SIDE * 3 // 2)
    colours, told = hex_colours(len(outcomes.names)), []
    for number, (i, (x, y)) in enumerate(zip(points, places.tolist(), strict=True)):
        row, column = divmod(number, whole.across)
        wrong = bool(outcomes.wrong[i])
        words = outcomes.truth[i] + (f", taken for {outcomes.answers[i]}" if wrong else "")
        place = {"x": round(2 + 96 * x, 2), "y": round(2 + 96 * y, 2), "column": column, "row": row}
        told.append({"code": int(outcomes.codes[i]), "wrong": wrong, "words": words, **place})
    used = np.unique(outcomes.codes[points]).tolist()
    return {
        "how": how,
        "sheet": whole._asdict(),
        "classes": [{"code": code, "name": outcomes.names[code], "colour": colours[code]} for code in used],
        "num": len(outcomes.positions),
        "points": told,
    }


def is_small(images: Any, position: int) -> bool:
    """Whether a picture is no larger than its place in the sheet."""
    try:
        return max(small(images[position], 2 * POINT_SIDE).size) <= POINT_SIDE
    except InputError:
        return False
