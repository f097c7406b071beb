"""Verification: do two pictures show the same person, by the distance of their vectors? Rates over thresholds, LFW's ten folds,
intervals by people, and a threshold with what is known of it. A pair of the same person is called genuine, one of two people an
impostor pair; the false accept rate (FAR) is the share of impostor pairs at a distance up to the threshold, the true accept
rate (TAR) the same of genuine ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from resnets.measures.intervals import central, clopper_pearson_upper
from resnets.measures.neighbours import distance as distance_of

MOST_PAIRS = 2_000_000  # that are looked at; of more as many are drawn
MOST_REDRAWN, NUM_DRAWS = 200_000, 200  # pairs of a bootstrap, and its draws
CHUNK = 100_000  # pairs whose vectors are in memory at once
FARS = (1e-1, 1e-2, 1e-3, 1e-4)
NUM_FOLDS = 10


def matrix(first: np.ndarray, second: np.ndarray, kind: str) -> np.ndarray:
    """(N, M) float64: the distances of vectors (N, D) to vectors (M, D)."""
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if kind == "euclidean":
        squares = (first**2).sum(1)[:, None] + (second**2).sum(1) - 2 * first @ second.T
        return np.sqrt(np.maximum(squares, 0))
    unit = [each / np.maximum(np.linalg.norm(each, axis=1, keepdims=True), 1e-12) for each in (first, second)]
    return 1 - unit[0] @ unit[1].T


class Pairs(NamedTuple):
    """Pairs of pictures.

    Args:
        first, second: (M,) int64, positions.
        same: (M,) bool, whether they show the same person.
        distance: (M,) float64.
        num_genuine, num_impostor: how many there are in all, of which these may be drawn.
    """

    first: np.ndarray
    second: np.ndarray
    same: np.ndarray
    distance: np.ndarray
    num_genuine: int
    num_impostor: int

    def at(self, chosen: np.ndarray) -> Pairs:
        """Those that are `chosen`: (M,) bool, or positions."""
        parts = (part[chosen] for part in self[:4])
        first, second, same, distance = parts
        return Pairs(first, second, same, distance, int(same.sum()), int((~same).sum()))

    @property
    def whole(self) -> bool:
        return len(self.same) == self.num_genuine + self.num_impostor


def pairs(vectors: np.ndarray, people: np.ndarray, kind: str, *, most: int = MOST_PAIRS, seed: int = 0) -> Pairs:
    """All pairs of pictures; of more than `most` half as many genuine ones, and of impostor pairs as many again, drawn.

    Args:
        vectors: (N, D).
        people: (N,) whom each picture shows.
        kind: of `neighbours.METRICS`.
    """
    codes, vectors = np.unique(people, return_inverse=True)[1], np.asarray(vectors, np.float64)
    num = len(codes)
    sizes = np.bincount(codes) if num else np.zeros(0, int)
    num_genuine = int((sizes * (sizes - 1) // 2).sum())
    num_impostor = num * (num - 1) // 2 - num_genuine
    if num_genuine + num_impostor <= most:
        first, second = np.triu_indices(num, 1)
    else:
        first, second = _drawn(codes, sizes, min(num_genuine, most // 2), most - min(num_genuine, most // 2), seed)
    found = np.empty(len(first))
    for start in range(0, len(first), CHUNK):
        part = slice(start, start + CHUNK)
        found[part] = distance_of(vectors[first[part]], vectors[second[part]], kind)
    return Pairs(first, second, codes[first] == codes[second], found, num_genuine, num_impostor)


def _drawn(codes: np.ndarray, sizes: np.ndarray, num_same: int, num_other: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of so many genuine pairs and so many impostor pairs, drawn with replacement."""
    random = np.random.default_rng(seed)
    order, starts = np.argsort(codes, kind="stable"), np.cumsum(sizes) - sizes
    weights = sizes * (sizes - 1) / max(1, (sizes * (sizes - 1)).sum())
    person = random.choice(len(sizes), num_same, p=weights) if num_same else np.zeros(0, int)
    one = (random.random(num_same) * sizes[person]).astype(int)
    other = (one + 1 + (random.random(num_same) * (sizes[person] - 1)).astype(int)) % np.maximum(sizes[person], 1)
    first, second = [order[starts[person] + one]], [order[starts[person] + other]]
    left = num_other
    while left > 0:
        a, b = random.integers(len(codes), size=(2, left))
        apart = codes[a] != codes[b]
        first, second, left = [*first, a[apart]], [*second, b[apart]], left - int(apart.sum())
    return np.concatenate(first), np.concatenate(second)


# --- rates ---


class Rates(NamedTuple):
    """What each threshold does; a pair is accepted at a distance up to it. The first accepts nothing.

    Args:
        threshold: (K,) float64, rising: -inf, then the distances there are.
        far, tar: (K,) float64, 0 to 1; NaN where there are no such pairs.
    """

    threshold: np.ndarray
    far: np.ndarray
    tar: np.ndarray

    @property
    def eer(self) -> float:
        """The equal error rate: where FAR and 1 - TAR are the same, between two thresholds by a line."""
        gap = self.far - (1 - self.tar)
        if np.isnan(gap).any():
            return math.nan
        after = int(np.argmax(gap >= 0))
        if gap[after] == 0 or after == 0:
            return float(self.far[after])
        share = -gap[after - 1] / (gap[after] - gap[after - 1])
        return float(self.far[after - 1] + share * (self.far[after] - self.far[after - 1]))

    @property
    def auc(self) -> float:
        """The area under the ROC curve: the share of genuine pairs that are nearer than an impostor pair; ties count half."""
        return float(np.diff(self.far) @ (self.tar[1:] + self.tar[:-1]) / 2)

    def tar_at(self, far: float) -> float:
        """TAR at the largest threshold whose FAR is `far` at most."""
        return float(self.tar[np.searchsorted(self.far, far, side="right") - 1])


def rates(distance: np.ndarray, same: np.ndarray, weights: np.ndarray | None = None) -> Rates:
    """Of pairs (M,), each of which may count several times, `weights` (M,)."""
    order = np.argsort(distance, kind="stable")
    return _rates(distance[order], same[order], np.ones(len(same)) if weights is None else weights[order])


def _rates(distance: np.ndarray, same: np.ndarray, weights: np.ndarray) -> Rates:
    """Of pairs in the order of their distances."""
    last = np.flatnonzero(np.append(np.diff(distance) > 0, True)) if len(distance) else np.zeros(0, np.int64)
    true, every = np.cumsum(weights * same)[last], np.cumsum(weights)[last]
    counts = [np.append(0.0, true), np.append(0.0, every - true)]
    tar, far = (count / count[-1] if count[-1] > 0 else np.full_like(count, math.nan) for count in counts)
    return Rates(np.append(-np.inf, distance[last]), far, tar)


def measurable(far: float, num_impostor: int) -> bool:
    """Whether so many impostor pairs can tell a false accept rate: one of them would be no more than that."""
    return far * num_impostor >= 1 - 1e-9


def far_key(far: float) -> str:
    """How a rate is called in results: "tar_at_1e-2"."""
    return f"tar_at_1e{round(math.log10(far))}"


# --- LFW's protocol ---


class Folds(NamedTuple):
    """Accuracy over folds: its mean, its standard error, and the threshold of each fold, chosen on the others."""

    accuracy: float
    standard_error: float
    thresholds: list[float]


def fold_accuracy(found: Pairs, people: np.ndarray, *, num_folds: int = NUM_FOLDS, seed: int = 0) -> Folds | None:
    """Verification accuracy as LFW's protocol has it (Huang et al. 2007): people are dealt into ten folds, pairs are within a
    fold, and each fold is judged by the threshold that is best on the nine others. Genuine and impostor pairs weigh the same,
    as in LFW, which has as many of either. With fewer than twenty people there are half as many folds as people; None below
    four people, and where a fold has no genuine pair.
    """
    codes = np.unique(people, return_inverse=True)[1]
    num = int(codes.max()) + 1 if len(codes) else 0
    num_folds = min(num_folds, num // 2)
    if num_folds < 2:
        return None
    order = np.random.RandomState(seed).permutation(num)
    fold = np.empty(num, int)
    fold[order] = np.arange(num) % num_folds
    one, other = fold[codes[found.first]], fold[codes[found.second]]
    accuracies, thresholds = [], []
    for number in range(num_folds):
        test, rest = (one == number) & (other == number), (one == other) & (one != number)
        if not (found.same[test].any() and (~found.same[test]).any()):
            return None
        threshold = best_threshold(found.distance[rest], found.same[rest])
        accept, same = found.distance[test] <= threshold, found.same[test]
        accuracies.append((accept[same].mean() + (~accept[~same]).mean()) / 2)
        thresholds.append(threshold)
    return Folds(float(np.mean(accuracies)), float(np.std(accuracies, ddof=1) / math.sqrt(num_folds)), thresholds)


def best_threshold(distance: np.ndarray, same: np.ndarray) -> float:
    """The distance with the greatest TAR - FAR, in the middle of the gap above it; of several the middle one."""
    found = rates(distance, same)
    best = np.flatnonzero(found.tar - found.far >= (found.tar - found.far).max() - 1e-12)
    at = int(best[len(best) // 2])
    return _between(found.threshold, at)


def _between(thresholds: np.ndarray, at: int) -> float:
    """Midway to the next distance, so that rounding changes no answer."""
    below = thresholds[at] if np.isfinite(thresholds[at]) else (0.0 if len(thresholds) < 2 else min(0.0, thresholds[1]))
    above = thresholds[at + 1] if at + 1 < len(thresholds) else below
    return float((below + above) / 2)


# --- a threshold ---


class Counts(NamedTuple):
    """What a threshold did to pairs: how many of either kind there were, and how many of these it got wrong."""

    num_genuine: int
    num_impostor: int
    false_rejects: int
    false_accepts: int

    @property
    def far(self) -> float | None:
        return self.false_accepts / self.num_impostor if self.num_impostor else None

    @property
    def frr(self) -> float | None:
        return self.false_rejects / self.num_genuine if self.num_genuine else None

    @property
    def far_bound(self) -> float | None:
        """With 95 % confidence the false accept rate is not above it, if pairs were independent; with no false accept in n
        pairs about 3/n, the rule of three."""
        return clopper_pearson_upper(self.false_accepts, self.num_impostor) if self.num_impostor else None


def counted(found: Pairs, threshold: float) -> Counts:
    """The mistakes of a threshold."""
    accept = found.distance <= threshold
    genuine, impostor = found.same, ~found.same
    return Counts(int(genuine.sum()), int(impostor.sum()), int((genuine & ~accept).sum()), int((impostor & accept).sum()))


def threshold_at(found: Pairs, far: float) -> float:
    """The largest threshold that accepts no more than the share `far` of the impostor pairs, midway to the next distance."""
    curve = rates(found.distance, found.same)
    return _between(curve.threshold, int(np.searchsorted(curve.far, far + 1e-12, side="right")) - 1)


# --- intervals ---


class Spread(NamedTuple):
    """95 % intervals by people: of each figure, and of TAR over `far` (K,): (K, 2)."""

    figures: dict[str, list[float] | None]
    far: np.ndarray
    tar: np.ndarray


def by_people(found: Pairs, people: np.ndarray, fars: Sequence[float] = FARS, *, seed: int = 0) -> Spread:
    """Intervals of AUC, EER and TAR at each of `fars`, by drawing people again with all their pictures (cluster bootstrap): a
    pair counts as often as its person was drawn, an impostor pair as often as its two people were, multiplied. Pairs of one
    person are alike, and pairs that share a person are, so that intervals by pairs would be far too narrow. None where no draw
    has a value, and of rates that so many pairs cannot tell.
    """
    random = np.random.default_rng(seed)
    codes = np.unique(people, return_inverse=True)[1]
    num = int(codes.max()) + 1
    measured = [far for far in fars if measurable(far, found.num_impostor)]
    if len(found.same) > MOST_REDRAWN:
        kinds = (np.flatnonzero(found.same), np.flatnonzero(~found.same))
        found = found.at(np.concatenate([random.permutation(kind)[: MOST_REDRAWN // 2] for kind in kinds]))
    order = np.argsort(found.distance, kind="stable")
    distance, same = found.distance[order], found.same[order]
    one, other = codes[found.first[order]], codes[found.second[order]]
    grid = np.geomspace(max(1 / max(1, found.num_impostor), 1e-6), 1, 60)
    drawn, curves = [], []
    for _ in range(NUM_DRAWS):
        times = np.bincount(random.integers(num, size=num), minlength=num).astype(float)
        curve = _rates(distance, same, np.where(same, times[one], times[one] * times[other]))
        if np.isnan(curve.far[-1] + curve.tar[-1]):
            continue
        drawn.append([curve.auc, curve.eer, *(curve.tar_at(far) for far in measured)])
        curves.append([curve.tar_at(far) for far in grid])
    names = ["auc", "eer", *map(far_key, measured)]
    if not drawn:
        return Spread(dict.fromkeys(names), grid, np.full((len(grid), 2), math.nan))
    bounds = [central(column) for column in np.array(drawn).T]
    return Spread(dict(zip(names, bounds, strict=True)), grid, np.array([central(column) for column in np.array(curves).T]))


def by_group(found: Pairs, groups: np.ndarray, threshold: float | None) -> list[dict[str, object]]:
    """Of pairs within each group (both pictures of it): how many of either kind, EER, and the errors of the threshold.

    Args:
        groups: (N,) of text, by picture.
    """
    rows: list[dict[str, object]] = []
    for group in np.unique(groups).tolist():
        own = found.at((groups[found.first] == group) & (groups[found.second] == group))
        curve = rates(own.distance, own.same)
        row: dict[str, object] = {"group": group, "num_genuine": own.num_genuine, "num_impostor": own.num_impostor}
        row["eer"] = None if math.isnan(curve.eer) else curve.eer
        if threshold is not None:
            count = counted(own, threshold)
            row |= {"false_accept_rate": count.far, "false_accept_rate_bound": count.far_bound, "false_reject_rate": count.frr}
        rows.append(row)
    return rows


QUANTILES = (0.0, 0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999, 1.0)


def quantiles(found: Pairs) -> Mapping[str, list[float]]:
    """Of the distances of genuine and of impostor pairs, at `QUANTILES`; four digits."""
    parts = {"same": found.distance[found.same], "different": found.distance[~found.same]}
    return {"at": list(QUANTILES)} | {
        name: [round(float(value), 4) for value in np.quantile(part, QUANTILES)] if len(part) else []
        for name, part in parts.items()
    }
