"""Item fig7: standard deviations of layer responses in trained networks (He et al. 2015, section 4.2, Figure 7).

The response of a 3x3 layer is its output after batch norm and before the nonlinearity or the addition. The standard deviation
is over images, positions and channels together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from resnets.draw.style import blank, styled, write
from resnets.models.model import Model
from resnets.models.spec import ResNetSpec
from resnets.paper import inside
from resnets.paper.inside import Layer, Runs
from resnets.paper.result import Drawing, Result, Table, Verdict
from resnets.ship import hub

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ITEM, FILE = "fig7", "fig7.png"
NUM_IMAGES, BATCH_SIZE = 500, 100
# Colours of Okabe and Ito, warm for plain networks and cold for residual ones; the shallowest network has the first.
PLAIN, RESIDUAL = ("#E69F00", "#D55E00", "#8B2E00"), ("#56B4E9", "#0072B2", "#222222")


class LayerStds(NamedTuple):
    """A network, its 3x3 layers, and the standard deviations of their responses (seeds, layers)."""

    spec: ResNetSpec
    layers: tuple[str, ...]
    stds: np.ndarray

    @property
    def medians(self) -> np.ndarray:
        """(seeds,) the medians over the layers."""
        return np.median(self.stds, axis=1)


def responses(model: Model, images: Tensor) -> tuple[tuple[str, float], ...]:
    """The standard deviations of the responses of all 3x3 layers, in evaluation mode; the model does not change.

    Args:
        model: the network.
        images: (N, C, H, W), normalised.

    Returns:
        (name of the layer, standard deviation over images, positions and channels), in the order of the layers.
    """
    chosen = [layer for layer in inside.layers(model) if set(layer.conv.kernel_size) == {3}]  # type: ignore[arg-type]
    sums = torch.zeros(len(chosen), 3, dtype=torch.float64)  # values, their sum, the sum of their squares
    training = model.training
    model.eval()
    try:
        with torch.inference_mode(), _summing(chosen, sums):
            for part in images.split(BATCH_SIZE):
                model(part.to(next(model.parameters()).device))
    finally:
        model.train(training)
    means = sums[:, 1:] / sums[:, :1]
    stds = (means[:, 1] - means[:, 0] ** 2).clamp(min=0).sqrt()
    return tuple((layer.name, float(value)) for layer, value in zip(chosen, stds, strict=True))


@contextmanager
def _summing(chosen: list[Layer], sums: Tensor) -> Iterator[None]:
    """Inside, forward passes add each layer's response to `sums` (layers, 3). A norm with a hook is never fused with the
    operations after it; its output is read in the hook, because a ReLU may overwrite it."""

    def adding(index: int) -> Any:
        def add(module: Any, inputs: Any, output: Tensor) -> None:
            values = output.double()
            sums[index] += torch.tensor([values.numel(), float(values.sum()), float(values.square().sum())])

        return add

    handles = [layer.response.register_forward_hook(adding(index)) for index, layer in enumerate(chosen)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def measure(
    runs: Runs,
    out: Path,
    *,
    data: str = "cifar10",
    data_dir: str | Path | None = None,
    scale: str = "full",
    num_images: int = NUM_IMAGES,
) -> Result:
    """The item fig7, from finished runs.

    Args:
        runs: run directories of plain and residual networks (Figure 7: depths 20 and 56, and residual 110; or others), by name
            and seed.
        out: the folder for the drawing.
        data, data_dir: what they were trained on.
        scale: the name of their scale.
        num_images: images of the validation split over which standard deviations are taken.
    """
    found = _measured(runs, data, data_dir, num_images)
    drawing = write(draw(found), out / FILE)
    return Result(
        item=ITEM,
        scale=scale,
        tables=(_table(found),),
        verdicts=(_beside_plain(found), _by_depth(found)),
        drawings=(Drawing(file=drawing.name, says=_sentence(found)),),
        deviations=(
            f"Standard deviations are over the values of {num_images} validation images, all positions and all channels "
            "together; the paper does not say over which images, nor whether channels are taken together.",
            "Batch norm uses its running statistics, as in evaluation.",
        ),
    )


def _measured(runs: Runs, data: str, data_dir: str | Path | None, num_images: int) -> list[LayerStds]:
    """The standard deviations of each network: plain networks first, each family from shallow to deep."""
    stds: dict[str, list[tuple[float, ...]]] = {}
    about: dict[str, tuple[ResNetSpec, tuple[str, ...]]] = {}
    for (name, _), path in runs.items():
        model = hub.load(path)
        batch = inside.as_trained(model, data, data_dir, "val", num_images)
        layers, values = zip(*responses(model, batch.images), strict=True)
        about[name] = model.spec, layers
        stds.setdefault(name, []).append(values)
    found = [LayerStds(*about[name], np.array(values)) for name, values in stds.items()]
    return sorted(found, key=lambda one: (not inside.is_plain(one.spec), one.spec.num_layers))


def _table(found: list[LayerStds]) -> Table:
    rows = tuple(
        (
            inside.title(one.spec), len(one.stds), len(one.layers), inside.mean_and_range(one.medians.tolist()),
            inside.mean_and_range(one.stds.mean(axis=1).tolist()), inside.mean_and_range(one.stds.max(axis=1).tolist()),
        )
        for one in found
    )  # fmt: skip
    head = ("network", "seeds", "3x3 layers", "median", "mean", "largest")
    return Table(title="Standard deviations of layer responses; over seeds the mean and the range", head=head, rows=rows)


def _beside_plain(found: list[LayerStds]) -> Verdict:
    """The verdict on residual against plain networks of the same depth, seed by seed."""
    plain = {one.spec.num_layers: one for one in found if inside.is_plain(one.spec)}
    pairs = [(plain[s.spec.num_layers], s) for s in found if not inside.is_plain(s.spec) and s.spec.num_layers in plain]
    cases = {
        inside.title(ours.spec): [b < a for a, b in zip(theirs.medians, ours.medians, strict=False)] for theirs, ours in pairs
    }
    words = [
        f"{inside.title(ours.spec)} {inside.mean_and_range(ours.medians.tolist())}, {inside.title(theirs.spec)} "
        f"{inside.mean_and_range(theirs.medians.tolist())}; smaller in {_share_smaller(theirs, ours):.0%} of the layers"
        for theirs, ours in pairs
    ]
    return Verdict(
        claim="The responses of residual networks are generally smaller than those of plain ones (section 4.2).",
        holds=inside.agreed(cases),
        because=f"Medians over the layers: {'. '.join(words)}." if words else "No plain and residual network of one depth.",
    )


def _share_smaller(plain: LayerStds, residual: LayerStds) -> float:
    """The fraction of the layers in which the residual network has the smaller mean over seeds."""
    return float((residual.stds.mean(axis=0) < plain.stds.mean(axis=0)).mean())


def _by_depth(found: list[LayerStds]) -> Verdict:
    """The verdict on residual networks of different depths, seed by seed."""
    residual = [one for one in found if not inside.is_plain(one.spec)]
    cases = {
        inside.title(deep.spec): [b < a for a, b in zip(shallow.medians, deep.medians, strict=False)]
        for shallow, deep in pairwise(residual)
    }
    words = ", ".join(f"{inside.title(one.spec)} {inside.mean_and_range(one.medians.tolist())}" for one in residual)
    return Verdict(
        claim="The deeper a residual network, the smaller its responses (section 4.2).",
        holds=inside.agreed(cases),
        because=f"Medians over the layers: {words}." if cases else "There are no two residual networks to compare.",
    )


def _sentence(found: list[LayerStds]) -> str:
    largest = max(len(one.stds) for one in found)
    seeds = f"means of up to {largest} seeds, with their range" if largest > 1 else "one seed"
    return (
        "Standard deviations of the responses of 3x3 layers, after batch norm and before the nonlinearity or the addition, in "
        f"the order of the layers (above) and by size (below); {seeds}. Plain networks in warm colours, dashed."
    )


@styled
def draw(found: list[LayerStds]) -> Figure:
    """As Figure 7: standard deviations in the order of the layers (above), and from the largest to the smallest (below)."""
    from matplotlib.ticker import MaxNLocator

    figure = blank(8.6, 6.4)
    ordered, sorted_ = figure.subplots(2, 1)
    colours = _colours(found)
    for one in found:
        name, linestyle = inside.title(one.spec), "--" if inside.is_plain(one.spec) else "-"
        _line(ordered, one.stds, name, colours[name], linestyle)
        _line(sorted_, -np.sort(-one.stds, axis=1), name, colours[name], linestyle)
    for axes, words in ((ordered, "in their order"), (sorted_, "from the largest to the smallest")):
        axes.set_title(f"standard deviations of layer responses, {words}")
        axes.set_xlabel("layer")
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.set_ylim(bottom=0)
        axes.set_xlim(0, 1.02 * max(len(one.layers) for one in found))
        axes.grid(axis="y")
    ordered.legend(loc="upper right", frameon=False, ncols=2)  # names at the ends of the lines would overlap
    return figure


def _colours(found: list[LayerStds]) -> Mapping[str, str]:
    names = {plain: [inside.title(s.spec) for s in found if inside.is_plain(s.spec) == plain] for plain in (True, False)}
    families = ((names[True], PLAIN), (names[False], RESIDUAL))
    return {name: colours[min(index, len(colours) - 1)] for names, colours in families for index, name in enumerate(names)}


def _line(axes: Axes, stds: np.ndarray, name: str, colour: str, linestyle: str) -> None:
    """Plot the mean over seeds of `stds` (seeds, layers), and the range as a band."""
    layer, mean = np.arange(1, stds.shape[1] + 1), stds.mean(axis=0)
    axes.plot(layer, mean, label=name, color=colour, linestyle=linestyle)
    if len(stds) > 1:
        axes.fill_between(layer, stds.min(axis=0), stds.max(axis=0), color=colour, alpha=0.15, linewidth=0)
