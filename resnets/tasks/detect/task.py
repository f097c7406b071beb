"""Detection: boxes around objects with a class each, and with masks their pixels (Faster and Mask R-CNN).

In training the network sees the targets, a dict per picture: "size" (2,), its height and width within the batch, and the fields
of `Boxes` as tensors, in pixels of the input. Then its outputs are losses, else a dict per picture of what it found. An answer
is a `Detections`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from resnets.data.targets import Boxes, Detections
from resnets.data.types import Source, Split
from resnets.draw.panels import Panel
from resnets.engine.values import Criterion, Explained, Losses, PublishedAs, Question, ReportTable, Run, Score, Settings
from resnets.errors import InputError
from resnets.models.answering import Wanted
from resnets.models.header import Header
from resnets.models.spec import ResNetSpec
from resnets.tasks import explained
from resnets.tasks.dense.task import Dense, as_array, save_png, shown
from resnets.tasks.detect import points, rows
from resnets.tasks.detect.rows import SURE, at_least, least_score
from resnets.tasks.detect.settings import HEADS, RECIPES, DetectSettings

if TYPE_CHECKING:
    from torch import Tensor, nn

    from resnets.tasks.detect.meter import DetectMeter

LITTLE = 0.05  # mAP at IoU .5, below which a detector is of no use
MOST = 300  # objects of a picture that count; COCO has 100, and a field of cells has more


class Detect(Dense):
    """See `engine.contract.Task`."""

    name = "detect"
    kind = "boxes"
    settings = DetectSettings
    recipes = RECIPES
    published = PublishedAs("object-detection")
    wanted = ("threshold",)
    rows = rows
    scores = (Score("map", "mAP"), Score("map50", "mAP at IoU .5"))
    report_table = ReportTable(rows.REPORT_COLUMNS, rows.FACTS)
    of_classes = tuple(f"head.roi_heads.{part}." for part in ("box_predictor", "mask_predictor.mask_fcn_logits"))
    one_process = True
    outputs = ("xyxy", "labels", "scores")

    # --- the network ---

    def head_config(self, spec: ResNetSpec, recipe: DetectSettings, before: Mapping[str, Any]) -> dict[str, Any]:
        """Widths in proportion to the trunk's: torchvision's 256 and 1024 over ResNet-18 and larger ones. Fewer proposals than
        its 2000 and 1000, and losses on 128 regions of a picture instead of 512, for half of a step went into these."""
        width = min(256, max(64, spec.num_features // 2))
        config = {"form": recipe.head or HEADS[0], "width": width, "region_width": 4 * width, "most_objects": MOST}
        config |= {"proposals": [500, 500], "samples": 128}
        kept = before if recipe.head in (None, before.get("form")) else {}  # anchors of another kind of head are others
        return config | dict(kept) | {"masks": recipe.masks}

    def head(self, trunk: Any, config: Mapping[str, Any]) -> dict[str, nn.Module]:
        from resnets.tasks.detect.head import Detecting, Detection  # torchvision's parts take a second to import

        known = {field.name for field in dataclasses.fields(Detecting)}
        if unknown := config.keys() - known:
            raise InputError(f"a detector has no setting {', '.join(sorted(unknown))}; it has {', '.join(sorted(known))}")
        given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in config.items()}
        return {"head": Detection(trunk.spec, Detecting(**given), trunk.last_stage)}

    def forward(self, model: Any, x: Tensor, targets: Any = None, *, quick: bool = False) -> Any:
        """In training losses, else for each picture xyxy, labels, scores and, with masks and not `quick`, masks."""
        from resnets.tasks.detect.head import look

        if model.training and targets is None:
            raise InputError("a detector in training needs targets; call eval() for what it finds")
        sizes = None if targets is None else [(int(target["size"][0]), int(target["size"][1])) for target in targets]
        model.head.roi_heads.boxes_only = quick
        return look(model, model.head, x, sizes, targets if model.training else None)

    def criterion(self, recipe: DetectSettings, class_counts: np.ndarray) -> Criterion:
        """The sum of the losses of proposals and regions, which the network computes itself."""

        def criterion(outputs: Any, targets: Any) -> Losses:
            return outputs

        return criterion

    def doubt(self, result: Mapping[str, Any], recipe: DetectSettings) -> str:
        if result["map50"] >= LITTLE:
            return ""
        words = f"mAP at IoU .5 is {result['map50']:.1%}, so it finds next to nothing yet; give more --time or --epochs"
        return f"{words}, or make a step cheaper by a smaller --img-size or --stem-stride 2"

    # --- answers ---

    def check_asked(self, header: Header, *, draw: bool, masks: bool) -> None:
        if masks and not header.head.get("masks"):
            raise InputError("--masks: this detector finds boxes and no masks; leave it out, or train one with --masks")

    def infer(self, run: Run, pixels: Any, sizes: Sequence[tuple[int, ...]], header: Header) -> list[Detections]:
        """The objects of each picture, the surest first, in pixels of its own size (H, W)."""
        from resnets.data.geometry import resize_boxes, resize_indices

        answers, fitted = [], (pixels.shape[2], pixels.shape[3])
        for found, (height, width) in zip(run(pixels), sizes, strict=True):
            xyxy = resize_boxes(as_array(found["xyxy"]), (height, width), fitted)
            masks = resize_indices(as_array(found["masks"]), (height, width)) if "masks" in found else None
            labels = as_array(found["labels"]).astype(np.int64)
            answers.append(Detections(xyxy, labels, as_array(found["scores"]), masks))
        return answers

    def meter(self, labels: Sequence[str], config: Mapping[str, Any], *, quick: Criterion | None = None) -> DetectMeter:
        from resnets.tasks.detect.meter import DetectMeter

        return DetectMeter(labels, config, quick=quick is not None)

    def decide(self, meter: DetectMeter, asked: Settings) -> dict[str, Any]:
        return points.decide(meter.collected.pooled(), asked)

    def same(self, before: Detections, after: Detections) -> float:
        """F1 of the objects of one answer beside those of the other, at IoU .5."""
        from resnets.tasks.detect.meter import f1

        return f1(after, Boxes(before.xyxy, before.labels, np.zeros(len(before.labels), bool)))

    def map_layers(self, model: Any) -> dict[str, int]:
        """Of a head that applies the last stage to each region, the stages before it."""
        layers = model.map_layers()
        return layers if model.head.last_level is None else dict(list(layers.items())[:-1])

    def explained(self, output: Mapping[str, np.ndarray], header: Header, question: Question) -> list[Explained]:
        """The surest boxes, each by the log-odds of its class, or by how far its logit is above that of another class."""
        least = least_score(Wanted(threshold=question.threshold, decision=header.decision))
        wanted = output["scores"] >= least
        if question.label is not None:
            wanted &= output["labels"] == explained.index_of(question.label, header.labels)
        other = None if question.against is None else explained.index_of(question.against, header.labels)
        if other is not None:
            if question.label is not None:
                explained.different(explained.index_of(question.label, header.labels), other, header.labels)
            wanted &= output["labels"] != other
        return [
            explained_box(output, number, header.labels, other) for number in np.flatnonzero(wanted)[: question.most].tolist()
        ]

    def draw(self, meter: DetectMeter, split: Split, folder: Path) -> list[Path]:
        from resnets.tasks.detect import draw

        worst = [each._replace(found=at_least(each.found, SURE)) for each in shown(meter.worst, split)]
        return draw.evaluation(meter.collected.curves(), worst, meter.labels, SURE, folder)

    def panel(self, source: Source, picture: np.ndarray, target: Boxes) -> Panel:
        from resnets.tasks.detect import draw

        return draw.framed(picture, target, source.labels)

    def drawn(self, image: Any, answer: Detections, labels: Sequence[str], wanted: Wanted, path: Path) -> Path:
        from resnets.tasks.detect import draw

        return draw.boxes(image, at_least(answer, least_score(wanted)), labels, path)

    def masked(self, image: Any, answer: Detections, labels: Sequence[str], wanted: Wanted, path: Path) -> Path:
        """The numbers of objects in 16 bits, from 1, the surest on top."""
        found = at_least(answer, least_score(wanted))
        assert found.masks is not None, "refused by check_asked"
        numbers = np.zeros(found.masks.shape[1:], np.uint16)
        for number in reversed(range(len(found.masks))):
            numbers[found.masks[number]] = number + 1
        return save_png(numbers, path)


def explained_box(output: Mapping[str, np.ndarray], number: int, labels: Sequence[str], other: int | None = None) -> Explained:
    """The box `number` of what was found in an image.

    Its chance is the score of what is found at that place, times the overlap (Petsiuk et al. 2021, arXiv 2006.03204, equation
    2); against another class, its share of what is found there of both.
    """
    box, label, score = output["xyxy"][number], int(output["labels"][number]), float(output["scores"][number])

    def evidence(model: Any, x: Tensor) -> Tensor:
        from resnets.tasks.detect.head import class_odds

        return class_odds(model, model.head, x, box, label, other)

    def found_of(found: Mapping[str, np.ndarray], index: int) -> float:
        import torch
        from torchvision.ops import box_iou

        own = found["labels"] == index
        overlap = box_iou(torch.as_tensor(found["xyxy"][own]), torch.as_tensor(box[None]))[:, 0].numpy()
        return float((overlap * found["scores"][own]).max(initial=0.0))

    def chance(found: Mapping[str, np.ndarray]) -> float:
        if other is None:
            return found_of(found, label)
        both = found_of(found, label), found_of(found, other)
        return both[0] / sum(both) if any(both) else 0.5

    left, top, right, bottom = (max(0, round(float(side))) for side in box)
    place = (slice(top, max(bottom, top + 1)), slice(left, max(right, left + 1)))
    name = f"{labels[label]} {score:.2f}" if other is None else f"{labels[label]} rather than {labels[other]}"
    return Explained(name, label, evidence, chance, place)
