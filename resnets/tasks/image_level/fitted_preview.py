"""What the network will see of series and volumes, drawn before training: as evaluated, and beneath each as in training."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from resnets.data.batches.fitted import FittedAugment, FittedSamples
from resnets.data.types import Source
from resnets.tasks.image_level.preview import VIEWS, View, in_rows, only_batch, stratified

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

    def view(augment: FittedAugment | None, epoch: int = 0) -> View:
        some = dataclasses.replace(samples, split=sample, augment=augment, balance=False, repeats=1)
        positions, x = only_batch(source, some, epoch)
        return dict(zip(positions, (x if augment is not None else samples.normalised(x)).numpy(), strict=True))

    views, beneath = [view(None)], ""
    if augmented:
        assert own is not None
        unmixed = dataclasses.replace(own, mixup=0.0)
        views += [view(unmixed, epoch) for epoch in range(VIEWS)]
        beneath = "; beneath in training"
    title = f"{source.name}: {words}, normalised, as evaluated{beneath}"
    shown = [captions[place] for place in chosen]
    return in_rows(views, shown, path, columns=min(len(views[0]), COLUMNS), title=title)
