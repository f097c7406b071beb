"""Figures of how a split was verified."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from resnets.data.pictures.images import BadPicture
from resnets.draw.gallery import gallery
from resnets.draw.style import write
from resnets.draw.verification import draw_distances, draw_rates
from resnets.measures import verification
from resnets.tasks.embed.threshold import threshold_of

if TYPE_CHECKING:
    from resnets.tasks.embed.meter import EmbedMeter

MOST = 8  # pairs of each kind that are shown


def evaluation(meter: EmbedMeter, images: Any, folder: Path) -> list[Path]:
    """Draw ROC and DET, the distances, and the worst pairs of either kind; the drawings' paths."""
    pairs, people, threshold = meter.pairs, meter.kept.targets, threshold_of(meter.decision)
    drawings = [
        write(
            draw_distances(pairs.distance[pairs.same], pairs.distance[~pairs.same], name=meter.distance, threshold=threshold),
            folder / "distances.png",
        )
    ]
    if pairs.num_genuine and pairs.num_impostor:
        curve, spread = verification.rates(pairs.distance, pairs.same), verification.by_people(pairs, people)
        count = None if threshold is None else verification.counted(pairs, threshold)
        dot = (count.far or 0.0, 1 - (count.frr or 0.0)) if count else None
        figure = draw_rates(
            curve.far, curve.tar, eer=curve.eer, dot=dot, band=(spread.far, spread.tar), least=1 / pairs.num_impostor
        )
        drawings.append(write(figure, folder / "roc.png"))
    return [*drawings, *worst(pairs, meter, images, folder)]


def worst(pairs: verification.Pairs, meter: EmbedMeter, images: Any, folder: Path) -> list[Path]:
    """The nearest pairs of different identities and the farthest of the same one, each picture beside the other; of the same
    two identities one pair."""
    people, positions = meter.kept.targets, meter.kept.positions
    order = np.argsort(pairs.distance, kind="stable")
    nearest, farthest = order[~pairs.same[order]], order[pairs.same[order]][::-1]
    pictures, captions = [], []
    for words, chosen in (("not the same", nearest), ("the same", farthest)):
        for index in of_each(np.stack([people[pairs.first[chosen]], people[pairs.second[chosen]]], 1), chosen):
            one, other = int(pairs.first[index]), int(pairs.second[index])
            try:
                both = [images[int(positions[at])] for at in (one, other)]
            except BadPicture:
                continue
            pictures += both
            captions += [f"{people[one]}\n{words}: {pairs.distance[index]:.3g}", f"{people[other]}\n"]
    if not pictures:
        return []
    title = "Nearest pairs of different identities, then farthest of the same"
    return [gallery(pictures, captions, folder / "worst.png", title=title)]


def of_each(names: np.ndarray, chosen: np.ndarray) -> list[int]:
    """The first `MOST` of `chosen` (M,) with other `names` (M, 2), in either order, than those before them."""
    first = np.unique(np.sort(names, axis=1), axis=0, return_index=True)[1] if len(names) else np.zeros(0, int)
    return chosen[np.sort(first)[:MOST]].tolist()
