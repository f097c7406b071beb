"""What `explain` finds: a map of one image for one answer, and the figures of all of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resnets.attribution.faithful import Faithfulness


class Pointing(NamedTuple):
    """The pointing game of one map.

    Args:
        hit: whether its greatest value lies where the object truly is, of a box the object in that box.
        share: the part of the input that is there: how often a random position would hit.
        middle: whether the middle of the input is there.
    """

    hit: bool
    share: float
    middle: bool


@dataclass(repr=False)
class Explanation:
    """A map of one image for one answer.

    Args:
        path: what the image is called.
        answer: what is explained, for people; `label` is its class.
        chance: the network's own answer, from 0 to 1.
        values: (*size) float32 from 0 to 1, of the size of the input.
        positions: how coarse the map was, before it was enlarged.
        faithful: deletion and insertion; None where it was not asked for.
        place: where the answer is, as slices of the input's axes; None: anywhere.
        pointing: None where it is not known where the class truly is.
    """

    path: str
    answer: str
    label: str | None
    chance: float
    values: np.ndarray
    positions: tuple[int, ...]
    faithful: Faithfulness | None = None
    place: tuple[slice, ...] | None = None
    pointing: Pointing | None = None

    def __repr__(self) -> str:
        return f"Explanation({self.path}: {self.answer}, a map of {' x '.join(map(str, self.values.shape))} values)"

    def to_json(self) -> dict[str, Any]:
        """The figures, without the map."""
        found: dict[str, Any] = {"answer": self.answer, "label": self.label, "chance": self.chance}
        if self.faithful is not None:
            deletion, insertion = self.faithful.curves.areas
            found |= {"deletion": deletion, "insertion": insertion}
            found |= dict(zip(("random_deletion", "random_insertion"), self.faithful.random, strict=True))
        if self.pointing is not None:
            found |= {"points": self.pointing.hit, "share_of_place": self.pointing.share, "middle": self.pointing.middle}
        return {name: round(value, 6) if isinstance(value, float) else value for name, value in found.items()}


@dataclass(repr=False)
class Report:
    """What `explain` found: `rows` for each image, in order, and the figures of all together."""

    model: str
    method: str
    layer: str | None
    explanations: list[Explanation] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    trust: dict[str, Any] = field(default_factory=dict)
    out: Path | None = None

    def __repr__(self) -> str:
        of = f" of {self.layer}" if self.layer else ""
        num = len(self.explanations)
        learnt: dict[Any, str] = {True: "; they depend on what was learnt", False: "; they do not depend on what was learnt"}
        return (
            f"Report({self.model}: {num} map{'s' * (num != 1)} by {self.method}{of}{learnt.get(self.trust.get('depends'), '')})"
        )

    def to_json(self) -> dict[str, Any]:
        about = {"model": self.model, "method": self.method, "layer": self.layer}
        return {**about, "trust": self.trust, "images": self.rows}


def lighter(made: Explanation) -> Explanation:
    """Without its map, which is drawn: a folder of thousands of images fits into memory."""
    return Explanation(**{**vars(made), "values": np.zeros(0, np.float32)})


def summarise(report: Report) -> None:
    """The figures of all maps together."""
    every = report.explanations
    judged = [each.faithful for each in every if each.faithful is not None]
    if judged:
        areas = np.array([[*each.curves.areas, *each.random] for each in judged])
        names = ("deletion", "insertion", "random_deletion", "random_insertion")
        report.trust |= {name: round(float(value), 4) for name, value in zip(names, areas.mean(0), strict=True)}
        report.trust |= {"num_maps": len(judged), "better_than_random": sum(each.better for each in judged)}
    pointed = [each.pointing for each in every if each.pointing is not None]
    if pointed:
        report.trust["pointing"] = {
            "hits": sum(each.hit for each in pointed),
            "num": len(pointed),
            "by_chance": round(float(np.mean([each.share for each in pointed])), 4),
            "middle": round(float(np.mean([each.middle for each in pointed])), 4),
        }
