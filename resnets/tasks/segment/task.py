"""Segmentation: a class for each pixel, or voxel. Outputs are logits (N, num_classes, *size); targets of training are int64
(N, *size) with `IGNORE` where nothing is known, those of validation `dense.Truth`s.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnets.data.geometry import nearest
from resnets.data.targets import BACKGROUND, IGNORE, Truth
from resnets.engine.contract import Criterion, Losses, Shown
from resnets.errors import InputError
from resnets.models.spec import ResNetSpec
from resnets.tasks.means import mean
from resnets.tasks.segment.head import HEADS, resized, segmentation
from resnets.tasks.segment.overlap import Counted, dice, iou
from resnets.tasks.segment.windows import blend

if TYPE_CHECKING:
    from resnets.engine.recipe import Recipe
    from resnets.models.nn.trunk import Trunk

TOLERANCE = 0.0075  # of boundaries, as a share of the diagonal (Csurka et al. 2013)
AUXILIARY = 0.4  # weight of the auxiliary head's loss, as in torchvision's reference
WHOLE = 2**21  # pixels (voxels) up to which an input goes through the network at once; above, a window slides over it
WINDOW = {1: 2**16, 2: 1024, 3: 96}  # its side, by the number of axes; of volumes at least that of the patches of training


class Segment:
    name = "segment"
    metrics: tuple[str, ...] = ("miou", "pixel_accuracy", "dice")
    losses: tuple[str, ...] = ("ce", "dice", "ce+dice", "focal")
    heads: tuple[str, ...] = tuple(HEADS)
    of_classes: tuple[str, ...] = ("head.logits.", "aux.logits.")
    dense = True
    sees_targets = False

    def form(self, spec: ResNetSpec, recipe: Recipe, before: Mapping[str, Any]) -> dict[str, Any]:
        return {"head": self.heads[0]} | dict(before) | ({"head": recipe.head} if recipe.head else {})

    def head(self, model: Trunk, form: Mapping[str, Any]) -> dict[str, nn.Module]:
        if unknown := form.keys() - {"head", "auxiliary"}:
            raise InputError(f"a segmentation head has no setting {', '.join(sorted(unknown))}; it has head and auxiliary")
        return segmentation(model.spec, str(form.get("head", self.heads[0])), auxiliary=bool(form.get("auxiliary")))

    def forward(self, model: Any, x: Tensor, targets: Any = None) -> Any:
        """Logits (N, num_classes, *size); in training, with an auxiliary head, a pair of them."""
        features = model.features(x)
        logits = model.head(features, x.shape[2:])
        if model.training and "aux" in model.head_names:
            return logits, model.aux(features, x.shape[2:])
        return logits

    def criterion(self, recipe: Recipe, class_counts: np.ndarray) -> Criterion:
        """One of `LOSSES`. With `balance="loss"` a class weighs 1 / ln(1.02 + its share of the pixels) (ENet, arXiv 1606.02147,
        section 5.2), brought to a mean of 1 over pixels: a rare class counts more, and none without bounds."""
        weight = None
        if recipe.balance == "loss":
            share = class_counts / max(1, class_counts.sum())
            raw = 1 / np.log(1.02 + share)
            weight = torch.tensor(raw / (raw * share).sum(), dtype=torch.float32)
        parts, smoothing = LOSSES[recipe.loss], recipe.smoothing

        def criterion(outputs: Any, targets: Tensor) -> Losses:
            logits, *auxiliary = outputs if isinstance(outputs, tuple) else (outputs,)
            place = None if weight is None else weight.to(targets.device)
            losses = {name: part(logits.float(), targets, place, smoothing) for name, part in parts.items()}
            whole = torch.stack(list(losses.values())).sum()
            for other in auxiliary:
                whole = whole + AUXILIARY * cross_entropy(other.float(), targets, place, smoothing)
            return {"loss": whole} | (losses if len(losses) > 1 else {})

        return criterion

    def count(self, outputs: Any, targets: Tensor) -> dict[str, Tensor]:
        logits = outputs[0] if isinstance(outputs, tuple) else outputs
        return {"confusion": confusion(logits.argmax(1), targets, logits.shape[1])}

    def measure(self, model: Any, images: Tensor, targets: Sequence[Truth], criterion: Criterion) -> dict[str, Any]:
        found: dict[str, Tensor] = {}
        num_classes = model.spec.num_classes
        for x, truth in zip(images, targets, strict=True):
            classes = torch.from_numpy(self.infer(model, x[None], truth.whole).astype(np.int64))
            counts = confusion(classes, torch.from_numpy(truth.target.astype(np.int64)), num_classes)
            found["confusion"] = found.get("confusion", torch.zeros_like(counts)) + counts
        return found

    def summarise(self, sums: Mapping[str, Any], num_images: int, labels: Sequence[str]) -> dict[str, float]:
        counts = sums["confusion"].cpu().numpy()
        shown = [index for index, label in enumerate(labels) if label != BACKGROUND]
        total = max(1, int(counts.sum()))
        return {
            "miou": mean(iou(counts)) or 0.0,
            "pixel_accuracy": float(np.trace(counts)) / total,
            "dice": mean(dice(counts)[shown]) or 0.0,
        }

    def infer(self, model: Any, x: Tensor, whole: tuple[int, ...]) -> np.ndarray:
        """The class indices (*whole), uint8, of the picture x (1, C, *size)."""
        slabs = [scores.argmax(0).astype(np.uint8) for _, scores in logits_of(model, x, whole)]
        return np.concatenate(slabs)

    def meter(self, labels: Sequence[str], form: Mapping[str, Any]) -> Counted:
        background = labels.index(BACKGROUND) if BACKGROUND in labels else None
        return Counted(labels, background=background, boundary_share=TOLERANCE)

    def judge(self, meter: Counted, truth: Truth, found: np.ndarray) -> float:
        return meter.add(found, truth.target, truth.spacing) or 0.0

    def draw(self, meter: Counted, worst: Sequence[Shown], labels: Sequence[str], folder: Path) -> list[Path]:
        from resnets.draw import panels as plots_dense
        from resnets.draw.confusion import confusion as plot_confusion
        from resnets.draw.paint import paint

        background = meter.background
        counts = meter.sums["confusion"]
        drawings = [plot_confusion(counts, labels, folder / "confusion.png", of="pixels")]
        flat = [shown for shown in worst if shown.truth.ndim == 2]
        if flat:
            rows = [
                [plots_dense.Panel(shown.picture)]
                + [plots_dense.Panel(paint(shown.picture, what, background=background)) for what in (shown.truth, shown.found)]
                for shown in flat
            ]
            captions = [f"{shown.name}\nmIoU {shown.score:.3f}" for shown in flat]
            names, path = ("picture", "truth", "predicted"), folder / "worst.png"
            settings = {"title": "worst first", "background": background}
            drawings.append(plots_dense.worst(rows, names, captions, labels, path, **settings))
        return drawings


def logits_of(model: Any, x: Tensor, whole: tuple[int, ...]) -> Iterator[tuple[slice, np.ndarray]]:
    """Scores (C, rows, *rest of `whole`) slab by slab along the first axis, for x (1, in_chans, *size).

    What is larger than `WHOLE` is seen through a sliding window; only as many rows as that has are in memory then.
    """
    size, place = tuple(x.shape[2:]), next(model.parameters()).device
    if x[0, 0].numel() <= WHOLE:
        yield from enlarged(model(x.to(place)).float(), whole)
        return
    window = (window_side(model),) * len(size)

    def look(part: tuple[slice, ...]) -> np.ndarray:
        return model(x[:, :, *part].to(place))[0].float().cpu().numpy()

    if size == tuple(whole):
        yield from blend(look, size, window)
        return
    # Brought to its own size a slab at a time, as nearest pixels: at such sizes a linear border would not be seen.
    rows, *rest = (nearest(before, after) for before, after in zip(size, whole, strict=True))
    for part, scores in blend(look, size, window):
        own = np.flatnonzero((rows >= part.start) & (rows < part.stop))
        if len(own):
            yield slice(int(own[0]), int(own[-1]) + 1), scores[np.ix_(np.arange(len(scores)), rows[own] - part.start, *rest)]


def window_side(model: Any) -> int:
    """The side of the window through which the model sees what is larger than `WHOLE`."""
    side, patch = WINDOW[model.spec.dims], model.preprocess.size
    return max(side, *patch) if len(patch) == 3 else side


def enlarged(logits: Tensor, whole: tuple[int, ...]) -> Iterator[tuple[slice, np.ndarray]]:
    """The logits (1, C, *size) as `resized` brings them to `whole`, so many rows at a time as `WHOLE` allows."""
    before, after = logits.shape[2], whole[0]
    high = max(1, WHOLE // math.prod(whole[1:]))
    if tuple(logits.shape[2:]) == tuple(whole) or high >= after:
        yield slice(0, after), resized(logits, whole)[0].cpu().numpy()
        return
    middles = ((torch.arange(after, device=logits.device) + 0.5) * (before / after) - 0.5).clamp(0, before - 1)
    above = middles.long()
    below, share = (above + 1).clamp(max=before - 1), (middles - above).view(-1, *[1] * (logits.ndim - 3))
    for start in range(0, after, high):
        rows = slice(start, min(start + high, after))
        between = logits[:, :, above[rows]] * (1 - share[rows]) + logits[:, :, below[rows]] * share[rows]
        yield rows, resized(between, (rows.stop - start, *whole[1:]))[0].cpu().numpy()


def confusion(predicted: Tensor, truth: Tensor, num_classes: int) -> Tensor:
    """Pixels (num_classes, num_classes) int64, a row a true class, a column a predicted one, where the truth is not ignored."""
    known = truth != IGNORE
    pairs = truth[known] * num_classes + predicted[known]
    return torch.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


# --- losses: logits (N, C, *size) float32, targets (N, *size), weights (C,) or None, label smoothing -> a scalar ------------

Part = Callable[[Tensor, Tensor, Tensor | None, float], Tensor]


def cross_entropy(logits: Tensor, targets: Tensor, weight: Tensor | None, smoothing: float) -> Tensor:
    """The mean over known pixels; 0 where none is, which torch's mean makes NaN."""
    total = F.cross_entropy(logits, targets, weight=weight, ignore_index=IGNORE, label_smoothing=smoothing, reduction="sum")
    known = targets[targets != IGNORE]
    return total / (torch.ones_like(known) if weight is None else weight[known]).sum().clamp(min=1e-6)


def soft_dice(logits: Tensor, targets: Tensor, weight: Tensor | None, smoothing: float) -> Tensor:
    """1 - Dice of probabilities over the batch, the mean over the classes that are there (V-Net, arXiv 1606.04797)."""
    num_classes, known = logits.shape[1], targets != IGNORE
    places = targets.where(known, 0)
    probabilities = logits.softmax(1)
    # Sums by class without the truth one-hot, which would take three times as long.
    right = probabilities.gather(1, places.unsqueeze(1)).squeeze(1) * known
    both = right.new_zeros(num_classes).index_add(0, places.reshape(-1), right.reshape(-1))
    with torch.autocast(logits.device.type, enabled=False):  # which multiplies in 16 bits, too few to count pixels with
        said = (probabilities.flatten(2) @ known.flatten(1).unsqueeze(2).to(probabilities.dtype)).sum((0, 2))
    true = torch.bincount(targets[known], minlength=num_classes)
    there = (true > 0).float() * (1 if weight is None else weight)
    return ((1 - (2 * both + 1) / (said + true + 1)) * there).sum() / there.sum().clamp(min=1e-6)


def focal(logits: Tensor, targets: Tensor, weight: Tensor | None, smoothing: float, gamma: float = 2.0) -> Tensor:
    """Cross-entropy, a pixel weighing (1 - p)^gamma by the probability p of its class (arXiv 1708.02002, equation 4)."""
    loss = F.cross_entropy(logits, targets, weight=weight, ignore_index=IGNORE, label_smoothing=smoothing, reduction="none")
    known = targets != IGNORE
    right = logits.softmax(1).gather(1, targets.where(known, 0).unsqueeze(1)).squeeze(1)
    return (loss * (1 - right) ** gamma * known).sum() / known.sum().clamp(min=1)


LOSSES: dict[str, dict[str, Part]] = {
    "ce": {"ce": cross_entropy},
    "dice": {"dice": soft_dice},
    "ce+dice": {"ce": cross_entropy, "dice_loss": soft_dice},
    "focal": {"focal": focal},
}
