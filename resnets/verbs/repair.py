"""What should be mended in labelled data: labels that are likely wrong, pictures that are there twice, and pictures unlike all
others. `resnets data repair` is this.

features of a model -> probabilities out of fold, by logistic regression -> confident learning -> issues.csv and a page to go
through, which writes a list of corrections -> `resnets train --corrections`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from resnets import tasks
from resnets.data import group_splits, groups
from resnets.data.check.pictures import Picture, classes, look_at, near_groups
from resnets.data.check.tags import label_sets
from resnets.data.corrections import DROP, RELABEL, corrected, places, read
from resnets.data.machine import default_workers
from resnets.data.preprocess import FREE
from resnets.data.readers.memory import name_of
from resnets.data.sources import open_source
from resnets.data.types import KINDS, Source, Split, Values
from resnets.data.workers import BadImages
from resnets.errors import InputError
from resnets.measures.mislabelled import Doubts, doubts, doubts_of_each
from resnets.measures.neighbours import Nearest, nearest
from resnets.models.header import Header
from resnets.models.model import Model
from resnets.ship.sessions import Session, read_header
from resnets.verbs import features, repair_page
from resnets.verbs.issues import DUPLICATE, LABEL, OUTLIER, Issue, Pool, Repair, write
from resnets.verbs.probe import PENALTIES, fitted

DEFAULT_WEIGHTS = "resnet56_cifar10"  # a bundled model
NUM_FOLDS = 5
MOST_FITTED = 2_000  # pictures by which the penalty is chosen
NUM_NEAREST = 5  # the distance to this one is how far a picture is from the others
MOST_COMPARED = 10_000  # pictures among which the nearest are looked for
FAR = 3.0  # quartile ranges above the upper quartile: Tukey's "far out"
FIRST_SPLITS = ("test", "val", "train")  # of the same picture in several, the one in the first of these stays


def repair(
    data: Any,
    *,
    weights: str | Path | Model | None = None,
    task: str | None = None,
    out: str | Path | None = None,
    split: str | None = None,
    group_by: str | None = None,
    corrections: str | Path | None = None,
    most: int = 100,
    seed: int = 0,
    workers: int | None = None,
    max_bad: int | None = None,
    device: str = "auto",
    runtime: str = "auto",
    data_dir: str | Path | None = None,
    say: Callable[[str], None] = lambda text: None,
    progress: Callable[[int, int], None] | None = None,
) -> Repair:
    """Find what should be mended in pictures with classes, or with several labels each.

    Args:
        data: as `train` takes it; without boxes or masks.
        weights: the model whose features are looked at, best one that has not seen the labels; None: a small bundled one.
        task: where the data has labels for several.
        out: a folder for issues.csv and repair.html; None: nothing is written.
        split: only this one; None: all, together.
        group_by: what is kept together in folds, as in training.
        corrections: a list of corrections made already: they are applied, and their pictures not listed again.
        most: pictures of each kind on the page; all are in issues.csv.
        seed: of the folds.

    Raises:
        InputError: for data without classes or labels of whole pictures, and with fewer than two pictures of two classes.
    """
    model = weights if isinstance(weights, Model) else str(weights or DEFAULT_WEIGHTS)
    header = model.header if isinstance(model, Model) else read_header(model)
    session = of_pictures(features.feature_session(model, device=device, runtime=runtime))
    kind = tasks.get(task or tasks.DEFAULT).kind
    source = open_source(data, kind, data_dir=data_dir, in_chans=session.header.spec.in_chans)
    whole = corrected(groups.grouped(source, group_by), corrections)
    source = chosen(whole, split)
    check_kind(source)
    bad = BadImages.allowing(max_bad, *source.splits.values())
    pool = pooled(source, session, bad=bad, workers=default_workers() if workers is None else workers, say=say)
    say("duplicates")
    alike = copies(source, pool, progress)
    say("probabilities out of fold")
    penalty, probabilities = out_of_fold(pool, alike, seed)
    single = pool.targets.ndim == 1
    found = doubts(probabilities, pool.targets) if single else doubts_of_each(probabilities, pool.targets > 0.5)
    answers = probabilities.argmax(1) == pool.targets if single else ((probabilities > 0.5) == (pool.targets > 0.5)).mean(1)
    say("outliers")
    distance = far(pool, seed)
    result = Repair(
        pool=pool,
        issues=listed(pool, found, alike, distance, set() if corrections is None else looked_at(whole, pool, corrections)),
        probabilities=probabilities,
        doubts=found,
        distance=distance,
        penalty=penalty,
        accuracy=float(answers.mean()),
        bad=bad.reasons,
        model=header.spec.name if isinstance(model, Model) else model,
        notes=seen_by(header, source),
    )
    if out is not None:
        write(result, Path(out) / "issues.csv")
        before = [] if corrections is None else list(read(Path(corrections)))
        repair_page.write(result, Path(out) / "repair.html", data=str(name_of(data)), most=most, before=before)
    return result


def of_pictures(session: Session) -> Session:
    """The session, whose inputs are those of whole pictures, whatever the model is for."""
    header = session.header
    if header.spec.dims != 2:
        raise InputError(f"the model takes inputs with {header.spec.dims} spatial axes, and pictures have 2; give another one")
    preprocess = header.preprocess
    if preprocess.resize in FREE:
        preprocess = dataclasses.replace(preprocess, resize="crop", size=(min(preprocess.size),) * 2)
    return dataclasses.replace(session, header=dataclasses.replace(header, task=tasks.DEFAULT, preprocess=preprocess))


def chosen(source: Source, split: str | None) -> Source:
    if split is None:
        return source
    if split not in source.splits:
        raise InputError(f"{source.name} has no {split} split; it has: {', '.join(source.splits)}")
    return dataclasses.replace(source, splits={split: source.splits[split]})


def check_kind(source: Source) -> None:
    """Raise `InputError` where there are no pictures, or these have no label of the whole picture."""
    if source.dims != 2:
        raise InputError(f"{source.name}: {KINDS[source.kind].images}, and only pictures are searched for errors; give these")
    for part in source.splits.values():
        values = part.targets.values if isinstance(part.targets, Values) else None
        if values is None or not (values.ndim == 2 or values.dtype.kind in "iu"):
            raise InputError(
                f"{source.name}: no class and no labels of whole pictures; boxes and masks are not searched for errors, so far "
                "(--task tag takes boxes as the labels of their picture)"
            )


def seen_by(header: Header, source: Source) -> tuple[str, ...]:
    """A warning where the model may know the labels by heart."""
    if header.provenance.get("data", {}).get("name") != source.name:
        return ()
    return (f"the model was trained on {source.name}, and may know its wrong labels by heart; another one finds more of them",)


# --- pictures and their features ---


def pooled(source: Source, session: Any, *, bad: BadImages, workers: int, say: Callable[[str], None]) -> Pool:
    """The features of all readable pictures."""
    parts, rows, given, targets, own = [], [], [], [], []
    for number, (name, split) in enumerate(source.splits.items()):
        told = lambda done, num, name=name: say(f"features {done:,} of {num:,} {name} pictures")  # noqa: E731
        without = Split(split.images, np.zeros(len(split), np.int64))  # whatever the model is for
        found = features.of_split(session, without, bad=bad, workers=workers, say=told)
        labels = label_words(source, name)
        parts.append(found.values)
        rows.append(np.stack([np.full(len(found.positions), number), found.positions], axis=1))
        given += [labels[position] for position in found.positions.tolist()]
        targets.append(np.asarray(split.targets.values)[found.positions])
        own.append(None if split.groups is None else split.groups[found.positions])
    of_groups = [part for part in own if part is not None]
    return Pool(
        source,
        np.concatenate(rows),
        given,
        np.concatenate(parts),
        np.concatenate(targets),
        np.concatenate(of_groups) if len(of_groups) == len(own) else None,
    )


def label_words(source: Source, split: str) -> list[str]:
    """The label of each picture in words; of several labels with bars between them, "" where there is none."""
    values = source.splits[split].targets.values
    if values.ndim == 1:
        return [source.labels[code] for code in values.tolist()]
    return [words(source, row > 0.5) for row in values]


def words(source: Source, there: np.ndarray) -> str:
    return "|".join(label for label, one in zip(source.labels, there.tolist(), strict=True) if one)


def copies(source: Source, pool: Pool, progress: Callable[[int, int], None] | None) -> np.ndarray:
    """(N,) int64: a number that pictures share which are the same or look alike, as `data check` compares them."""
    facts = look_at(source, progress=progress, labels_of=label_sets if pool.targets.ndim == 2 else classes)
    starts = np.cumsum([0, *(len(split) for split in source.splits.values())])
    seen: list[Picture] = [facts.pictures[starts[split] + position] for split, position in pool.places.tolist()]
    first: dict[bytes, int] = {}
    number = np.array([first.setdefault(picture.digest, at) for at, picture in enumerate(seen)], np.int64)
    distinct = [at for at in first.values() if seen[at].look]
    hashes = np.frombuffer(b"".join(seen[at].look for at in distinct), dtype=">u8")
    joined = np.arange(len(seen))
    for group in near_groups(hashes) if len(hashes) else []:
        joined[[distinct[at] for at in group]] = distinct[group[0]]
    return joined[number]


# --- probabilities ---


def out_of_fold(pool: Pool, alike: np.ndarray, seed: int) -> tuple[float, np.ndarray]:
    """The penalty that was chosen, and (N, num_classes) probabilities of each picture by a logistic regression on the others'
    features; copies of it are not among these, nor pictures of its group."""
    fold = dealt(pool, alike, seed)
    num_classes = len(pool.source.labels)
    codes = pool.targets if pool.targets.ndim == 1 else np.zeros(len(pool), np.int64)
    if pool.targets.ndim == 1 and (np.bincount(codes) > 1).sum() < 2:
        raise InputError(f"{pool.source.name}: fewer than two classes with two readable pictures; nothing can be compared")
    penalty = best_penalty(pool, fold, num_classes, seed)
    found = np.zeros((len(pool), num_classes))
    for number in np.unique(fold):
        out = fold == number
        found[out] = probabilities_of(pool, ~out, out, penalty, num_classes)
    return penalty, found


def dealt(pool: Pool, alike: np.ndarray, seed: int) -> np.ndarray:
    """(N,) the fold of each picture: classes as frequent in each as they can be, copies and groups together."""
    codes = Values(pool.targets).codes()
    num = min(NUM_FOLDS, len(np.unique(alike)))
    if pool.groups is not None:
        _, own = np.unique(pool.groups, return_inverse=True)
        both = together(own, alike)
        return group_splits.dealt(codes, both, min(num, len(np.unique(both))), seed)
    first, back = np.unique(alike, return_index=True, return_inverse=True)[1:]
    order = np.random.RandomState(seed).permutation(len(first))
    order = order[np.argsort(codes[first][order], kind="stable")]
    fold = np.zeros(len(first), np.int64)
    fold[order] = np.arange(len(order)) % num
    return fold[back]


def together(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(N,) numbers of the smallest groups that hold each group of both."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    _, one = np.unique(one, return_inverse=True)
    _, other = np.unique(other, return_inverse=True)
    num = one.max() + other.max() + 2
    pairs = coo_array((np.ones(len(one)), (one, one.max() + 1 + other)), shape=(num, num))
    found: np.ndarray = connected_components(pairs, directed=False)[1][one]
    return found


def best_penalty(pool: Pool, fold: np.ndarray, num_classes: int, seed: int) -> float:
    """Of `PENALTIES` the one whose probabilities of the first fold are best by the labels that are given (log loss); by a draw
    of `MOST_FITTED` pictures."""
    drawn = np.zeros(len(pool), bool)
    drawn[np.random.RandomState(seed).permutation(len(pool))[:MOST_FITTED]] = True
    fitting, judging = drawn & (fold != 0), drawn & (fold == 0)
    if not judging.any() or len(np.unique(Values(pool.targets[fitting]).codes())) < 2:
        return PENALTIES[1]
    losses = {}
    for penalty in PENALTIES:
        found = np.clip(probabilities_of(pool, fitting, judging, penalty, num_classes), 1e-6, 1 - 1e-6)
        given = pool.targets[judging]
        if given.ndim == 1:
            losses[penalty] = -np.log(found[np.arange(len(given)), given]).mean()
        else:
            losses[penalty] = -np.where(given > 0.5, np.log(found), np.log(1 - found)).mean()
        if losses[penalty] > min(losses.values()):  # it becomes worse, and slower
            break
    return min(losses, key=lambda penalty: losses[penalty])


def probabilities_of(pool: Pool, fit: np.ndarray, of: np.ndarray, penalty: float, num_classes: int) -> np.ndarray:
    """(M, num_classes) of the pictures `of` (N,) bool, by the pictures `fit`."""
    from scipy.special import expit, softmax

    head = fitted(features.Features(pool.values[fit], pool.targets[fit], np.flatnonzero(fit)), penalty, num_classes)
    logits = head.logits(pool.values[of])
    found: np.ndarray = softmax(logits, axis=1) if pool.targets.ndim == 1 else expit(logits)
    return found


# --- outliers, and the list ---


def far(pool: Pool, seed: int) -> np.ndarray:
    """(N,) the cosine distance of each picture to the fifth nearest of the others (Sun et al. 2022, arXiv 2204.06507), of which
    at most `MOST_COMPARED` are drawn."""
    among = np.sort(np.random.RandomState(seed).permutation(len(pool))[:MOST_COMPARED])
    own = np.full(len(pool), -1)
    own[among] = np.arange(len(among))
    found: Nearest = nearest(pool.values, pool.values[among], NUM_NEAREST, without=own)
    return found.distances[:, -1] if found.distances.shape[1] else np.zeros(len(pool), np.float32)


def looked_at(whole: Source, pool: Pool, corrections: str | Path) -> set[int]:
    """The positions in the pool of pictures that a list of corrections names."""
    kept = [line for line in read(Path(corrections)) if line.action != DROP]  # the others are gone
    known = {pool.at(number): number for number in range(len(pool))}
    return {known[place] for place in places(whole, kept) if place in known}


def listed(pool: Pool, found: Doubts, alike: np.ndarray, distance: np.ndarray, done: set[int]) -> list[Issue]:
    """What is to be looked at, each picture once."""
    every = [*wrong_labels(pool, found), *twice(pool, alike), *outliers(distance)]
    issues: dict[int, Issue] = {}
    for issue in every:
        if issue.at not in done:
            issues.setdefault(issue.at, issue)
    return list(issues.values())


def wrong_labels(pool: Pool, found: Doubts) -> list[Issue]:
    """Likely label errors, the surest first."""
    if found.likely.ndim == 1:
        order = [at for at in np.argsort(found.confidence, kind="stable").tolist() if found.likely[at]]
        return [Issue(at, LABEL, RELABEL, pool.source.labels[found.suggested[at]]) for at in order]
    least = np.where(found.likely, found.confidence, np.inf).min(1)
    order = [at for at in np.argsort(least, kind="stable").tolist() if np.isfinite(least[at])]
    there = (pool.targets > 0.5) ^ found.likely
    return [Issue(at, LABEL, RELABEL, words(pool.source, there[at])) for at in order]


def twice(pool: Pool, alike: np.ndarray) -> list[Issue]:
    """Copies. Where the labels differ, each with the label of another one; where they do not, all but the first, to leave
    out."""
    names = list(pool.source.splits)
    rank = np.array([FIRST_SPLITS.index(names[split]) for split in pool.places[:, 0].tolist()])
    order = np.lexsort((np.arange(len(pool)), rank, alike))
    disputed, same = [], []
    for members in np.split(order, np.flatnonzero(np.diff(alike[order])) + 1):
        first, *rest = members.tolist()
        if len({pool.given[at] for at in members.tolist()}) == 1:
            same += [Issue(at, DUPLICATE, DROP, beside=first) for at in rest]
            continue
        for at in members.tolist():
            other = next(one for one in members.tolist() if pool.given[one] != pool.given[at])
            disputed.append(Issue(at, DUPLICATE, RELABEL, pool.given[other], other))
    return disputed + same


def outliers(distance: np.ndarray) -> list[Issue]:
    """Pictures far from all others, the farthest first."""
    low, high = np.quantile(distance, (0.25, 0.75))
    order = np.argsort(-distance, kind="stable")
    return [Issue(at, OUTLIER, DROP) for at in order.tolist() if distance[at] > high + FAR * (high - low)]
