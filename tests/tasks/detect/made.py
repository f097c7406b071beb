"""A small detector with random weights, boxes, and what was found."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch

from resnets.data.preprocess import Preprocess
from resnets.data.targets import Boxes, Detections
from resnets.models import zoo
from resnets.ship import hub
from resnets.tasks.detect.task import Detect

LABELS = ("cat", "dog")
SPEC = zoo.get("resnet20_cifar", depths=(1, 1, 1), width=8, num_classes=2)
CHEAP = {"width": 16, "region_width": 32, "proposals": [60, 30], "samples": 16, "least_score": 0.0}
KINDS = [("pyramid", False), ("pyramid", True), ("c4", False), ("c4", True)]


def model(form="pyramid", masks=False, **more):
    torch.manual_seed(0)
    preprocess = Preprocess(size=(32, 48), resize="keep", mean=(0.5,) * 3, std=(0.25,) * 3)
    settings = {"form": form, "masks": masks} | CHEAP | more
    return hub.create_model(SPEC, task="detect", labels=LABELS, head_config=settings, preprocess=preprocess)


def boxes(*xyxy, labels=None, ignore=None, size=None):
    corners = np.array(xyxy, np.float32).reshape(-1, 4)
    num = len(corners)
    masks = None
    if size:
        masks = np.zeros((num, *size), bool)
        for mask, (x0, y0, x1, y1) in zip(masks, corners.astype(int), strict=True):
            mask[y0:y1, x0:x1] = True
    classes = np.zeros(num, np.int64) if labels is None else np.array(labels, np.int64)
    return Boxes(corners, classes, np.zeros(num, bool) if ignore is None else np.array(ignore, bool), masks)


def found(*xyxy, labels, scores):
    return Detections(np.array(xyxy, np.float32).reshape(-1, 4), np.array(labels, np.int64), np.array(scores, np.float32))


def grid(num, within, **more):
    """`num` boxes of 4 x 4 pixels, side by side."""
    across = within[1] // 5
    corners = [(5 * (n % across), 5 * (n // across), 5 * (n % across) + 4, 5 * (n // across) + 4) for n in range(num)]
    assert corners[-1][3] <= within[0]
    return boxes(*corners, labels=np.arange(num) % 2, **more)


@contextmanager
def few_regions():
    """Detectors look at few regions of a picture: one that knows nothing finds all that it may, everywhere."""
    config, less = Detect.head_config, {"samples": 16, "proposals": [60, 30], "most_objects": 8}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Detect, "head_config", lambda *given: config(*given) | less)
        yield
