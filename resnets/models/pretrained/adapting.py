"""Weights adapted to another number of input channels or of spatial axes, with a note for every tensor that changes."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from resnets.data.preprocess import Preprocess
from resnets.errors import InputError
from resnets.models.spec import ResNetSpec

STEMS = ("conv1.weight", "conv1.0.weight")


def adapted(tensors: dict[str, Tensor], own: ResNetSpec, wanted: ResNetSpec) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors of the network `own`, adapted to the input channels and spatial axes of `wanted`.

    Returns:
        All tensors, and for each changed one, by name, a description of the change.

    Raises:
        InputError: if the numbers of axes differ and that of `own` is not 2.
    """
    if own.dims not in (wanted.dims, 2):
        raise InputError(
            f"weights with {own.dims} spatial axes do not fit a network with {wanted.dims}; only those with 2 can be adapted"
        )
    found, said = dict(tensors), {}
    for name, tensor in tensors.items():
        words = []
        if name in STEMS and own.in_chans != wanted.in_chans:
            tensor = channels(tensor, wanted.in_chans)
            how = "by their sum" if wanted.in_chans < own.in_chans else "repeated, and scaled"
            words.append(f"{own.in_chans} channels to {wanted.in_chans} {how}")
        if tensor.ndim == 4 and own.dims != wanted.dims:
            tensor = axes(tensor, wanted.dims)
            words.append("2 axes to 1 by the sum over rows" if wanted.dims == 1 else "2 axes to 3, repeated over depth")
        if words:
            found[name], said[name] = tensor, ", ".join(words)
    return found, said


def channels(weight: Tensor, wanted: int) -> Tensor:
    """The stem's weights (K, C, *kernel) -> (K, wanted, *kernel), with the same sum over channels.

    With fewer channels, channel i is the sum of the old channels i, i + wanted, ...; with more, the old channels are
    repeated in turn, and divided by the number of repetitions.
    """
    num = weight.shape[1]
    if wanted < num:
        return torch.stack([weight[:, start::wanted].sum(1) for start in range(wanted)], 1)
    turns = torch.arange(wanted) % num
    return weight[:, turns] / turns.bincount()[turns].view(1, -1, *[1] * (weight.ndim - 2))


def axes(weight: Tensor, dims: int) -> Tensor:
    """A 2-D kernel (K, C, h, w) as 1-D (K, C, w), summed over rows, or as 3-D (K, C, h, h, w), repeated over depth, over h.

    The 3-D form is that of I3D (arXiv 1705.07750).
    """
    if dims == 1:
        return weight.sum(2)
    depth = weight.shape[2]
    return weight[:, :, None].repeat(1, 1, depth, 1, 1) / depth


def rule_for(rule: Preprocess, in_chans: int) -> Preprocess:
    """Preprocessing for another number of channels: one channel gets the average of mean and std, more repeat them in turn."""
    num = rule.in_chans
    if num == in_chans:
        return rule
    length = len(rule.mean) // num  # more than one if the mean is per pixel
    planes = [rule.mean[start * length : (start + 1) * length] for start in range(num)]
    if in_chans == 1:
        mean = tuple(math.fsum(values) / num for values in zip(*planes, strict=True))
        return dataclasses.replace(rule, mean=mean, std=(math.fsum(rule.std) / num,))
    turns = [number % num for number in range(in_chans)]
    mean = tuple(value for turn in turns for value in planes[turn])
    return dataclasses.replace(rule, mean=mean, std=tuple(rule.std[turn] for turn in turns))
