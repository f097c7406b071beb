"""Shared by the items that measure inside networks (fig7, gradients): the layers, the input images, and verdicts over seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from resnets.data.batches.image_level import CPU, PictureSamples
from resnets.data.loader import Loader
from resnets.data.preprocess import Preprocess
from resnets.data.transforms import to_input
from resnets.data.types import Batch, Split
from resnets.data.workers import BadImages
from resnets.errors import InputError
from resnets.models.model import Model
from resnets.models.nn.layers import CONVS
from resnets.models.nn.trunk import Trunk
from resnets.models.spec import ResNetSpec
from resnets.paper.result import Holds
from resnets.verbs import evaluate

Runs = Mapping[tuple[str, int], Path]  # run directories by the network's name and the seed
MIN_SEEDS = 2  # with fewer a verdict is inconclusive: it may be chance


class Layer(NamedTuple):
    """A convolution, and the module, mostly its norm, whose output is the layer's response (He et al. 2015, section 4.2)."""

    name: str
    conv: nn.Module
    response: nn.Module


def layers(model: Trunk) -> tuple[Layer, ...]:
    """The convolutions of the stem (of several the last) and of the residual branches, in order, without projections.

    Where no norm follows a convolution (with order "pre", and without norms), the response is its own output: the input of the
    next nonlinearity or addition.
    """
    return tuple(
        Layer(name, conv, norm if model.spec.order == "post" and model.spec.norm == "batch" else conv)
        for name, conv, norm in _pairs(model)
    )


def _pairs(model: Trunk) -> Iterator[tuple[str, nn.Module, nn.Module]]:
    stem = [module for module in model.conv1.modules() if isinstance(module, CONVS)]
    yield "conv1", stem[-1], getattr(model, "bn1", stem[-1])
    for number, stage in enumerate(model.stages, start=1):
        blocks: Any = stage
        for position, block in enumerate(blocks):
            if not hasattr(block, "layers"):
                raise InputError(f"{model.spec.name}: the convolutions of its blocks ({model.spec.block}) are not known here")
            for index, (conv, norm) in enumerate(block.layers(), start=1):
                yield f"layer{number}.{position}.conv{index}", conv, norm


def title(spec: ResNetSpec) -> str:
    """The network's name as the papers write it: "plain-20", "ResNet-56", "ResNet-56 without norms"."""
    family = "plain" if spec.shortcut == "none" else "ResNet" if spec.order == "post" else "pre-ResNet"
    return f"{family}-{spec.num_layers}" + " without norms" * (spec.norm == "none")


def is_plain(spec: ResNetSpec) -> bool:
    """Whether the network has no shortcuts."""
    return spec.shortcut == "none"


def pictures(split: Split, preprocess: Preprocess, num: int) -> Batch:
    """`num` pictures of a split as one batch, normalised, evenly spread over it, as they are in evaluation: nothing is
    augmented."""
    positions = np.unique(np.linspace(0, len(split) - 1, num).round().astype(int))
    chosen = split.subset(positions)
    samples = PictureSamples(split=chosen, preprocess=preprocess, num_classes=int(split.targets.values.max()) + 1)
    batch = next(Loader(samples=samples, batch_size=len(positions), bad=BadImages.allowing(None, chosen)).epoch(0))
    if not len(batch.images):
        raise InputError("no picture of the split can be read; `resnets data check` says why")
    return batch._replace(images=to_input(batch.images, preprocess, CPU))


def as_trained(model: Model, data: str, data_dir: str | Path | None, split: str, num: int) -> Batch:
    """Pictures of the split that a model was trained on ("train") or validated on ("val"), as it takes them."""
    source = model.task.open_for(model.header, data, {}, data_dir=data_dir)
    return pictures(source.splits[evaluate.pick(source, split)], model.preprocess, num)


def agreed(cases: Mapping[str, Sequence[bool]]) -> Holds:
    """A verdict from whether the claim is true in each case (such as a network), seed by seed.

    It holds if it is true for all seeds of all cases, and fails if in some case it is true for no seed. Otherwise, and if a
    case has a single seed, it is inconclusive.
    """
    if not cases or min(map(len, cases.values())) < MIN_SEEDS:
        return "inconclusive"
    if all(map(all, cases.values())):
        return "holds"
    return "inconclusive" if all(map(any, cases.values())) else "fails"


def mean_and_range(values: Sequence[float], digits: int = 3) -> str:
    """The mean over seeds and, of several, minimum and maximum: "0.51 (0.48 to 0.55)"."""
    mean = f"{float(np.mean(values)):.{digits}g}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.{digits}g} to {max(values):.{digits}g})"
