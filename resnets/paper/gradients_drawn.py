"""Drawings of the item gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from resnets.draw.curves import INK, TRAIN, VAL, blank, log_scale, styled
from resnets.models.spec import ResNetSpec
from resnets.paper import inside
from resnets.paper.figures import name_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from resnets.paper.gradients import Seen

KINDS = {"weights": "gradient by the weights", "signal": "gradient by the response"}
NORM_WORDS = {"batch": "with batch norm", "none": "without norms"}


@styled
def draw_start(found: Sequence[Seen]) -> Figure:
    """Norms by the place of the layer: the weights' above, the signal's below; a column with norms, one without."""
    columns = [norm for norm in NORM_WORDS if any(seen.spec.norm == norm for seen in found)]
    figure = blank(5.2 * len(columns), 6.4)
    panels = figure.subplots(len(KINDS), len(columns), squeeze=False)
    for row, (kind, words) in zip(panels, KINDS.items(), strict=True):
        for axes, norm in zip(row, columns, strict=True):
            shown = [seen for seen in found if seen.spec.norm == norm]
            shallow = min(seen.spec.num_layers for seen in shown)
            for seen in shown:
                _line(axes, seen, kind, _short(seen.spec), _colour(seen.spec), "--" if seen.spec.num_layers == shallow else "-")
            _finish(axes, f"{words}, {NORM_WORDS[norm]}")
    name_lines(figure)
    return figure


@styled
def draw_training(found: Sequence[Seen]) -> Figure:
    """A panel a network: the weights' norms by the place of the layer, a line a step, from light to dark."""
    from matplotlib import colormaps

    networks = list(dict.fromkeys(seen.spec for seen in found))
    num_rows = -(-len(networks) // 2)
    figure = blank(5.0 * min(2, len(networks)), 3.2 * num_rows)
    panels = figure.subplots(num_rows, min(2, len(networks)), squeeze=False, sharey=True).ravel()
    for axes, spec in zip(panels, networks, strict=False):
        shown = sorted((seen for seen in found if seen.spec == spec), key=lambda seen: seen.step)
        shades = colormaps["YlOrBr" if inside.is_plain(spec) else "Blues"](np.linspace(0.35, 1.0, len(shown)))
        for seen, shade in zip(shown, shades, strict=True):
            _line(axes, seen, "weights", "start" if seen.step == 0 else f"{seen.step:,} steps", shade, "-")
        _finish(axes, f"{inside.title(spec)}: {KINDS['weights']}")
    for axes in panels[len(networks) :]:
        axes.set_visible(False)
    name_lines(figure)
    return figure


def _line(axes: Axes, seen: Seen, kind: str, label: str, colour: object, style: str) -> None:
    """The geometric mean over seeds, and the range as a band, from the last layer back to the first, which all lines reach at
    the same place whatever their depth."""
    norms = np.array([[getattr(norms, kind) for norms in reversed(seed)] for seed in seen.seeds])
    norms = np.where(norms > 0, norms, np.nan)
    place = np.linspace(0, 1, norms.shape[1])
    axes.plot(place, np.exp(np.log(norms).mean(axis=0)), color=colour, linestyle=style, label=label)
    if len(norms) > 1:
        axes.fill_between(place, norms.min(axis=0), norms.max(axis=0), color=colour, alpha=0.15, linewidth=0)


def _finish(axes: Axes, title: str) -> None:
    values = np.concatenate([np.asarray(line.get_ydata(), float) for line in axes.lines])
    lowest, highest = float(np.nanmin(values)), float(np.nanmax(values))
    log_scale(axes, decades=np.log10(highest / lowest))
    axes.set_title(title)
    axes.set_xticks([0, 0.5, 1], ["last layer", "middle", "first layer"])
    axes.grid(axis="y")
    axes.tick_params(labelleft=True)


def _short(spec: ResNetSpec) -> str:
    return inside.title(spec).removesuffix(" without norms")


def _colour(spec: ResNetSpec) -> str:
    return VAL if inside.is_plain(spec) else TRAIN if spec.order == "post" else INK
