"""The metric accumulator of embedding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from resnets.data.types import Batch
from resnets.engine.contract import accumulate
from resnets.engine.values import NO_DECISION, Decision, Sample
from resnets.measures import identification, retrieval
from resnets.measures import verification as verifying
from resnets.measures.intervals import bootstrap
from resnets.tasks.embed.threshold import threshold_of
from resnets.tasks.embed.vectors import distance_of
from resnets.tasks.image_level.kept import Kept
from resnets.tasks.means import mean, plain

MOST_GROUPS = 50  # that are told apart


class EmbedMeter:
    """See `engine.contract.Meter`. In training there is nothing to measure: identities are others in validation."""

    def __init__(self, config: Mapping[str, Any], *, quick: bool) -> None:
        self.distance, self.quick = distance_of(config), quick
        self.sums: dict[str, Any] = {}
        self.decision: Decision = NO_DECISION

    def learn(self, outputs: Any, targets: Any) -> None:
        """Nothing."""

    def add(self, answers: Any, batch: Batch) -> None:
        """`answers`: (N, D); targets name whom each picture shows, (N,)."""
        people = np.asarray(batch.targets).astype(str)
        accumulate(self.sums, {"kept": Kept(np.asarray(answers, np.float32), people, batch.indices.cpu().numpy())})

    @property
    def kept(self) -> Kept:
        return self.sums["kept"].sorted()

    @property
    def pairs(self) -> verifying.Pairs:
        """Of the pictures that were kept."""
        kept = self.kept
        return verifying.pairs(kept.answers, kept.targets, self.distance)

    def result(self, num_images: int, groups: np.ndarray | None = None) -> Mapping[str, Any]:
        if "kept" not in self.sums:  # of training
            return {}
        kept = self.kept
        pairs, found = self.pairs, retrieval.search(kept.answers, kept.targets, self.distance)
        if self.quick:
            auc = verifying.rates(pairs.distance, pairs.same).auc
            return {"map_at_r": mean(found.map_at_r) or 0.0, "auc": 0.0 if np.isnan(auc) else auc}
        own = None if groups is None else groups[kept.positions]
        return evaluation(kept, pairs, found, self.distance, self.decision, own)

    def sample(self) -> Sample:
        kept = self.kept
        each = retrieval.search(kept.answers, kept.targets, self.distance).map_at_r

        def figure(at: np.ndarray) -> float:
            found = mean(each[at])
            return np.nan if found is None else found

        return Sample("mAP@R", kept.positions, figure, groups=kept.targets)

    def outcomes(self) -> None:
        """No image is right or wrong by itself; the worst pairs are drawn."""

    def records(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """identity and embedding, its numbers with spaces between them."""
        kept = self.kept
        for position, person, vector in zip(kept.positions.tolist(), kept.targets.tolist(), kept.answers, strict=True):
            yield position, {"identity": person, "embedding": " ".join(f"{value:.6g}" for value in vector.tolist())}


def evaluation(
    kept: Kept,
    pairs: verifying.Pairs,
    found: retrieval.Found,
    distance: str,
    decision: Decision,
    groups: np.ndarray | None,
) -> dict[str, Any]:
    """All that `resnets eval` reports: fractions, intervals of 95 % by identities, counts; None where nothing can be said.

    Args:
        groups: (N,) of the kept pictures.
    """
    people = kept.targets
    curve, spread = verifying.rates(pairs.distance, pairs.same), verifying.by_people(pairs, people)
    ranks = identification.closed_set(kept.answers, people, distance)
    threshold = threshold_of(decision)
    result: dict[str, Any] = {"num_images": len(people), "num_identities": len(np.unique(people)), "distance": distance}
    result |= {"num_genuine": pairs.num_genuine, "num_impostor": pairs.num_impostor}
    result |= averaged("map_at_r", found.map_at_r, people) | {"r_precision": mean(found.r_precision)}
    result |= averaged("precision_at_1", found.precision_at_1, people) | {"hit_at_5": mean(found.hit_at_5)}
    for name in ("auc", "eer"):
        result |= {name: plain(getattr(curve, name)), f"{name}_interval": spread.figures[name]}
    for far in verifying.FARS:
        key, known = verifying.far_key(far), verifying.measurable(far, pairs.num_impostor) and pairs.num_genuine > 0
        result |= {key: curve.tar_at(far) if known else None, f"{key}_interval": spread.figures.get(key) if known else None}
    folds = verifying.fold_accuracy(pairs, people)
    result |= {
        "accuracy": folds and folds.accuracy,
        "accuracy_error": folds and folds.standard_error,
        "num_folds": len(folds.thresholds) if folds else 0,
    }
    result |= averaged("rank_1", ranks[0], people) | {"rank_5": mean(ranks[1])}
    result |= open_set(identification.open_set(kept.answers, people, distance), threshold)
    result |= at_threshold(pairs, threshold, decision)
    if groups is not None and len(np.unique(groups)) <= MOST_GROUPS:
        result["by_group"] = verifying.by_group(pairs, groups, threshold)
    return result | {"per_class": by_identity(people, found, ranks[0], pairs, threshold), "labels": np.unique(people).tolist()}


def averaged(name: str, values: np.ndarray, people: np.ndarray) -> dict[str, Any]:
    """The mean of what is known of pictures (N,), and its interval by identities."""

    def figure(at: np.ndarray) -> float:
        known = mean(values[at])
        return np.nan if known is None else known

    interval = bootstrap(figure, len(values), people)
    return {name: mean(values), f"{name}_interval": None if np.isnan(interval).any() else interval}


def open_set(found: identification.OpenSet | None, threshold: float | None) -> dict[str, Any]:
    """Misses at rates of false alarms, and both at the threshold."""
    if found is None:
        return {"num_enrolled": 0}
    rates: dict[str, Any] = {f"fnir_at_{fpir:g}": found.fnir_at(fpir) for fpir in identification.FPIRS}
    at = {} if threshold is None else dict(zip(("fpir", "fnir"), found.at(threshold), strict=True))
    return {"num_enrolled": found.num_enrolled, "num_strange": found.num_strange} | rates | at


def at_threshold(pairs: verifying.Pairs, threshold: float | None, decision: Decision) -> dict[str, Any]:
    """What the threshold of the model does to the pairs; nothing where it has none."""
    if threshold is None:
        return {"threshold": None}
    count = verifying.counted(pairs, threshold)
    return {
        "threshold": threshold,
        "far_wanted": decision.get("far"),
        "num_accept_pairs": count.num_impostor,
        "false_accepts": count.false_accepts,
        "false_accept_rate": count.far,
        "false_accept_rate_bound": count.far_bound,
        "num_reject_pairs": count.num_genuine,
        "false_rejects": count.false_rejects,
        "false_reject_rate": count.frr,
    }


def by_identity(
    people: np.ndarray, found: retrieval.Found, rank_1: np.ndarray, pairs: verifying.Pairs, threshold: float | None
) -> list[dict[str, Any]]:
    """A row for each identity; false accepts are of pairs of it and another."""
    names, codes = np.unique(people, return_inverse=True)
    rows = []
    one, other = codes[pairs.first], codes[pairs.second]
    accept = np.zeros(len(one), bool) if threshold is None else pairs.distance <= threshold
    for code, name in enumerate(names.tolist()):
        own = codes == code
        row = {"label": name, "map_at_r": mean(found.map_at_r[own]), "rank_1": mean(rank_1[own])}
        if threshold is not None:
            mine = (one == code) | (other == code)
            genuine, impostor = accept[mine & pairs.same], accept[mine & ~pairs.same]
            row |= {"false_rejects": float(1 - genuine.mean()) if len(genuine) else None}
            row |= {"false_accepts": float(impostor.mean()) if len(impostor) else None}
        rows.append(row | {"support": int(own.sum())})
    return rows
