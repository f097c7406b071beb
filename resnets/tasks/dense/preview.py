"""What a detector or a segmenter will see: pictures as they are, and twice as training shows them, with their targets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from resnets.data.batches.dense import DenseSamples
from resnets.data.pictures.images import BadPicture
from resnets.data.types import Source
from resnets.draw.panels import Panel, worst
from resnets.errors import InputError


def preview(
    source: Source,
    samples: DenseSamples,
    panel: Callable[[np.ndarray, Any], Panel],
    path: Path | str,
    *,
    count: int = 6,
    seed: int = 0,
) -> Path:
    """Draw up to `count` training pictures, evenly spread, a row each.

    Args:
        samples: of the training split, augmented.
        panel: (picture, target) -> both in one panel.

    Raises:
        InputError: where no picture can be read.
    """
    train, augment = samples.split, samples.augment
    assert augment is not None
    rows, captions = [], []
    for index in np.unique(np.linspace(0, len(train) - 1, min(count, len(train))).round().astype(int)).tolist():
        try:
            picture, target = train[index]
        except BadPicture:
            continue
        views = [augment(picture, target, seed=seed, epoch=epoch, index=index) for epoch in range(2)]
        shown = [(picture, target), *((view.permute(1, 2, 0).numpy(), changed) for view, changed in views)]
        rows.append([panel(*view) for view in shown])
        captions.append(Path(train.images.name(index)).name)
    if not rows:
        raise InputError(f"{source.name}: no picture can be read; `resnets data check` says why")
    names, settings = ("as it is", "in training", "again"), {"title": source.name, "background": source.background}
    return worst(rows, names, captions, source.labels, path, **settings)
