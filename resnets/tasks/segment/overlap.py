"""Segmentation: counts of pixels (or voxels) picture by picture, and what follows from their sums.

Class indices are integer arrays of any shape, (H, W) or (D, H, W) here; `IGNORE` in the truth leaves a pixel out of everything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypedDict, cast

import numpy as np

from resnets.data.targets import IGNORE
from resnets.errors import InputError
from resnets.tasks.means import mean, plain, ratio
from resnets.tasks.segment.boundaries import edge_hits, f_measure, surface_dice
from resnets.tasks.segment.surfaces import surface_hits

CHUNK = 1 << 22  # pixels that are counted at a time, so that a large volume needs little memory beside itself


class Overlap(TypedDict, total=False):
    """Fractions, of a class or as means over classes; None where a class is neither in the truth nor predicted."""

    dice: float | None  # of the pixels of all pictures together
    dice_per_image: float | None  # means over pictures
    boundary_f: float | None  # the same, with a tolerance
    surface_dice: float | None
    hausdorff95_mm: float | None  # of volumes, over those in which the class is, and is predicted


class ClassResult(Overlap, total=False):
    label: str
    iou: float | None
    precision: float | None
    recall: float | None
    pixels: int  # of the truth


class Result(Overlap, total=False):
    """An evaluation, as JSON can hold it. Means leave out classes that are neither in the truth nor predicted, and all but
    `miou` the background."""

    num_images: int
    miou: float | None  # of the pixels of all pictures together, as `pixel_accuracy`
    pixel_accuracy: float | None
    fwiou: float | None  # IoU weighted by the frequency of the true class
    baseline_miou: float | None  # what the trivial baselines reach, see `baselines`
    baseline_pixel_accuracy: float | None
    baseline_dice: float | None
    per_class: list[ClassResult]
    confusion: list[list[int]]  # pixels, a row for each true class
    labels: list[str]


class Measured(NamedTuple):
    """One picture or volume. `counts` (C, C) are its pixels, a row a true class. The others are (C,), NaN where they were not
    measured, or the class is neither in the truth nor predicted; `hausdorff95`, in mm, also where it is not in both."""

    counts: np.ndarray
    dice: np.ndarray
    boundary_f: np.ndarray
    surface_dice: np.ndarray
    hausdorff95: np.ndarray


class Counted:
    """The counts of all pictures added so far. Memory does not grow with their number, and all that is kept are sums.

    Args:
        labels: the names of the classes.
        background: the class that is left out of the means of Dice, boundary F and surface Dice; mIoU has all classes.
        boundary_share: measure boundaries too, and take a shift of so large a share of the picture's diagonal for a hit;
            0.0075 is what Csurka et al. 2013 take.
        boundary_distance: the same, with the tolerance in pixels, or in units of `spacing` (mm) where that is given. Of both,
            the share is for pictures and the distance for volumes.
    """

    def __init__(
        self,
        labels: Sequence[str],
        *,
        background: int | None = None,
        boundary_share: float | None = None,
        boundary_distance: float | None = None,
    ) -> None:
        self.labels, self.background = list(labels), background
        self.share, self.distance = boundary_share, boundary_distance
        num = len(self.labels)
        self.sums: dict[str, np.ndarray] = {
            "images": np.zeros(1, np.int64),
            "confusion": np.zeros((num, num), np.int64),  # a row a true class
            "dice": np.zeros((2, num)),  # of pictures: the sum over those in which the class is, or is predicted; their number
            "boundary_f": np.zeros((2, num)),
            "surface_dice": np.zeros((2, num)),
            "hausdorff95": np.zeros((2, num)),
        }

    def add(self, predicted: np.ndarray, truth: np.ndarray, spacing: Sequence[float] | None = None) -> Measured:
        """Count one picture. `spacing` is that of the axes, for boundaries."""
        counts = confusion(predicted, truth, len(self.labels))
        found = Measured(counts, dice(counts), *self._boundaries(predicted, truth, spacing))
        self.sums["images"] += 1
        self.sums["confusion"] += counts
        for name in Measured._fields[1:]:
            scores = getattr(found, name)
            self.sums[name] += np.stack([np.nan_to_num(scores), ~np.isnan(scores)])
        return found

    def _boundaries(
        self, predicted: np.ndarray, truth: np.ndarray, spacing: Sequence[float] | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Boundary F, surface Dice and the Hausdorff distance: of pictures by their edge pixels, of volumes by areas."""
        scale = np.ones(truth.ndim) if spacing is None else np.asarray(spacing, np.float64)
        num, far = len(self.labels), np.full(len(self.labels), np.nan)
        if self.share is not None and (truth.ndim < 3 or self.distance is None):
            tolerance = float(self.share * np.linalg.norm(scale * truth.shape))
        elif self.distance is None:
            return far, far, far
        else:
            tolerance = self.distance
        if truth.ndim < 3:
            hits = edge_hits(predicted, truth, num, tolerance, scale)
        else:
            hits, far = surface_hits(predicted, truth, num, tolerance, scale.tolist(), self.background)
        return f_measure(hits), surface_dice(hits), far

    def result(self) -> Result:
        counts, num_images = self.sums["confusion"], int(self.sums["images"][0])
        truth, total = counts.sum(1), max(int(counts.sum()), 1)
        columns = {
            "iou": iou(counts),
            "dice": dice(counts),
            "precision": ratio(np.diag(counts), counts.sum(0)),
            "recall": ratio(np.diag(counts), truth),
            "dice_per_image": ratio(*self.sums["dice"]),
        }
        if self.share is not None or self.distance is not None:
            columns |= {name: ratio(*self.sums[name]) for name in ("boundary_f", "surface_dice")}
        if self.sums["hausdorff95"][1].any():
            columns["hausdorff95_mm"] = ratio(*self.sums["hausdorff95"])
        shown = [i for i in range(len(self.labels)) if i != self.background]
        result = {
            "num_images": num_images,
            "miou": mean(columns["iou"]),
            "pixel_accuracy": plain(ratio(np.trace(counts), counts.sum())),
            **(baselines(truth, shown) if truth.any() else {}),
            "fwiou": float(np.nansum(columns["iou"] * truth) / total) if truth.any() else None,
            **{name: mean(values[shown]) for name, values in columns.items() if name not in ("iou", "precision", "recall")},
            "per_class": [
                {"label": label, **{name: plain(values[i]) for name, values in columns.items()}, "pixels": int(truth[i])}
                for i, label in enumerate(self.labels)
            ],
            "confusion": counts.tolist(),
            "labels": self.labels,
        }
        return cast(Result, result)  # whose keys come from a table


def baselines(truth: np.ndarray, shown: Sequence[int]) -> dict[str, float | None]:
    """What a guess by the frequency of the classes alone, `truth` (C,) pixels of each, gets: the better one of drawing each
    pixel's class by it (the expected counts) and of saying the commonest class everywhere; measure by measure."""
    always = np.zeros(len(truth))
    always[truth.argmax()] = 1
    guesses = [np.outer(truth, guess) for guess in (truth / truth.sum(), always)]
    measures: dict[str, Callable[[np.ndarray], float | None]] = {
        "miou": lambda counts: mean(iou(counts)),
        "pixel_accuracy": lambda counts: float(np.trace(counts) / counts.sum()),
        "dice": lambda counts: mean(dice(counts)[shown]),
    }
    return {
        f"baseline_{name}": max((value for value in map(measure, guesses) if value is not None), default=None)
        for name, measure in measures.items()
    }


def confusion(predicted: np.ndarray, truth: np.ndarray, num_classes: int) -> np.ndarray:
    """Pixels (num_classes, num_classes) int64, a row a true class, a column a predicted one, where the truth is not ignored."""
    if predicted.shape != truth.shape:
        raise InputError(f"a prediction of shape {predicted.shape} has a truth of shape {truth.shape}")
    counts = np.zeros(num_classes**2, np.int64)
    predicted, truth = predicted.reshape(-1), truth.reshape(-1)
    for start in range(0, truth.size, CHUNK):
        true, found = truth[start : start + CHUNK], predicted[start : start + CHUNK]
        known = true != IGNORE
        true, found = true[known].astype(np.int64), found[known].astype(np.int64)
        for what, values in (("truth", true), ("prediction", found)):
            if values.size and not 0 <= values.min() <= values.max() < num_classes:
                wrong = int(values.min() if values.min() < 0 else values.max())
                raise InputError(
                    f"a {what} holds class {wrong}; there are {num_classes} classes, from 0, and {IGNORE} to ignore"
                )
        counts += np.bincount(true * num_classes + found, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def iou(counts: np.ndarray) -> np.ndarray:
    """Intersection over union (C,) of each class; NaN where it is neither in the truth nor predicted."""
    hits = np.diag(counts)
    return ratio(hits, counts.sum(0) + counts.sum(1) - hits)


def dice(counts: np.ndarray) -> np.ndarray:
    """Dice's coefficient (C,), 2 |A and B| / (|A| + |B|), which is F1 of the pixels; NaN as for `iou`."""
    return ratio(2 * np.diag(counts), counts.sum(0) + counts.sum(1))
