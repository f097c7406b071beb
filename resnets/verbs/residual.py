"""What the residual blocks of a trained network add: the norms of F(x) beside x, and the score without a block or with two
neighbours exchanged (Veit et al. 2016, arXiv 1605.06431); its first layer; its feature maps.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from resnets.attribution import blocks
from resnets.data.types import Source
from resnets.draw import residual as draw
from resnets.errors import InputError
from resnets.models.model import Model
from resnets.ship.sessions import open_session
from resnets.verbs import evaluate
from resnets.verbs.explain_inputs import some


def measure(
    network: Model,
    source: Source,
    split: str,
    *,
    out: Path | None = None,
    num: int = 256,
    say: Callable[[str], None] | None = None,
    progress: Callable[[float, int], None] = lambda done, num: None,
) -> dict[str, Any]:
    """The blocks of a network, on up to `num` images of a split; with `out`, drawn. `progress` is called with the images so far
    and all, those of each score.

    Returns:
        {"score": the task's first figure, "name": its name, "num_images", "blocks": [{"block", "changes_shape", "added": mean
        of the norm of F(x) by that of x, "without": the score without it}, ...], "exchanged": [{"blocks", "score"}, ...]}.

    Raises:
        InputError: for networks without shortcuts.
    """
    places = blocks.places(network)
    if not places:
        raise InputError(
            f"{network.spec.name} has no shortcuts: without a block there is no way through it; leave out --blocks"
        )
    part = dataclasses.replace(source, splits={split: source.splits[split].subset(some(source, split, num))})

    pairs, num_images = blocks.pairs(network), len(part.splits[split])
    done = itertools.count(1)

    def score() -> float:
        judged = evaluate.judge(open_session(network), part, split, workers=0)
        sample = judged.meter.sample()
        progress(next(done) * num_images, (1 + len(places) + len(pairs)) * num_images)
        return round(float(sample.figure(np.arange(len(sample.positions)))), 4)

    if say is not None:
        say(f"blocks   {len(places)} left out and {len(pairs)} pairs exchanged, one at a time, on {num_images} images")
    with blocks.norms(network) as found:
        whole = score()
    rows = []
    for place in places:
        with blocks.without(place):
            added = float(np.mean([f / max(x, 1e-12) for f, x in found[place.name]]))
            rows.append(
                {"block": place.name, "changes_shape": place.changes_shape, "added": round(added, 4), "without": score()}
            )
    exchanged = []
    for one, other in pairs:
        with blocks.exchanged(one, other):
            exchanged.append({"blocks": [one.name, other.name], "score": score()})
    result = {
        "name": network.task.scores[0].words,
        "score": whole,
        "num_images": num_images,
        "blocks": rows,
        "exchanged": exchanged,
    }
    if out is not None:
        draw.blocks(result, out / "blocks.png")
        pictures(network, part, split, out)
    return result


def pictures(network: Model, source: Source, split: str, out: Path) -> None:
    """Draw the first layer, and the feature maps of one image, where inputs are pictures."""
    from resnets.data.transforms import to_input

    if network.spec.dims != 2:
        return
    draw.filters(*first_layer(network), out / "filters.png")
    samples = network.task.samples(source.splits[split], network.preprocess, network.spec.num_classes)
    batch = samples.finish(*_first(samples))
    x = to_input(batch.images[:1], network.preprocess, next(network.parameters()).device)
    with torch.inference_mode():
        levels = {name: values[0].float().cpu().numpy() for name, values in network.features(x).items()}
    draw.stages(batch.images[0].numpy().transpose(1, 2, 0), levels, out / "stages.png")


def _first(samples: Any) -> tuple[Any, Any]:
    """The first image that can be read, as the samples finish a batch."""
    from resnets.data.types import Part

    if samples.in_memory:
        return samples.gather(0, 0, np.arange(1)), Part(0, 0)
    reader, collate = samples.reader(1), samples.collate()
    reads = (collate([reader[(0, index, index)]]) for index in range(len(samples)))
    return next(read for read in reads if len(read.pixels)), Part(0, 0)


def first_layer(network: Any) -> tuple[np.ndarray, np.ndarray]:
    """The filters of the first convolution (K, C, h, w), and their greatest response to an edge at each of 8 angles (K, 8).

    An edge is light on one side and dark on the other, alike in all channels, and lies somewhere in the filter; it has the
    filter's own size, a mean of 0 and a norm of 1, so that a filter that is itself an edge responds most to its own angle.
    """
    conv = next(module for module in network.modules() if isinstance(module, torch.nn.Conv2d))
    weight = conv.weight.detach().float().cpu().numpy()
    side = weight.shape[-1]
    middle = np.arange(side) - (side - 1) / 2
    down, across = np.meshgrid(middle, middle, indexing="ij")
    responses = []
    for angle in np.arange(8) * np.pi / 8:
        lies = across * np.cos(angle) + down * np.sin(angle)
        edges = np.array([(lies - at).clip(-0.5, 0.5) for at in np.linspace(-side / 2, side / 2, 2 * side + 1)[1:-1]])
        edges -= edges.mean((1, 2), keepdims=True)
        edges /= np.linalg.norm(edges, axis=(1, 2), keepdims=True).clip(1e-12)
        responses.append(np.abs(np.einsum("khw,ehw->ke", weight.sum(1), edges)).max(1))
    return weight, np.array(responses).T
