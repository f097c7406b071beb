"""Item fig7: how far each layer's response spreads in trained networks (He et al. 2015, section 4.2, Figure 7).

The response of a 3x3 layer is its output after batch norm and before the nonlinearity or the addition. Its spread is the
standard deviation over pictures, positions and channels together.
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
# Shallow networks first; Okabe and Ito's colours, warm for plain networks, cold for residual ones.
PLAIN, RESIDUAL = ("#E69F00", "#D55E00", "#8B2E00"), ("#56B4E9", "#0072B2", "#222222")


class Spread(NamedTuple):
    """A network's layers and their standard deviations (seeds, layers)."""

    spec: ResNetSpec
    layers: tuple[str, ...]
    stds: np.ndarray

    @property
    def medians(self) -> np.ndarray:
        """Over the layers, for each seed."""
        return np.median(self.stds, axis=1)


def responses(model: Model, images: Tensor) -> tuple[tuple[str, float], ...]:
    """The standard deviation of each 3x3 layer's response over `images` (N, C, H, W), normalised: (layer, deviation) in the
    order of the layers. In evaluation mode; the model is left as it was."""
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
    deviations = (means[:, 1] - means[:, 0] ** 2).clamp(min=0).sqrt()
    return tuple((layer.name, float(value)) for layer, value in zip(chosen, deviations, strict=True))


@contextmanager
def _summing(chosen: list[Layer], sums: Tensor) -> Iterator[None]:
    """Inside, what goes through the network adds up in `sums`. A norm that is hooked computes alone, never fused with what
    follows; its output is read at once, for the ReLU behind it may write over it."""

    def adding(place: int) -> Any:
        def add(module: Any, inputs: Any, output: Tensor) -> None:
            values = output.double()
            sums[place] += torch.tensor([values.numel(), float(values.sum()), float(values.square().sum())])

        return add

    handles = [layer.response.register_forward_hook(adding(place)) for place, layer in enumerate(chosen)]
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
    """The item, from finished runs.

    Args:
        runs: of plain and residual networks (Figure 7: depths 20 and 56, and residual 110; or others), by name and seed.
        out: the folder to draw into.
        data: what they were trained on; pictures of their validation split are shown to them.
        scale: the name of the scale they were trained at.
    """
    found = _spreads(runs, data, data_dir, num_images)
    drawing = write(draw(found), out / FILE)
    return Result(
        item=ITEM,
        scale=scale,
        tables=(_table(found),),
        verdicts=(_beside_plain(found), _by_depth(found)),
        drawings=(Drawing(file=drawing.name, says=_sentence(found)),),
        deviations=(
            f"Deviations are over the values of {num_images} validation pictures, all positions and all channels together; the "
            "paper does not say over which pictures, nor whether channels are taken together.",
            "Batch norm uses its running statistics, as in evaluation.",
        ),
    )


def _spreads(runs: Runs, data: str, data_dir: str | Path | None, num_images: int) -> list[Spread]:
    """Plain networks first, then by depth."""
    stds: dict[str, list[tuple[float, ...]]] = {}
    about: dict[str, tuple[ResNetSpec, tuple[str, ...]]] = {}
    for (name, _), path in runs.items():
        model = hub.load(path)
        batch = inside.as_trained(model, data, data_dir, "val", num_images)
        layers, values = zip(*responses(model, batch.images), strict=True)
        about[name] = model.spec, layers
        stds.setdefault(name, []).append(values)
    found = [Spread(*about[name], np.array(values)) for name, values in stds.items()]
    return sorted(found, key=lambda spread: (not inside.is_plain(spread.spec), spread.spec.num_layers))


def _table(found: list[Spread]) -> Table:
    rows = tuple(
        (
            inside.title(spread.spec), len(spread.stds), len(spread.layers), inside.spread(spread.medians.tolist()),
            inside.spread(spread.stds.mean(axis=1).tolist()), inside.spread(spread.stds.max(axis=1).tolist()),
        )
        for spread in found
    )  # fmt: skip
    head = ("network", "seeds", "3x3 layers", "median", "mean", "largest")
    return Table(title="Standard deviations of layer responses; over seeds the mean and the range", head=head, rows=rows)


def _beside_plain(found: list[Spread]) -> Verdict:
    """Residual beside plain networks of the same depth, seed by seed in their order."""
    plain = {spread.spec.num_layers: spread for spread in found if inside.is_plain(spread.spec)}
    pairs = [(plain[s.spec.num_layers], s) for s in found if not inside.is_plain(s.spec) and s.spec.num_layers in plain]
    cases = {
        inside.title(ours.spec): [b < a for a, b in zip(theirs.medians, ours.medians, strict=False)] for theirs, ours in pairs
    }
    words = [
        f"{inside.title(ours.spec)} {inside.spread(ours.medians.tolist())}, {inside.title(theirs.spec)} "
        f"{inside.spread(theirs.medians.tolist())}; smaller in {_share_smaller(theirs, ours):.0%} of the layers"
        for theirs, ours in pairs
    ]
    return Verdict(
        claim="The responses of residual networks are generally smaller than those of plain ones (section 4.2).",
        holds=inside.agreed(cases),
        because=f"Medians over the layers: {'. '.join(words)}." if words else "No plain and residual network of one depth.",
    )


def _share_smaller(plain: Spread, residual: Spread) -> float:
    """Of the layers, which both have alike, the share in which the residual network's mean over seeds is the smaller one."""
    return float((residual.stds.mean(axis=0) < plain.stds.mean(axis=0)).mean())


def _by_depth(found: list[Spread]) -> Verdict:
    residual = [spread for spread in found if not inside.is_plain(spread.spec)]
    cases = {
        inside.title(deep.spec): [b < a for a, b in zip(shallow.medians, deep.medians, strict=False)]
        for shallow, deep in pairwise(residual)
    }
    words = ", ".join(f"{inside.title(spread.spec)} {inside.spread(spread.medians.tolist())}" for spread in residual)
    return Verdict(
        claim="The deeper a residual network, the smaller its responses (section 4.2).",
        holds=inside.agreed(cases),
        because=f"Medians over the layers: {words}." if cases else "There are no two residual networks to compare.",
    )


def _sentence(found: list[Spread]) -> str:
    largest = max(len(spread.stds) for spread in found)
    seeds = f"means of up to {largest} seeds, with their range" if largest > 1 else "one seed"
    return (
        "Standard deviations of the responses of 3x3 layers, after batch norm and before the nonlinearity or the addition, in "
        f"the order of the layers (above) and by size (below); {seeds}. Plain networks in warm colours, dashed."
    )


@styled
def draw(found: list[Spread]) -> Figure:
    """Figure 7's two panels: in the order of the layers, and from the largest to the smallest."""
    from matplotlib.ticker import MaxNLocator

    figure = blank(8.6, 6.4)
    ordered, sorted_ = figure.subplots(2, 1)
    colours = _colours(found)
    for spread in found:
        name, style = inside.title(spread.spec), {"color": colours[inside.title(spread.spec)]}
        style["linestyle"] = "--" if inside.is_plain(spread.spec) else "-"
        _line(ordered, spread.stds, name, style)
        _line(sorted_, -np.sort(-spread.stds, axis=1), name, style)
    for axes, words in ((ordered, "in their order"), (sorted_, "from the largest to the smallest")):
        axes.set_title(f"standard deviations of layer responses, {words}")
        axes.set_xlabel("layer")
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.set_ylim(bottom=0)
        axes.set_xlim(0, 1.02 * max(len(spread.layers) for spread in found))
        axes.grid(axis="y")
    ordered.legend(loc="upper right", frameon=False, ncols=2)  # names at the ends of lines would cover each other
    return figure


def _colours(found: list[Spread]) -> Mapping[str, str]:
    names = {plain: [inside.title(s.spec) for s in found if inside.is_plain(s.spec) == plain] for plain in (True, False)}
    families = ((names[True], PLAIN), (names[False], RESIDUAL))
    return {name: colours[min(place, len(colours) - 1)] for names, colours in families for place, name in enumerate(names)}


def _line(axes: Axes, stds: np.ndarray, name: str, style: Mapping[str, Any]) -> None:
    """The mean over seeds (seeds, layers), and their range as a band."""
    place, mean = np.arange(1, stds.shape[1] + 1), stds.mean(axis=0)
    axes.plot(place, mean, label=name, **style)
    if len(stds) > 1:
        axes.fill_between(place, stds.min(axis=0), stds.max(axis=0), color=style["color"], alpha=0.15, linewidth=0)
