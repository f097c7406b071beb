"""Detection: boxes around objects with a class each, and with masks their outlines (Faster and Mask R-CNN).

In training the network sees the targets, a dict a picture: "size" (2,), its height and width within the batch, and the fields
of `dense.Boxes` as tensors, in pixels of the input. Then its outputs are losses, else a dict a picture of what it found.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from resnets.data.geometry import resize_boxes, resize_indices
from resnets.data.targets import Boxes, Detections, Truth
from resnets.engine.contract import Criterion, Losses, Shown
from resnets.errors import InputError
from resnets.models.spec import ResNetSpec
from resnets.tasks.detect import coco
from resnets.tasks.detect.average_precision import Collected
from resnets.tasks.results import at_least

if TYPE_CHECKING:
    from resnets.engine.recipe import Recipe
    from resnets.models.nn.trunk import Trunk

MOST = 300  # objects of a picture that count; COCO has 100, and a field of cells has more


class Detect:
    name = "detect"
    metrics: tuple[str, ...] = ("map", "map50")
    losses: tuple[str, ...] = ("ce",)
    heads: tuple[str, ...] = ("pyramid", "c4")
    of_classes: tuple[str, ...] = tuple(
        f"head.roi_heads.{part}." for part in ("box_predictor", "mask_predictor.mask_fcn_logits")
    )
    dense = True
    sees_targets = True

    def form(self, spec: ResNetSpec, recipe: Recipe, before: Mapping[str, Any]) -> dict[str, Any]:
        """Widths in proportion to the trunk's: torchvision's 256 and 1024 over ResNet-18 and larger ones. Fewer proposals than
        its 2000 and 1000, and losses on 128 regions of a picture instead of 512, for half of a step went into these."""
        width = min(256, max(64, spec.num_features // 2))
        form = {"form": recipe.head or self.heads[0], "width": width, "region_width": 4 * width, "most_objects": MOST}
        form |= {"proposals": [500, 500], "samples": 128}
        kept = before if recipe.head in (None, before.get("form")) else {}  # anchors of another form are others
        return form | dict(kept) | {"masks": recipe.masks}

    def head(self, model: Trunk, form: Mapping[str, Any]) -> dict[str, nn.Module]:
        from resnets.tasks.detect.head import Detecting, Detection

        known = {field.name for field in dataclasses.fields(Detecting)}
        if unknown := form.keys() - known:
            raise InputError(f"a detector has no setting {', '.join(sorted(unknown))}; it has {', '.join(sorted(known))}")
        given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in form.items()}
        return {"head": Detection(model.spec, Detecting(**given), model.last_stage)}

    def forward(self, model: Any, x: Tensor, targets: Any = None) -> Any:
        """In training losses, else for each picture xyxy, labels, scores and, with masks, masks."""
        from resnets.tasks.detect.head import look

        if model.training and targets is None:
            raise InputError("a detector in training needs targets; call eval() for what it finds")
        sizes = None if targets is None else [(int(target["size"][0]), int(target["size"][1])) for target in targets]
        return look(model, model.head, x, sizes, targets if model.training else None)

    def criterion(self, recipe: Recipe, class_counts: np.ndarray) -> Criterion:
        """The sum of the losses of proposals and regions, which the network computes itself."""
        coco.library()  # what validation needs is said before an epoch of training, not after it

        def criterion(outputs: Any, targets: Any) -> Losses:
            return outputs

        return criterion

    def count(self, outputs: Any, targets: Any) -> dict[str, Tensor]:
        return {}

    def measure(self, model: Any, images: Tensor, targets: Sequence[Truth], criterion: Criterion) -> dict[str, Any]:
        labels = [str(number) for number in range(model.spec.num_classes)]
        found, regions = self.meter(labels, {**model.form, "masks": False}), model.head.roi_heads
        regions.boxes_only = True
        try:
            for x, truth in zip(images, targets, strict=True):
                found.add(truth.index, self.infer(model, x[None], truth.whole), dataclasses.replace(truth.target, masks=None))
        finally:
            regions.boxes_only = False
        return {"found": found}

    def summarise(self, sums: Mapping[str, Any], num_images: int, labels: Sequence[str]) -> dict[str, float]:
        if "found" not in sums:  # in training nothing is searched for
            return {}
        result = sums["found"].result()
        return {name: result[name] or 0.0 for name in self.metrics}

    def infer(self, model: Any, x: Tensor, whole: tuple[int, ...]) -> Detections:
        """What is in the picture x (1, C, h, w), the surest first, in pixels of `whole` (H, W)."""
        (found,) = model(x.to(next(model.parameters()).device))
        size, place = (x.shape[2], x.shape[3]), (whole[0], whole[1])
        xyxy = resize_boxes(found["xyxy"].float().cpu().numpy(), place, size)
        masks = None
        if "masks" in found:
            masks = resize_indices(found["masks"].cpu().numpy(), place)
        scores = found["scores"].float().cpu().numpy()
        return Detections(xyxy, found["labels"].cpu().numpy().astype(np.int64), scores, masks)

    def meter(self, labels: Sequence[str], form: Mapping[str, Any]) -> Collected:
        return Collected(labels, masks=bool(form.get("masks")), most=int(form.get("most_objects", 100)))

    def judge(self, meter: Collected, truth: Truth, found: Detections) -> float:
        meter.add(truth.index, found, truth.target)
        return f1(at_least(found, SURE), truth.target)

    def draw(self, meter: Collected, worst: Sequence[Shown], labels: Sequence[str], folder: Path) -> list[Path]:
        from resnets.draw import panels
        from resnets.tasks.detect.draw import framed, precision_recall

        drawings = [precision_recall(meter.curves(), labels, folder / "precision_recall.png")]
        if worst:
            rows = [
                [framed(shown.picture, objects, labels) for objects in (shown.truth, at_least(shown.found, SURE))]
                for shown in worst
            ]
            captions = [f"{shown.name}\nF1 {shown.score:.3f}" for shown in worst]
            title = f"worst first; predictions with a score of {SURE} or more"
            drawings.append(panels.worst(rows, ("truth", "predicted"), captions, labels, folder / "worst.png", title=title))
        return drawings


SURE = 0.5  # the score from which a detection is drawn, and counts for the F1 of a picture


def f1(found: Detections, truth: Boxes) -> float:
    """Of one picture at IoU .5; what is to be ignored counts for nothing. 1 where there is nothing and nothing was found."""
    from torchvision.ops import box_iou

    real = ~truth.ignore
    overlaps = box_iou(torch.from_numpy(found.xyxy).double(), torch.from_numpy(truth.xyxy).double()).numpy()
    overlaps[found.labels[:, None] != truth.labels[None]] = 0
    free, hits, wrong = np.ones(len(truth.labels), bool), 0, 0
    for row in overlaps:  # the surest first
        best = int(np.argmax(np.where(free & real, row, 0))) if free.any() else -1
        if best >= 0 and free[best] and real[best] and row[best] >= 0.5:
            free[best], hits = False, hits + 1
        elif not (row[truth.ignore] >= 0.5).any():
            wrong += 1
    missed = int(real.sum()) - hits
    return 1.0 if not (hits or wrong or missed) else 2 * hits / (2 * hits + wrong + missed)
