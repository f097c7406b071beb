"""Classification: one label for a picture. Outputs are logits (N, num_classes), targets (N,) int64, or (N, num_classes)
float32 where pictures were mixed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnets.data.types import Images
from resnets.draw.confusion import confusion
from resnets.draw.gallery import gallery
from resnets.draw.reliability import calibration, reliability
from resnets.engine.contract import Criterion, Losses
from resnets.models.nn.heads import classifier
from resnets.models.nn.layers import precise
from resnets.models.spec import ResNetSpec

if TYPE_CHECKING:
    from resnets.engine.recipe import Recipe
    from resnets.models.nn.trunk import Trunk


class Classify:
    name = "classify"
    metrics: tuple[str, ...] = ("top1",)
    losses: tuple[str, ...] = ("ce", "bce")
    heads: tuple[str, ...] = ()
    of_classes: tuple[str, ...] = ("fc.",)
    dense = False
    sees_targets = False

    def form(self, spec: ResNetSpec, recipe: Recipe, before: Mapping[str, Any]) -> dict[str, Any]:
        return {}

    def head(self, model: Trunk, form: Mapping[str, Any]) -> dict[str, nn.Module]:
        return classifier(model.spec)

    def forward(self, model: Any, x: Tensor, targets: Any = None) -> Any:
        y: Any = model.features(x)
        for name in model.head_names:
            y = getattr(model, name)(y)
        return y

    def criterion(self, recipe: Recipe, class_counts: np.ndarray) -> Criterion:
        """Cross-entropy, or for `loss="bce"` a yes or no for every class (arXiv 2110.00476, section 2.1).

        With `balance="loss"` a class weighs by the inverse of its frequency, 1 on average over the training pictures.
        """
        weight = None
        if recipe.balance == "loss":
            share = class_counts.sum() / np.count_nonzero(class_counts)
            inverse = np.where(class_counts > 0, share / np.maximum(class_counts, 1), 0)  # a class without pictures: 0
            weight = torch.tensor(inverse, dtype=torch.float32)
        smoothing = recipe.smoothing

        def cross_entropy(outputs: Tensor, targets: Tensor) -> Losses:
            place = None if weight is None else weight.to(outputs.device)
            return {"loss": F.cross_entropy(outputs.float(), targets, weight=place, label_smoothing=smoothing)}

        def binary(outputs: Tensor, targets: Tensor) -> Losses:
            soft = F.one_hot(targets, outputs.shape[1]).float() if targets.ndim == 1 else targets
            soft = (soft > 0.2).float()  # both classes of a mixed picture are there, unless one is hardly to be seen
            soft = soft * (1 - smoothing) + smoothing / outputs.shape[1]
            place = None if weight is None else weight.to(outputs.device)
            return {"loss": F.binary_cross_entropy_with_logits(outputs.float(), soft, weight=place)}

        return {"ce": cross_entropy, "bce": binary}[recipe.loss]

    def count(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        hard = targets if targets.ndim == 1 else targets.argmax(1)
        return {"top1": (outputs.argmax(1) == hard).sum()}

    def measure(self, model: Any, images: Tensor, targets: Tensor, criterion: Criterion) -> dict[str, Any]:
        outputs = model(images)
        return self.count(outputs, targets) | {"loss": precise(criterion(outputs, targets)["loss"]) * len(images)}

    def summarise(self, sums: Mapping[str, Any], num_images: int, labels: Sequence[str]) -> dict[str, float]:
        return {"top1": float(sums["top1"]) / num_images}

    def evaluate(self, outputs: Tensor, targets: Tensor, labels: Sequence[str]) -> dict[str, Any]:
        """Loss, top-1 and top-5 (fractions) with a 95 % interval, calibration, and precision, recall and F1 for each class.

        `macro_f1` is the mean over the classes that occur in `targets`. `confusion` counts pictures, a row a true class.
        """
        from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

        num_images, num_classes = outputs.shape
        predicted, truth = outputs.argmax(1).numpy(), targets.numpy()
        top = outputs.topk(min(5, num_classes)).indices
        hits = int((predicted == truth).sum())
        columns = precision_recall_fscore_support(truth, predicted, labels=range(num_classes), zero_division=0)
        per_class = [
            {"label": label, "precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
            for label, p, r, f, n in zip(labels, *columns, strict=True)
        ]
        return {
            "num_images": num_images,
            "loss": float(F.cross_entropy(outputs, targets)),
            "top1": hits / num_images,
            "top5": float((top == targets[:, None]).any(1).float().mean()),
            "top1_interval": wilson(hits, num_images),
            "ece": calibration(*confidence(outputs, targets)).ece,
            "macro_f1": float(np.mean([row["f1"] for row in per_class if row["support"]])),
            "per_class": per_class,
            "confusion": confusion_matrix(truth, predicted, labels=range(num_classes)).tolist(),
            "labels": list(labels),
        }

    def draw(self, outputs: Tensor, targets: Tensor, labels: Sequence[str], images: Images, folder: Path) -> list[Path]:
        from sklearn.metrics import confusion_matrix

        matrix = confusion_matrix(targets.numpy(), outputs.argmax(1).numpy(), labels=range(len(labels)))
        drawings = [
            confusion(matrix, labels, folder / "confusion.png"),
            reliability(*confidence(outputs, targets), folder / "reliability.png"),
        ]
        worst = worst_errors(outputs, targets, most=24)
        if len(worst):
            answers = outputs.argmax(1)
            captions = [f"{labels[int(answers[i])]}\nis {labels[int(targets[i])]}" for i in worst]
            pictures = [images[i] for i in worst]
            drawings.append(gallery(pictures, captions, folder / "errors.png", title="Wrong, and surest of it"))
        return drawings


def worst_errors(outputs: Tensor, targets: Tensor, most: int) -> list[int]:
    """Positions of wrong answers, the one that gives the truth the least probability first."""
    loss = F.cross_entropy(outputs.float(), targets, reduction="none")
    loss[outputs.argmax(1) == targets] = -1
    order = loss.argsort(descending=True)[:most]
    return [int(i) for i in order if loss[i] >= 0]


def confidence(outputs: Tensor, targets: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The probability of the answer (N,), and whether it is right (N,)."""
    probability, answer = outputs.float().softmax(1).max(1)
    return probability.numpy(), (answer == targets).numpy()


def wilson(hits: int, num_images: int, z: float = 1.959964) -> list[float]:
    """The 95 % interval of a share of `num_images` (Wilson 1927)."""
    share, scale = hits / num_images, 1 + z**2 / num_images
    middle = (share + z**2 / (2 * num_images)) / scale
    half = z * math.sqrt(share * (1 - share) / num_images + z**2 / (4 * num_images**2)) / scale
    return [max(0.0, middle - half), min(1.0, middle + half)]
