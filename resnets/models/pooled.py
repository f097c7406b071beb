"""The trunk of a model alone, whose outputs are its features, pooled over space."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import Tensor, nn

from resnets.data.preprocess import Preprocess
from resnets.errors import InputError
from resnets.models.header import Header
from resnets.models.model import Model
from resnets.models.nn.heads import GlobalPool
from resnets.models.nn.trunk import Trunk


class Pooled(nn.Module):
    """x (N, in_chans, *spatial), normalised -> the mean of a level over space (N, channels of the level).

    It shares the weights, and the way from images to inputs, of `model`, whatever that is for. Of the last level it is what
    the classifier of He et al. (2015) reads: the penultimate layer.

    Args:
        model: one of this package's networks.
        stage: the name of the level, such as "c4"; None: the last.

    Raises:
        InputError: for a level that the network does not have, and for networks of other libraries.
    """

    def __init__(self, model: Model, stage: str | None = None) -> None:
        super().__init__()
        if not isinstance(model, Trunk):
            raise InputError("another library's network has no stages that are known here; give a network of this package")
        names = [level.name for level in model.levels]
        if stage is not None and stage not in names:
            raise InputError(f"stage={str(stage)[:40]!r}: {model.spec.name} has {', '.join(names)}; give one of these")
        self.model, self.stage, self.pool = model, stage or names[-1], GlobalPool()

    @property
    def preprocess(self) -> Preprocess:
        return self.model.preprocess

    @property
    def spec(self) -> Any:
        return self.model.spec

    @property
    def header(self) -> Header:
        """The model's, without classes: so a file says that its outputs are features, and of which stage."""
        spec = dataclasses.replace(self.spec, num_classes=0)
        return dataclasses.replace(self.model.header, spec=spec, labels=(), head={"stage": self.stage}, decision={})

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.model.features(x, last=self.stage))
