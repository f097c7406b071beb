"""Maps alone, without checks: of many images at once, as a page with a thumbnail for each needs them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from resnets import tasks
from resnets.attribution.methods import METHODS, attribute, enlarged, from_0_to_1
from resnets.attribution.seen import AT_ONCE, Evidence, Seen
from resnets.data.transforms import to_input
from resnets.engine.contract import Task
from resnets.engine.values import Explained, Question, Run
from resnets.errors import InputError
from resnets.models.answering import evaluating, run_model
from resnets.models.model import Model
from resnets.verbs.explain_inputs import blank_of

LEAST_POSITIONS = 4  # along each axis of a layer's map that is chosen by itself


class Map(NamedTuple):
    """What is explained of an image, and the map (*size), float32 from 0 to 1, of the size of the input."""

    what: Explained
    values: np.ndarray


def quick_maps(
    network: Model,
    pixels: np.ndarray,
    questions: Sequence[Question] | None = None,
    *,
    outputs: Sequence[Any] | None = None,
    method: str | None = None,
    layer: str | None = None,
) -> list[Map | None]:
    """A map of each image: what `explain` draws of its first answer, without the checks.

    Where answers are sums of outputs (classes, tags, amounts), many images share one pass through the network, whose gradient
    goes back as far as the layer only: this takes little longer than to predict. Boxes and regions go one by one.

    Args:
        pixels: (N, C, *size), as the network's runtime takes them: uint8, fitted but not normalised, or float32, normalised.
        questions: for each image what is asked of it (a class; why it and not another); None: of each its answer.
        outputs: what the network computes for each image, where that is known.
        method, layer: see `explain`; a method with a gradient.

    Returns:
        for each image its map; None where the model answers nothing.

    Raises:
        InputError: for a class, method or layer that is not there.
    """
    network = evaluating(network)
    task, header = tasks.get(network.header.task), network.header
    run, row = functools.partial(run_model, network), METHODS[method or task.map_method]
    name = choose_layer(task, network, layer, pixels.shape[2:]) if row.of_layer else ""
    few = max(1, AT_ONCE // 4 // int(np.prod(pixels.shape[2:])))
    found: list[Map | None] = []
    for start in range(0, len(pixels), few):
        part = pixels[start : start + few]
        said = run(part) if outputs is None else outputs[start : start + few]
        asked = [Question()] * len(part) if questions is None else questions[start : start + few]
        answers = [
            next(iter(task.explained(output, header, question)), None) for output, question in zip(said, asked, strict=True)
        ]
        maps: Sequence[Any]
        if row.batch is not None and all(what is not None and what.weights is not None for what in answers):
            maps = list(from_0_to_1(row.batch(Evidence(network, summed(answers)), as_input(part, network), name)))
        else:
            maps = [
                what
                and attribute(
                    method or task.map_method, seen_of(image, blank_of(image, header.preprocess), what, run, network), name
                )
                for image, what in zip(part, answers, strict=True)
            ]
        found += [
            None if what is None else Map(what, enlarged(values, part.shape[2:]))
            for what, values in zip(answers, maps, strict=True)
        ]
    return found


def summed(answers: Sequence[Any]) -> Any:
    """The numbers (N,) of a batch, each the sum of outputs that explains its image."""

    def numbers(model: Any, x: torch.Tensor) -> torch.Tensor:
        outputs = model(x)
        factors = torch.zeros_like(outputs)
        for row, what in zip(factors, answers, strict=True):
            for index, factor in what.weights.items():
                row[index] = factor
        return (outputs * factors).sum(1)

    return numbers


def as_input(pixels: np.ndarray, network: Any) -> torch.Tensor:
    return to_input(np.ascontiguousarray(pixels), network.preprocess, next(network.parameters()).device)


def seen_of(pixels: np.ndarray, blank: np.ndarray, what: Explained, run: Run, network: Any = None) -> Seen:
    """An image (C, *size) and one of its answers as attribution takes them.

    Args:
        blank: an input that shows nothing; see `Seen`.
        run: what computes the answer; it may be another runtime.
        network: what has gradients; None: nothing has.
    """

    def chance(inputs: np.ndarray) -> np.ndarray:
        return np.array([what.chance(output) for output in run(inputs)])

    if network is None:
        return Seen(pixels=pixels, blank=blank, chance=chance)
    x, evidence = as_input(pixels[None], network), Evidence(network, what.evidence)
    return Seen(pixels=pixels, blank=blank, chance=chance, x=x, evidence=evidence)


def choose_layer(task: Task, network: Model, layer: str | None, size: tuple[int, ...]) -> str:
    """The module that is mapped: the one that is named, or the deepest with enough positions for inputs of `size`.

    The deepest knows most of classes. What lies before a stage with stride is left alone where it can be: of a convolution with
    stride and a kernel of 1, gradients reach every second position only.

    Raises:
        InputError: for a module that is not there, and inputs so small that no stage has 2 positions along an axis.
    """
    known = dict(task.map_layers(network))
    if layer is not None:
        if layer not in dict(network.named_modules()) or not layer:
            raise InputError(f"the network has no layer {layer!r}; use one of: {', '.join(known)}, or a block, as layer2.0")
        return layer
    positions = {name: min(-(-side // stride) for side in size) for name, stride in known.items()}
    for name in reversed(positions):
        if positions[name] >= LEAST_POSITIONS:
            return name
    best = max(positions, key=lambda name: positions[name])
    if positions[best] < 2:
        raise InputError(
            f"an input of {' x '.join(map(str, size))} leaves {positions[best]} position in every stage, which makes no map; "
            "use --method occlusion or integrated_gradients"
        )
    return best
