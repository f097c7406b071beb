"""What a detector or a segmenter will see: pictures as they are, and twice as training shows them, with their targets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resnets.data.dense_loader import Augmentation
from resnets.data.pictures.images import BadPicture
from resnets.data.readers.names import DenseSource
from resnets.data.targets import Boxes
from resnets.draw.paint import paint
from resnets.draw.panels import Panel, worst
from resnets.errors import InputError
from resnets.tasks.detect.draw import framed


def preview(source: DenseSource, augment: Augmentation, path: Path | str, *, count: int = 6, seed: int = 0) -> Path:
    """Draw up to `count` training pictures, evenly spread, a row each.

    Raises:
        InputError: for volumes, which no drawing shows, and where no picture can be read.
    """
    if source.kind == "volumes":
        raise InputError(f"{source.name}: volumes are not drawn; look at them in a viewer, and use `resnets data check`")
    train = source.splits["train"]
    rows, captions = [], []
    for index in np.unique(np.linspace(0, len(train) - 1, min(count, len(train))).round().astype(int)).tolist():
        try:
            picture, target = train[index]
        except BadPicture:
            continue
        views = [augment(picture, target, seed=seed, epoch=epoch, index=index) for epoch in range(2)]
        shown = [(picture, target), *((view.permute(1, 2, 0).numpy(), changed) for view, changed in views)]
        rows.append([panel(*view, source.labels, source.background) for view in shown])
        captions.append(Path(train.images.name(index)).name)
    if not rows:
        raise InputError(f"{source.name}: no picture can be read; `resnets data check` says why")
    names, settings = ("as it is", "in training", "again"), {"title": source.name, "background": source.background}
    return worst(rows, names, captions, source.labels, path, **settings)


def panel(picture: np.ndarray, target: Any, labels: Sequence[str], background: int | None) -> Panel:
    """The picture with its boxes, or painted with its classes."""
    if isinstance(target, Boxes):
        return framed(picture, target, labels)
    return Panel(paint(picture, target, background=background))
