"""What the network will see of series and volumes, drawn before training: as evaluated, and beneath each as in training."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resnets.data.batches.fitted import FittedSamples
from resnets.data.loader import Loader
from resnets.data.types import KINDS, Source
from resnets.data.workers import BadImages
from resnets.draw.gallery import gallery
from resnets.errors import InputError
from resnets.tasks.image_level.preview import VIEWS, stratified

COUNT, COLUMNS = 24, 6


def preview(
    source: Source, samples: FittedSamples, captions: Sequence[str], path: Path | str, words: str, *, seed: int = 0
) -> Path:
    """Draw up to `COUNT` training images, as many of each class as can be, normalised; see `preview.preview`.

    Args:
        words: what is drawn of each, for the title.
    """
    train, own = samples.split, samples.augment
    augmented = own is not None and own != type(own)()
    chosen = stratified(train.targets.codes(), COUNT // 2 if augmented else COUNT, seed)
    sample = train.subset(chosen)

    def view(augment: Any, epoch: int = 0) -> dict[int, np.ndarray]:
        """The readable images of the sample by their positions."""
        some = dataclasses.replace(samples, split=sample, augment=augment, balance=False, repeats=1)
        (batch,) = Loader(samples=some, batch_size=len(chosen), bad=BadImages(len(chosen))).epoch(epoch)
        if not len(batch.indices):
            raise InputError(
                f"{source.name}: none of {len(chosen)} {KINDS[source.kind].images} can be read; `resnets data check` says why"
            )
        x = batch.images if augment is not None else samples.normalised(batch.images)
        return dict(zip(batch.indices.tolist(), x.numpy(), strict=True))

    views, beneath_each = [view(None)], ""
    if augmented:
        unmixed = dataclasses.replace(own, mixup=0.0)  # type: ignore[type-var]
        views += [view(unmixed, epoch) for epoch in range(VIEWS)]
        beneath_each = "; beneath in training"
    positions = sorted(views[0])
    columns = min(len(positions), COLUMNS)
    drawn, beneath = [], []
    for start in range(0, len(positions) - columns + 1, columns):
        row = positions[start : start + columns]
        drawn += [each[position] for each in views for position in row]
        beneath += [captions[chosen[position]] for position in row]
        for epoch in range(1, len(views)):
            beneath += [f"training, epoch {epoch}"] + [""] * (columns - 1)
    title = f"{source.name}: {words}, normalised, as evaluated{beneath_each}"
    return gallery(drawn, beneath, path, columns=columns, title=title)
