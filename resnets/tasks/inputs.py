"""How the values of inputs are scaled: by the data's mean and standard deviation, ImageNet's, or those of the weights."""

from __future__ import annotations

import dataclasses
from typing import Any

from resnets.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from resnets.data.types import Source
from resnets.engine.recipe import Recipe


def with_statistics(preprocess: Preprocess, recipe: Recipe, kind: str, source: Source, bad: Any) -> Preprocess:
    """`preprocess` with ImageNet's mean and standard deviation, or those of the training split ("data", or "pixel": a mean for
    each position)."""
    if kind == "imagenet" and preprocess.in_chans == 3:
        return dataclasses.replace(preprocess, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    from resnets.data.statistics import statistics

    return statistics(source.splits["train"], preprocess, bad, per_pixel=kind == "pixel")


def scaled(shape: str, recipe: Recipe, kind: str, preprocess: Preprocess) -> str:
    """`shape`, and how values are scaled, for people."""
    per_pixel = len(preprocess.mean) > preprocess.in_chans
    mean = "a mean for each pixel" if per_pixel else f"mean {','.join(f'{value:.3f}' for value in preprocess.mean)}"
    std = ",".join(f"{value:.3f}" for value in preprocess.std)
    flat = [str(number) for number, value in enumerate(preprocess.std, 1) if value == 1.0 and not per_pixel]
    std += f" (no contrast in channel {', '.join(flat)})" * bool(flat)
    origin = "ImageNet's" if kind == "imagenet" else "of the training split"
    if recipe.weights:
        origin = f"those of the weights ({recipe.weights}), not of this data"
    return f"{shape}, {preprocess.interpolation}; {mean}, standard deviation {std}: {origin}"
