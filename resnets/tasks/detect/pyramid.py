"""A feature pyramid over the trunk's levels (arXiv 1612.03144): torchvision's, sized by what the spec states."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn
from torchvision.ops import FeaturePyramidNetwork

from resnets.errors import InputError
from resnets.models.nn.layers import Features
from resnets.models.spec import Level, ResNetSpec


class Pyramid(nn.Module):
    """Levels c2, c3, ... -> p2, p3, ..., all of `width` channels, and one more at half the size of the last.

    `levels` states their names, channels and strides beforehand.
    """

    def __init__(self, spec: ResNetSpec, width: int = 256) -> None:
        super().__init__()
        if spec.dims != 2:
            raise InputError(f"dims={spec.dims}: the feature pyramid is for pictures, dims=2")
        below = spec.levels[1:]
        self.levels = tuple(Level(f"p{number}", width, level.stride) for number, level in enumerate(below, start=2))
        self.levels += (Level(f"p{len(below) + 2}", width, 2 * below[-1].stride),)
        self.read = [level.name for level in below]
        self.layers = FeaturePyramidNetwork([level.channels for level in below], width)

    def forward(self, features: Features) -> Features:
        maps = list(self.layers({name: features[name] for name in self.read}).values())
        maps.append(F.max_pool2d(maps[-1], 1, 2))
        return {level.name: x for level, x in zip(self.levels, maps, strict=True)}
