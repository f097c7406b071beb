"""An exported file beside the model: how far its answers agree on real images, and of 8 bits what they cost and save.

The check does what users do: it predicts classes from image files, with the runtime that will run the exported file.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch

from resnets import tasks
from resnets.data.types import Batch, Values
from resnets.errors import InputError
from resnets.measures.intervals import bootstrap
from resnets.measures.neighbours import distance
from resnets.measures.paired import paired_bootstrap
from resnets.models.header import Header
from resnets.ship.sessions import Session, answering, gives_features, open_session
from resnets.verbs.export_data import CheckData, fitted
from resnets.verbs.features import feature_session, featured
from resnets.verbs.predict import find_files, stream

LEAST_EQUAL = 0.999  # least fraction of equal predictions of a float export
MOST_LOST = 0.005  # most accuracy that 8 bits may cost; without labels, the largest fraction of predictions that may change
SLOWER = 1.05  # ratio of times from which a file counts as slower: timings on shared machines are no more exact than that
BATCHES = (1, 32)  # batch sizes that are timed
WARM, ROUNDS = 2, 15  # calls of each
NUM_ALONE = 8  # images whose outputs are compared where each has a size of its own
Went = Callable[[int], None]
Answers = dict[int, np.ndarray]  # by the number of the image


class Measured(TypedDict, total=False):
    """Of the model before export or of the file after it: the task's first score (a fraction; None without labels), and the
    median seconds of a call by batch size (8 bits only)."""

    score: float | None
    top1: float | None  # the same, where that is what the score is called
    seconds: dict[int, float]


class Comparison(TypedDict):
    """An exported file compared with its model."""

    int8: bool
    pictures: str  # the images, in words
    num_images: int
    score: str  # what the score is called: "accuracy"
    equal: float  # how far the predictions agree (`Task.same`), the mean over the images
    largest_difference: float  # between outputs, in absolute value
    lost: Lost | None  # 8 bits only
    before: Measured
    after: Measured


class Lost(TypedDict):
    """What 8 bits cost: the score that is lost or, without labels, the fraction of answers that change."""

    value: float
    interval: list[float]  # of 95 %, over other images of the same kind


class CheckResult(Comparison):
    """The comparison, and in words the reasons to refuse the file, and what so few images leave open; none: it may be used."""

    faults: list[str]
    doubts: list[str]


def num_checked(images: CheckData, *, int8: bool) -> int:
    """How many images go through a network in `check`, of those that are counted."""
    return 2 * len(images.files) + 2 * (WARM + ROUNDS) * sum(BATCHES) * int8


def check(
    model: Path,
    exact: Path,
    file: Path,
    images: CheckData,
    *,
    int8: bool,
    stage: str | None = None,
    went: Went = lambda num: None,
) -> CheckResult:
    """Compare an exported file with the model: predictions, outputs and, for 8 bits, speed against the float export `exact`.

    Of a file of features, by what it says, the features of `stage` are compared, by their cosine. `went` is called with the
    number of images that have gone through a network since the last call.

    Raises:
        InputError: if no image can be read.
    """
    opened = open_session(file, own=True)
    is_features = is_pooled(opened.header)
    reference = feature_session(model, device="cpu", stage=stage) if is_features else open_session(model, device="cpu")
    before, after = answers(reference, images.files, went), answers(opened, images.files, went)
    task = tasks.get(reference.header.task)
    same = cosine if is_features else task.same
    targets = None if is_features or task.own_size else images.targets  # answers for places are compared with each other alone
    read = np.array([number for number in before if number in after])
    if not len(read):
        raise InputError("no image to check on can be read; `resnets data check` says why")
    seconds = speeds(exact, file, [images.files[number] for number in read], went) if int8 else ({}, {})

    first, second = (meter(reference.header, found, targets, read) for found in (before, after))

    def measured(filled: Any, seconds: dict[int, float]) -> Measured:
        value = None if filled is None else float(filled.result(len(read))[task.scores[0].key])
        result: Measured = {"score": value, "seconds": seconds}
        return result | {"top1": value} if task.scores[0].key == "top1" else result

    result: Comparison = {
        "int8": int8,
        "pictures": images.name,
        "num_images": len(read),
        "score": task.scores[0].words,
        "equal": float(np.mean([same(before[number], after[number]) for number in read])),
        "largest_difference": largest_difference(reference, opened, images.files),
        "lost": lost(first, second, before, after, read, same) if int8 else None,
        "before": measured(first, seconds[0]),
        "after": measured(second, seconds[1]),
    }
    return {**result, "faults": faults(result), "doubts": doubts(result)}


def lost(first: Any, second: Any, before: Answers, after: Answers, read: np.ndarray, same: Any) -> Lost:
    """What 8 bits cost, by the meters of the answers before and after; without labels by the answers that differ.

    Images are drawn again, the same for both."""
    if first is None:
        changed = np.array([1.0 - same(before[number], after[number]) for number in read])
        return {"value": float(changed.mean()), "interval": bootstrap(lambda at: float(changed[at].mean()), len(read))}
    found = paired_bootstrap(first.sample().figure, second.sample().figure, len(read))
    return {"value": found.value, "interval": found.interval}


def faults(result: Comparison) -> list[str]:
    """The reasons to refuse a file, in words; none: it may be used."""
    before, after = result["before"], result["after"]
    if result["lost"] is None:
        few = f"{result['equal']:.2%} of the predictions are equal, and at least {LEAST_EQUAL:.1%} should be"
        return [few] * (result["equal"] < LEAST_EQUAL)
    much = f"{cost(result, result['lost'])}, more than {100 * MOST_LOST:g}"
    found = [much] * (least(result["lost"]) > MOST_LOST)
    slower = min(after["seconds"][size] / before["seconds"][size] for size in BATCHES)
    if slower > SLOWER:
        found.append(f"8 bits take at least {slower:.2f} times as long as 32 on this machine; use float32 here")
    return found


def doubts(result: Comparison) -> list[str]:
    """What may be too much, where the images are too few to say so."""
    if result["lost"] is None or not least(result["lost"]) <= MOST_LOST < result["lost"]["value"]:
        return []
    unknown = f"{result['num_images']} images cannot tell whether it is more than {100 * MOST_LOST:g}"
    return [f"{cost(result, result['lost'])}: {unknown}; give more by --int8 and --num-check"]


def least(lost: Lost) -> float:
    """What is lost at least: the lower end of the interval or, where there is none, the value."""
    return lost["value"] if math.isnan(lost["interval"][0]) else lost["interval"][0]


def cost(result: Comparison, lost: Lost) -> str:
    """What is lost, with its interval, in words."""
    value, low, high = (100 * share for share in (lost["value"], *lost["interval"]))
    interval = f"{value:.2f} (95 % interval {low:.2f} to {high:.2f})"
    if result["before"]["score"] is None:
        return f"there are no labels to measure {result['score']} with, and {interval} % of the predictions change"
    return f"{result['score']} falls by {interval} percentage points"


def answers(session: Session, files: Sequence[Path], went: Went) -> dict[int, np.ndarray]:
    """The answer of the task for each file that can be read, or its features, by its number."""
    answer = featured(session) if is_pooled(session.header) else None
    answered = {}
    for number, found in enumerate(stream(session, find_files(session.header, files), answer=answer)):
        if found.answer is not None:
            answered[number] = found.answer
        went(1)
    return answered


def is_pooled(header: Header) -> bool:
    """Whether a file gives the features of a trunk, which no task answers with; an embedding is an answer."""
    return gives_features(header) and not tasks.get(header.task).embeds


def cosine(before: np.ndarray, after: np.ndarray) -> float:
    """Of two vectors, from 0 to 1: what is below counts as 0."""
    return max(0.0, 1.0 - float(distance(before.astype(np.float64), after.astype(np.float64))))


def meter(header: Header, found: Answers, targets: Values | None, read: np.ndarray) -> Any:
    """The task's meter of the answers to the images `read`, by their numbers; None without targets."""
    if targets is None:
        return None
    task, chosen = answering(header), torch.from_numpy(targets.values[read])
    filled = task.meter(header.labels, header.head)
    filled.add(np.stack([found[number] for number in read]), Batch(torch.empty(len(read), 0), chosen, torch.from_numpy(read)))
    return filled


def pixels(session: Session, files: Sequence[Path]) -> np.ndarray:
    """(N, C, *size), as runtimes take them: readable files at the size of the network's input."""
    return np.stack([fitted(session.header.preprocess, file) for file in files])


def largest_difference(reference: Session, opened: Session, files: Sequence[Path], sizes: Sequence[int] = (1, 7, 32)) -> float:
    """The largest absolute difference between their outputs, over batches of these sizes of the first readable files; where
    inputs have a size each, over some of these, one by one."""
    alone = tasks.get(reference.header.task).own_size and not is_pooled(opened.header)
    good, most = [], NUM_ALONE if alone else max(sizes)
    for file in files:
        try:
            good.append(pixels(reference, [file]))
        except InputError:
            continue
        if len(good) == most:
            break
    batches = good if alone else [np.concatenate(good)[:size] for size in sizes]
    return max(difference(reference.run(batch), opened.run(batch)) for batch in batches)


def difference(before: Any, after: Any) -> float:
    """The largest absolute difference of two outputs, arrays in lists and dicts; infinite where they are of other shapes."""
    if isinstance(after, list | dict):
        names = after.keys() if isinstance(after, dict) else range(len(after))
        return max(difference(before[name], after[name]) for name in names)
    if before.shape != after.shape:
        return math.inf
    return float(np.abs(before - after).max(initial=0.0))


def speeds(exact: Path, file: Path, files: Sequence[Path], went: Went) -> tuple[dict[int, float], dict[int, float]]:
    """The seconds of a call of the float export and of the 8-bit one, by batch size. `files`: readable images."""
    first, second = open_session(exact, streams=1), open_session(file, streams=1)
    batch = pixels(second, files[: max(BATCHES)])
    times = {size: time_calls(first, second, np.resize(batch, (size, *batch.shape[1:])), went) for size in BATCHES}
    return {size: pair[0] for size, pair in times.items()}, {size: pair[1] for size, pair in times.items()}


def time_calls(first: Session, second: Session, batch: np.ndarray, went: Went = lambda num: None) -> tuple[float, float]:
    """Seconds per call of each: the median of `ROUNDS` calls in alternation, after `WARM` ones that do not count."""
    taken: tuple[list[float], list[float]] = ([], [])
    for turn in range(WARM + ROUNDS):
        for session, times in zip((first, second), taken, strict=True):
            began = time.perf_counter()
            session.run(batch)
            if turn >= WARM:
                times.append(time.perf_counter() - began)
            went(len(batch))
    return statistics.median(taken[0]), statistics.median(taken[1])
