"""What the network will see of series, drawn before training: as they are evaluated, and beneath each as training shows it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resnets.data.loader import Loader
from resnets.data.transforms import normalise_series
from resnets.data.types import Source
from resnets.data.workers import BadImages
from resnets.draw.gallery import gallery
from resnets.draw.lines import SHOWN
from resnets.errors import InputError
from resnets.tasks.image_level.preview import VIEWS, stratified

COUNT, COLUMNS = 24, 6


def preview(source: Source, samples: Any, captions: Sequence[str], path: Path | str, *, seed: int = 0) -> Path:
    """Draw up to `COUNT` training series, as many of each class as can be, normalised; see `preview.preview`."""
    train, augmented = samples.split, samples.augment is not None and any(dataclasses.astuple(samples.augment))
    chosen = stratified(train.targets.codes(), COUNT // 2 if augmented else COUNT, seed)
    sample = train.subset(chosen)

    def view(augment: Any, epoch: int = 0) -> dict[int, np.ndarray]:
        """The readable series of the sample by their positions."""
        some = dataclasses.replace(samples, split=sample, augment=augment, balance=False, repeats=1)
        (batch,) = Loader(samples=some, batch_size=len(chosen), bad=BadImages(len(chosen))).epoch(epoch)
        if not len(batch.indices):
            raise InputError(f"{source.name}: none of {len(chosen)} series can be read; `resnets data check` says why")
        x = batch.images if augment is not None else normalise_series(batch.images, samples.preprocess)
        return dict(zip(batch.indices.tolist(), x.numpy(), strict=True))

    views = [view(None)]
    (length,), words = samples.preprocess.size, ""
    if augmented:
        unmixed = dataclasses.replace(samples.augment, mixup=0.0)
        views += [view(unmixed, epoch) for epoch in range(VIEWS)]
        words = "; beneath in training"
    positions = sorted(views[0])
    columns = min(len(positions), COLUMNS)
    drawn, beneath = [], []
    for start in range(0, len(positions) - columns + 1, columns):
        row = positions[start : start + columns]
        drawn += [each[position] for each in views for position in row]
        beneath += [captions[chosen[position]] for position in row]
        for epoch in range(1, len(views)):
            beneath += [f"training, epoch {epoch}"] + [""] * (columns - 1)
    num = samples.preprocess.in_chans
    channels = f"{num} channels" + f", of which {SHOWN} are drawn" * (num > SHOWN) if num > 1 else "a channel"
    title = f"{source.name}: {length:,} values in {channels}, normalised, as evaluated{words}"
    return gallery(drawn, beneath, path, columns=columns, title=title)
