"""COCO's evaluation by faster-coco-eval: average precision and recall of each class, of boxes or masks.

Crowds match as COCO's do: any number of detections lies in one, by the share of the detection that it covers.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from resnets.tasks.detect.objects import Objects

SIZES = ("", "_small", "_medium", "_large")  # in the order of COCO's area ranges, the first of which is all


def library() -> Any:
    """The module faster_coco_eval, which takes longer to import than most of this package."""
    return importlib.import_module("faster_coco_eval")


def encode(mask: np.ndarray) -> dict[str, Any]:
    """The run-length code of a mask (H, W)."""
    return library().mask.encode(np.asfortranarray(mask, dtype=np.uint8))


def overlaps(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Intersection over union (N, K) of boxes (N, 4) and (K, 4), x0 y0 x1 y1; neither may be none."""
    return np.asarray(library().mask.iou(_xywh(found), _xywh(truth), [0] * len(truth)))


def by_class(pictures: Sequence[tuple[Objects, Objects]], num_classes: int, kind: str, most: int) -> dict[str, np.ndarray]:
    """`map`, `map50`, `map75`, `map_small`, ..., `ar1`, `ar10`, `ar<most>`, `ar_small`, ...: (num_classes,) each.

    NaN where a class has no object (of that size). `kind` is "bbox" or "segm".
    """
    names = ["map", "map50", "map75", *(f"map{size}" for size in SIZES[1:])]
    limits = sorted({1, 10, most} - set(range(most + 1, 11)))
    recalls = [f"ar{limit}" for limit in limits] + [f"ar{size}" for size in SIZES[1:]]
    if not any(len(truth.labels) for _, truth in pictures):
        return {name: np.full(num_classes, np.nan) for name in names + recalls}

    module = library()
    found = module.COCO(_dataset([found for found, _ in pictures], num_classes, kind))
    truth = module.COCO(_dataset([truth for _, truth in pictures], num_classes, kind))
    evaluation = module.COCOeval_faster(truth, found, kind, rle_iou_max_workers=1)
    evaluation.params.maxDets = limits
    evaluation.evaluate()
    evaluation.accumulate()
    # (IoU, recall, class, size, limit) and (IoU, class, size, limit), -1 where there is nothing to find.
    precision, recall = (np.where(a < 0, np.nan, a) for a in (evaluation.eval["precision"], evaluation.eval["recall"]))
    of_all = precision[:, :, :, 0, -1].mean(1)  # (IoU, class)
    return {
        "map": of_all.mean(0),
        "map50": of_all[0],
        "map75": of_all[5],
        **{f"map{size}": precision[:, :, :, place, -1].mean((0, 1)) for place, size in enumerate(SIZES) if size},
        **{f"ar{limit}": recall[:, :, 0, place].mean(0) for place, limit in enumerate(limits)},
        **{f"ar{size}": recall[:, :, place, -1].mean(0) for place, size in enumerate(SIZES) if size},
    }


def _dataset(sides: Sequence[Objects], num_classes: int, kind: str) -> dict[str, Any]:
    """COCO's format, with the areas, on which small, medium and large depend, of the kind that is measured."""
    annotations: list[dict[str, Any]] = []
    images = []
    for image, side in enumerate(sides):
        height, width = side.masks[0]["size"] if side.masks else (0, 0)
        images.append({"id": image, "height": height, "width": width})
        for place, (box, label, score, crowd) in enumerate(
            zip(_xywh(side.xyxy).tolist(), side.labels.tolist(), side.scores.tolist(), side.ignore.tolist(), strict=True)
        ):
            row = {"id": len(annotations) + 1, "image_id": image, "category_id": label, "score": score, "iscrowd": int(crowd)}
            row |= {"bbox": box, "area": box[2] * box[3]}
            if side.masks and kind == "segm":
                row |= {"segmentation": side.masks[place], "area": float(library().mask.area(side.masks[place]))}
            annotations.append(row)
    categories = [{"id": index, "name": str(index)} for index in range(num_classes)]
    return {"images": images, "annotations": annotations, "categories": categories}


def _xywh(xyxy: np.ndarray) -> np.ndarray:
    return np.concatenate([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]], axis=1)
